//! Freed memory, kept for the next request of its size.
//!
//! A training step asks for some four hundred blocks and frees them again, in sizes that change with its masks. The
//! driver has a pool for that, which takes a microsecond or more per call; this one answers from a list. It is right
//! because a block is used again on the stream that it was freed on: what is launched there later runs later.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::{
    LazyLock, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crate::symbols::driver_function;

/// A device address.
type Address = u64;

/// Where a block may be used again: on its context and stream, by requests of its size.
type Class = (usize, usize, usize);

#[derive(Default)]
struct Blocks {
    free: HashMap<Class, Vec<Address>>,
    /// Of every block that was handed out.
    classes: HashMap<Address, Class>,
}

impl Blocks {
    /// Whether a block that was freed is kept; one that is not is no longer known.
    fn take_back(&mut self, block: Address) -> bool {
        if !ON.load(Ordering::Acquire) {
            self.classes.remove(&block);
            return false;
        }
        let class = self.classes.get(&block).copied();
        if let Some(class) = class {
            self.free.entry(class).or_default().push(block);
        }
        class.is_some()
    }
}

static BLOCKS: LazyLock<Mutex<Blocks>> = LazyLock::new(Mutex::default);

/// Off until NVIDIA's driver is loaded: the null driver's tests want to see every request.
static ON: AtomicBool = AtomicBool::new(false);

/// Whether freed memory is kept from now on.
pub fn keep(on: bool) {
    ON.store(on, Ordering::Release);
}

fn blocks() -> MutexGuard<'static, Blocks> {
    BLOCKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The size that is asked for in the place of `bytes`: at most an eighth more, so that sizes recur.
fn size_class(bytes: usize) -> usize {
    let step = bytes.next_power_of_two() / 16;
    bytes.next_multiple_of(step.max(512))
}

fn class(bytes: usize, stream: *mut c_void) -> Class {
    let mut context: *mut c_void = std::ptr::null_mut();
    // SAFETY: the slot holds the driver's function of this name and signature; the pointer can be written.
    unsafe {
        let current: unsafe extern "C" fn(*mut *mut c_void) -> c_int =
            std::mem::transmute(driver_function("cuCtxGetCurrent"));
        current(&mut context);
    }
    (context.addr(), stream.addr(), size_class(bytes))
}

/// Memory from the list, or from the driver by way of `ask`, which gets the size to ask for.
///
/// # Safety
/// `to` can be written.
pub unsafe fn allocate(
    to: *mut Address,
    bytes: usize,
    stream: *mut c_void,
    ask: impl FnOnce(usize) -> c_int,
) -> c_int {
    if !ON.load(Ordering::Acquire) {
        return ask(bytes);
    }
    let class = class(bytes, stream);
    if let Some(block) = blocks().free.get_mut(&class).and_then(Vec::pop) {
        // SAFETY: the caller says so.
        unsafe { to.write(block) };
        return 0;
    }
    let code = ask(class.2);
    if code == 0 {
        // SAFETY: the driver wrote it.
        let block = unsafe { to.read() };
        blocks().classes.insert(block, class);
    }
    code
}

/// Keeps a block, or has `give_back` return it to the driver.
pub fn free(block: Address, give_back: impl FnOnce() -> c_int) -> c_int {
    // Without the lock: the driver may have to be asked for room, which looks at the list again.
    let is_kept = blocks().take_back(block);
    if is_kept { 0 } else { give_back() }
}

/// Returns all memory that nobody uses to the system, once the device is done with it: that of this list, and that
/// of the pool that the driver has for the current context's device. Whether that can help.
pub fn trim() -> bool {
    let mut kept = Vec::new();
    {
        let Blocks { free, classes } = &mut *blocks();
        for ((_, stream, _), free) in free.drain() {
            for block in free {
                classes.remove(&block);
                kept.push((block, stream));
            }
        }
    }
    let (mut device, mut pool): (c_int, *mut c_void) = (0, std::ptr::null_mut());
    // SAFETY: each slot holds the driver's function of this name and signature, or `not_loaded`, which returns an
    // error; the numbers can be written, and the blocks are those of the driver.
    unsafe {
        let free: unsafe extern "C" fn(Address, *mut c_void) -> c_int =
            std::mem::transmute(driver_function("cuMemFreeAsync"));
        let wait: unsafe extern "C" fn() -> c_int = std::mem::transmute(driver_function("cuCtxSynchronize"));
        let current: unsafe extern "C" fn(*mut c_int) -> c_int =
            std::mem::transmute(driver_function("cuCtxGetDevice"));
        let of: unsafe extern "C" fn(*mut *mut c_void, c_int) -> c_int =
            std::mem::transmute(driver_function("cuDeviceGetDefaultMemPool"));
        let trim: unsafe extern "C" fn(*mut c_void, usize) -> c_int =
            std::mem::transmute(driver_function("cuMemPoolTrimTo"));
        for (block, stream) in kept {
            free(block, std::ptr::without_provenance_mut(stream));
        }
        wait() == 0 && current(&mut device) == 0 && of(&mut pool, device) == 0 && trim(pool, 0) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_recur_and_waste_an_eighth_at_most() {
        for bytes in [1, 511, 512, 513, 4097, 1 << 20, (1 << 20) + 1, 12_582_912, 50_331_648 + 4] {
            let size = size_class(bytes);
            assert!(size >= bytes && size < bytes + (bytes / 8).max(512), "{bytes}: {size}");
            assert_eq!(size_class(size), size);
            assert_eq!(size % 512, 0);
        }
    }

    #[test]
    fn a_block_is_used_again_and_given_back_in_the_end() {
        // The driver of this test: `not_loaded` in every slot, and blocks that are numbers.
        keep(true);
        let stream = std::ptr::without_provenance_mut(77);
        let mut at: Address = 4096;
        // SAFETY: `at` can be written, and holds what the driver would write.
        let code = unsafe { allocate(&mut at, 1000, stream, |bytes| c_int::from(bytes != 1024)) };
        assert_eq!((code, at), (0, 4096));
        assert_eq!(free(at, || panic!("it is kept")), 0);
        let mut again = 0;
        // SAFETY: as above.
        let code = unsafe { allocate(&mut again, 900, stream, |_| panic!("a block is free")) };
        assert_eq!((code, again), (0, 4096));
        keep(false);
        assert_eq!(free(again, || 5), 5);
    }
}
