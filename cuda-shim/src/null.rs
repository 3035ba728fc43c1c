//! A driver without a device: device memory is host memory, launches are checked, counted and, if a
//! test supplies an [`Execute`], carried out.
//!
//! The whole host side of a CUDA program runs on it, so that a machine without a GPU sees panics,
//! wrong shapes, forgotten kernels and changed launch counts.

mod cublas;
mod driver;

use std::{
    collections::BTreeMap,
    ffi::c_void,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{DONE, Loaded};

/// Carries out a kernel on host memory: name, grid, block, bytes of shared memory, the addresses of
/// the arguments. Returns 0, or an error of the driver.
///
/// # Safety
/// The arguments are those that the kernel declares, and point to memory as large as it needs.
pub type Execute = unsafe fn(&str, [u32; 3], [u32; 3], u32, *mut *mut c_void) -> i32;

/// What a program asked of the driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Launches by kernel.
    pub launches: BTreeMap<String, usize>,
    /// Matrix products.
    pub products: usize,
    /// Fills of memory.
    pub fills: usize,
    /// Copies to the device.
    pub uploads: usize,
    /// Those of more than 64 KiB from memory that is not page-locked: they may wait for the device.
    pub pageable: usize,
    /// Copies to the host.
    pub downloads: usize,
    /// How often the host waited for the device.
    pub waits: usize,
    /// Copies on the device.
    pub copies: usize,
    /// Allocations.
    pub allocations: usize,
}

impl Counts {
    /// Launches of all kernels.
    pub fn kernels(&self) -> usize {
        self.launches.values().sum()
    }
}

static COUNTS: Mutex<Option<Counts>> = Mutex::new(None);
static EXECUTE: OnceLock<Execute> = OnceLock::new();

/// Memory of the imaginary device, and how much of it is said to be free.
const MEMORY: usize = 1 << 37;
static FREE: AtomicUsize = AtomicUsize::new(MEMORY);
static LARGEST: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Puts the null driver in the place of NVIDIA's libraries. Returns false if they, or it, were loaded
/// before.
pub fn install(execute: Option<Execute>) -> bool {
    let mut first = false;
    let _ = DONE.get_or_init(|| {
        first = true;
        driver::bind();
        cublas::bind();
        if let Some(execute) = execute {
            EXECUTE.get_or_init(|| execute);
        }
        Ok(Loaded { driver: "null driver", cublas: "null cuBLAS", nvrtc: None })
    });
    first
}

/// Has the driver say that this much of its memory is free, or none: all of it. It gives more all the same.
pub fn set_free_memory(bytes: Option<usize>) {
    FREE.store(bytes.unwrap_or(MEMORY), Ordering::Relaxed);
}

/// Has the driver refuse larger blocks for lack of memory, or none: give every one.
pub fn set_largest_block(bytes: Option<usize>) {
    LARGEST.store(bytes.unwrap_or(usize::MAX), Ordering::Relaxed);
}

/// What was asked since the last call.
pub fn take_counts() -> Counts {
    lock().take().unwrap_or_default()
}

fn lock() -> MutexGuard<'static, Option<Counts>> {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(add: impl FnOnce(&mut Counts)) {
    add(lock().get_or_insert_default());
}

/// Leads the named slots to functions of this module.
fn bind_to(table: &[crate::symbols::Entry], functions: &[(&str, *const c_void)]) {
    for (name, function) in functions {
        let entry = table.iter().find(|e| e.name == *name).expect("a name of the table");
        entry.slot.store(function.cast_mut(), std::sync::atomic::Ordering::Release);
    }
}
