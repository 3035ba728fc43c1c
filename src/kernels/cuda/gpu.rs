//! What the operators need of a device: its stream, our kernels, cuBLAS.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::CStr;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::cublas::CudaBlas;
use cudarc::driver::{CudaDevice, CudaSlice, DevicePtr, DeviceRepr, DriverError, result, sys};
use dfdx::prelude::{Cuda, CudaError, Storage};

use super::super::{MatmulPrecision, Memory};
use super::module;
use super::staging::Staging;
use super::values::{At, Operand};

/// What the functions below the nodes return: the error of dfdx's device, which the tape carries.
pub type Done<T> = Result<T, CudaError>;

/// Opened devices: one entry per ordinal for the life of the process, as the driver keeps one primary
/// context per device.
static OPENED: Mutex<Vec<Arc<Gpu>>> = Mutex::new(Vec::new());

/// A device with our kernels loaded.
pub struct Gpu {
    /// cudarc's view of the device that dfdx works on.
    pub driver: Arc<CudaDevice>,
    /// Matrix products on the device's stream.
    pub blas: CudaBlas,
    functions: BTreeMap<String, sys::CUfunction>,
    staging: Mutex<Staging>,
    lists: Mutex<VecDeque<List>>,
}

/// Words on the host and their copy on the device.
type List = (Vec<u64>, Arc<CudaSlice<u64>>);

/// Lists that are kept, at most: those of a few kernels that ask for theirs in every step.
const LISTS: usize = 32;

// SAFETY: a `CUfunction` is a handle that the driver lets every thread of the process use.
unsafe impl Send for Gpu {}
// SAFETY: as above; what changes after construction is behind a lock.
unsafe impl Sync for Gpu {}

impl Gpu {
    /// The entry of a device; loads the kernels the first time.
    pub fn of(device: &Cuda) -> Done<Arc<Gpu>> {
        // An allocation of nothing, which does not reach the driver, knows its device.
        let driver = Storage::<f32>::try_alloc_len(device, 0)?.device();
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gpu) = opened.iter().find(|g| g.driver.ordinal() == driver.ordinal()) {
            return Ok(gpu.clone());
        }
        let gpu = Arc::new(Gpu::new(driver)?);
        opened.push(gpu.clone());
        Ok(gpu)
    }

    fn new(driver: Arc<CudaDevice>) -> Done<Gpu> {
        driver.bind_to_thread()?;
        keep_freed_memory(&driver)?;
        let (blas, functions) = (CudaBlas::new(driver.clone())?, module::load(&driver)?);
        Ok(Gpu { driver, blas, functions, staging: Mutex::default(), lists: Mutex::default() })
    }

    /// A kernel by name.
    pub fn function(&self, name: &str) -> Result<sys::CUfunction, DriverError> {
        self.functions.get(name).copied().ok_or(DriverError(sys::CUresult::CUDA_ERROR_NOT_FOUND))
    }

    /// Memory for `len` floats, which hold anything.
    pub fn floats(&self, len: usize) -> Done<CudaSlice<f32>> {
        self.memory(len)
    }

    /// Memory for `len` numbers, which hold anything.
    pub fn memory<E: DeviceRepr>(&self, len: usize) -> Done<CudaSlice<E>> {
        // SAFETY: every kernel that gets the block first writes all of it, and any bits are a number.
        Ok(unsafe { self.driver.alloc(len) }?)
    }

    /// Memory for `len` operands of products of this precision, which hold anything.
    pub fn operand(&self, precision: MatmulPrecision, len: usize) -> Done<Operand> {
        Ok(match precision {
            MatmulPrecision::Bf16 | MatmulPrecision::Bf16Amx => Operand::Half(self.memory(len)?),
            MatmulPrecision::F32 | MatmulPrecision::Tf32 => Operand::Full(self.floats(len)?),
        })
    }

    /// A copy of host values on the device.
    pub fn upload<E: DeviceRepr>(&self, values: &[E]) -> Done<CudaSlice<E>> {
        let copy = self.memory(values.len())?;
        self.copy_in(values, *copy.device_ptr())?;
        Ok(copy)
    }

    /// A copy of a list that mostly is one of the last ones again.
    pub fn list(&self, words: &[u64]) -> Done<Arc<CudaSlice<u64>>> {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, copy)) = lists.iter().find(|(known, _)| known == words) {
            return Ok(copy.clone());
        }
        let copy = Arc::new(self.upload(words)?);
        lists.truncate(LISTS - 1);
        lists.push_front((words.to_vec(), copy.clone()));
        Ok(copy)
    }

    /// Copies bytes on the device.
    pub fn copy(&self, from: At, to: At, bytes: At) -> Done<()> {
        self.driver.bind_to_thread()?;
        // SAFETY: callers pass blocks that hold so many bytes.
        Ok(unsafe { result::memcpy_dtod_async(to, from, bytes as usize, *self.driver.cu_stream()) }?)
    }

    /// Copies host values to an address on the device, without waiting for it.
    pub fn copy_in<E: DeviceRepr>(&self, values: &[E], to: At) -> Done<()> {
        let stream = *self.driver.cu_stream();
        self.driver.bind_to_thread()?;
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        let placed = staging.place(values, stream)?;
        // SAFETY: the caller's address has room for the values, which stay where they are until then.
        Ok(unsafe { result::memcpy_htod_async(to, placed, stream) }?)
    }
}

/// Lets the memory pool keep what is freed: by default it returns everything to the system whenever
/// the host waits for the device, and allocating it again costs more than the kernels do. A device
/// without pools is left as it is.
fn keep_freed_memory(driver: &CudaDevice) -> Result<(), DriverError> {
    let pools = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED;
    if driver.attribute(pools)? == 0 {
        return Ok(());
    }
    let everything = u64::MAX;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    let mut pool = std::ptr::null_mut();
    // SAFETY: `pool` can be written, and the attribute's value is a 64-bit number.
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&mut pool, *driver.cu_device()).result()?;
        sys::cuMemPoolSetAttribute(pool, attribute, (&raw const everything).cast_mut().cast()).result()
    }
}

/// A device's memory, and how much of it is not free.
pub fn memory(device: &Cuda) -> Done<Memory> {
    Gpu::of(device)?.driver.bind_to_thread()?;
    let (free, total) = result::mem_get_info()?;
    Ok(Memory { total, in_use: total - free })
}

/// The name of a device, as the driver tells it.
pub fn device_name(device: sys::CUdevice) -> Result<String, DriverError> {
    let mut text = [0u8; 128];
    // SAFETY: the driver writes at most the given length, zero-terminated.
    unsafe { sys::cuDeviceGetName(text.as_mut_ptr().cast(), text.len() as i32, device).result()? };
    Ok(CStr::from_bytes_until_nul(&text).map_or(String::new(), |name| name.to_string_lossy().into_owned()))
}
