//! Lazy CUDA: defines the C symbols that cudarc 0.9 calls and forwards them to NVIDIA's libraries,
//! which [`load`] opens at run time. A program that links this crate starts on every machine; one that
//! needed `libcuda.so.1` at link time would stop before `main` where there is no driver.
//!
//! Until [`load`] succeeds every call returns status 3, `CUDA_ERROR_NOT_INITIALIZED`, instead of
//! crashing. A symbol that a program uses and this crate lacks is a link error, so none goes unnoticed.
//!
//! [`null`] is a driver without a device, for tests.

mod guards;
mod library;
pub mod null;
pub mod pool;
mod symbols;

use std::sync::OnceLock;

pub use guards::without_fills;
use library::Library;
use symbols::{CUBLAS, DRIVER, NVRTC, bind};

/// The names under which the libraries were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// NVIDIA's driver.
    pub driver: &'static str,
    /// Matrix products.
    pub cublas: &'static str,
    /// The run-time compiler, which only a few operations of dfdx need.
    pub nvrtc: Option<&'static str>,
}

/// Which library is missing, or too old to hold a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The driver's library: without it there is no usable GPU.
    Driver(String),
    /// The driver is there, cuBLAS is not.
    Cublas(String),
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LoadError::Driver(cause) => write!(f, "no NVIDIA driver: {cause}"),
            LoadError::Cublas(cause) => write!(
                f,
                "no cuBLAS: {cause}; install the CUDA runtime libraries, or add a folder that has it to LD_LIBRARY_PATH: that of a toolkit, or site-packages/nvidia/cu13/lib (CUDA 12: nvidia/cublas/lib) of a Python with PyTorch"
            ),
        }
    }
}

impl std::error::Error for LoadError {}

const DRIVER_NAMES: [&str; 1] = ["libcuda.so.1"];
/// By the version of CUDA that each needs of the driver.
const CUBLAS_NAMES: [(i32, &str); 3] =
    [(13, "libcublas.so.13"), (12, "libcublas.so.12"), (11, "libcublas.so.11")];
const NVRTC_NAMES: [&str; 4] = ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so"];

static DONE: OnceLock<Result<Loaded, LoadError>> = OnceLock::new();

/// Opens the driver and cuBLAS, once per process; later calls return the first answer.
pub fn load() -> Result<Loaded, LoadError> {
    DONE.get_or_init(open_all).clone()
}

fn open_all() -> Result<Loaded, LoadError> {
    let (driver, driver_name) = Library::first_of(&DRIVER_NAMES).map_err(LoadError::Driver)?;
    bind(&driver, DRIVER).map_err(LoadError::Driver)?;
    let (cublas, cublas_name) =
        Library::first_of(&cublas_names(driver_major())).map_err(LoadError::Cublas)?;
    bind(&cublas, CUBLAS).map_err(LoadError::Cublas)?;
    let nvrtc = Library::first_of(&NVRTC_NAMES).ok();
    let nvrtc = nvrtc.filter(|(library, _)| bind(library, NVRTC).is_ok()).map(|(_, name)| name);
    pool::keep(true);
    Ok(Loaded { driver: driver_name, cublas: cublas_name, nvrtc })
}

/// The version of CUDA that the driver supports, without its minor number; 0 if it does not say.
fn driver_major() -> i32 {
    let mut version = 0;
    // SAFETY: the slot holds the driver's function of this name and signature, and the number can be written.
    unsafe {
        let ask: unsafe extern "C" fn(*mut i32) -> i32 =
            std::mem::transmute(symbols::driver_function("cuDriverGetVersion"));
        if ask(&mut version) == 0 { version / 1000 } else { 0 }
    }
}

/// The names of cuBLAS to try under a driver, the newest first: one that is newer than the driver opens and then
/// fails at its first call, beside an older one that would do.
fn cublas_names(driver_major: i32) -> Vec<&'static str> {
    let fits = CUBLAS_NAMES.iter().filter(|(major, _)| *major <= driver_major).map(|(_, name)| *name);
    fits.chain(["libcublas.so"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cublas_is_no_newer_than_the_driver() {
        assert_eq!(cublas_names(12), ["libcublas.so.12", "libcublas.so.11", "libcublas.so"]);
        assert_eq!(cublas_names(14)[0], "libcublas.so.13");
        assert_eq!(cublas_names(0), ["libcublas.so"]);
    }
}
