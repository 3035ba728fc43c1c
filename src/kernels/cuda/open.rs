//! Finding and opening GPUs.

use cuda_shim::LoadError;
use cudarc::driver::{DriverError, result, sys};
use dfdx::prelude::Cuda;
use ijepa_registry::tensor::ModelError;

use super::super::Result;
use super::address;
use super::gpu::{Gpu, device_name};

/// What NVIDIA's software on this machine offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drivers {
    /// Version of CUDA that the driver supports, such as (13, 0).
    pub cuda: (i32, i32),
    /// File of the driver.
    pub driver: &'static str,
    /// File of cuBLAS.
    pub cublas: &'static str,
    /// The GPUs, by ordinal.
    pub gpus: Vec<GpuInfo>,
}

/// One GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuInfo {
    /// Its name.
    pub name: String,
    /// Its memory in MiB.
    pub memory: usize,
    /// Compute capability.
    pub capability: (i32, i32),
}

/// Why no GPU can be used, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// This machine has none.
    NoGpu(String),
    /// It seems to have one, and something is missing or broken.
    Broken(String),
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unusable::NoGpu(cause) | Unusable::Broken(cause) => f.write_str(cause),
        }
    }
}

/// The lowest compute capability that the kernels run on.
const LOWEST: (i32, i32) = (8, 0);

/// The version of CUDA that a driver must support to read the kernels.
const OLDEST: (i32, i32) = (11, 8);

/// A driver that is too old would call the kernels an unsupported version of PTX.
fn new_enough(cuda: (i32, i32)) -> std::result::Result<(), Unusable> {
    let ((major, minor), (wanted, of)) = (cuda, OLDEST);
    let old = || format!("the driver supports CUDA {major}.{minor}; {wanted}.{of} is needed (driver 520)");
    if cuda < OLDEST { Err(Unusable::Broken(old())) } else { Ok(()) }
}

impl Drivers {
    /// The GPU of this ordinal, or a sentence that says why it cannot be used.
    pub fn usable(&self, ordinal: usize) -> std::result::Result<&GpuInfo, Unusable> {
        let missing = || Unusable::NoGpu(format!("there are {} GPUs here, numbered from 0", self.gpus.len()));
        let gpu = self.gpus.get(ordinal).ok_or_else(missing)?;
        let (name, (major, minor)) = (&gpu.name, gpu.capability);
        let refused = || format!("{name} has compute capability {major}.{minor}; 8.0 is needed");
        if gpu.capability < LOWEST { Err(Unusable::Broken(refused())) } else { Ok(gpu) }
    }
}

/// Opens NVIDIA's libraries and asks for the GPUs.
pub fn drivers() -> std::result::Result<Drivers, Unusable> {
    let loaded = cuda_shim::load().map_err(|e| match e {
        LoadError::Driver(_) => Unusable::NoGpu(e.to_string()),
        LoadError::Cublas(_) => Unusable::Broken(e.to_string()),
    })?;
    let (cuda, gpus) = ask().map_err(|e| match e.0 {
        sys::CUresult::CUDA_ERROR_NO_DEVICE => Unusable::NoGpu("there is a driver but no GPU".into()),
        other => Unusable::Broken(format!("the driver answers {other:?}")),
    })?;
    new_enough(cuda)?;
    Ok(Drivers { cuda, driver: loaded.driver, cublas: loaded.cublas, gpus })
}

type Asked = std::result::Result<((i32, i32), Vec<GpuInfo>), DriverError>;

fn ask() -> Asked {
    result::init()?;
    let mut version = 0;
    // SAFETY: the number can be written.
    unsafe { sys::cuDriverGetVersion(&mut version).result()? };
    let gpus = (0..result::device::get_count()?).map(|ordinal| {
        let device = result::device::get(ordinal)?;
        let number = |attribute| {
            // SAFETY: the device was found above.
            unsafe { result::device::get_attribute(device, attribute) }
        };
        // SAFETY: as above.
        let memory = unsafe { result::device::total_mem(device) }? >> 20;
        let major = number(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = number(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        Ok(GpuInfo { name: device_name(device)?, memory, capability: (major, minor) })
    });
    let gpus = gpus.collect::<std::result::Result<_, DriverError>>()?;
    Ok(((version / 1000, version % 1000 / 10), gpus))
}

/// The GPU of this ordinal, with our kernels loaded and tensor addresses checked.
pub fn open(ordinal: usize) -> Result<Cuda> {
    drivers().and_then(|found| found.usable(ordinal).map(|_| ())).map_err(|e| ModelError(e.to_string()))?;
    let device = Cuda::try_build(ordinal, 0).map_err(ModelError::from_debug)?;
    address::check(&device)?;
    Gpu::of(&device).map_err(ModelError::from_debug)?;
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_is_too_old_is_told_so() {
        let error = new_enough((11, 4)).unwrap_err().to_string();
        assert!(error.contains("CUDA 11.4") && error.contains("11.8"), "{error}");
        assert_eq!(new_enough((11, 8)), Ok(()));
        assert_eq!(new_enough((13, 0)), Ok(()));
    }
}
