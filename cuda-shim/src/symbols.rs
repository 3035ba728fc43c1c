//! The forwarding symbols: each jumps to the address in its slot, whatever its signature.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::library::Library;

/// Where a symbol leads.
pub struct Entry {
    pub name: &'static str,
    pub slot: &'static AtomicPtr<c_void>,
}

/// `CUDA_ERROR_NOT_INITIALIZED`, and `CUBLAS_STATUS` of a failed allocation: an error in every library.
pub extern "C" fn not_loaded() -> c_int {
    3
}

/// A slot before anything is loaded.
pub const fn empty_slot() -> AtomicPtr<c_void> {
    AtomicPtr::new(not_loaded as *mut c_void)
}

/// The function of the driver that a slot leads to.
pub fn driver_function(name: &str) -> *mut c_void {
    let entry = DRIVER.iter().find(|entry| entry.name == name).expect("a name of the table");
    entry.slot.load(Ordering::Acquire)
}

/// Fills the slots of a table with a library's functions, all or none.
pub fn bind(library: &Library, table: &[Entry]) -> Result<(), String> {
    let find = |e: &Entry| library.symbol(e.name).ok_or_else(|| format!("it lacks {}", e.name));
    let found = table.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    for (entry, address) in table.iter().zip(found) {
        entry.slot.store(address.cast_mut(), Ordering::Release);
    }
    Ok(())
}

/// A naked function per name. The jump leaves registers and stack as the caller set them, so that one
/// body serves every signature.
macro_rules! forward {
    ($table:ident: $($name:ident)* ; guarded: $($guarded:ident)*) => {
        $(
            #[allow(non_snake_case)]
            mod $name {
                pub(super) static SLOT: std::sync::atomic::AtomicPtr<std::ffi::c_void> = super::empty_slot();

                /// # Safety
                /// As NVIDIA documents for the function of this name.
                #[unsafe(no_mangle)]
                #[unsafe(naked)]
                pub unsafe extern "C" fn $name() {
                    #[cfg(target_arch = "x86_64")]
                    core::arch::naked_asm!("jmp qword ptr [rip + {slot}]", slot = sym SLOT);
                    #[cfg(target_arch = "aarch64")]
                    core::arch::naked_asm!(
                        "adrp x16, {slot}",
                        "ldr x16, [x16, :lo12:{slot}]",
                        "br x16",
                        slot = sym SLOT
                    );
                }
            }
        )*
        pub static $table: &[Entry] = &[
            $(Entry { name: stringify!($name), slot: &$name::SLOT },)*
            $(Entry { name: stringify!($guarded), slot: &crate::guards::$guarded::SLOT },)*
        ];
    };
}

forward!(DRIVER:
    cuCtxGetCurrent cuCtxGetDevice cuCtxSynchronize cuDestroyExternalMemory cuDeviceGet cuDeviceGetAttribute
    cuDeviceGetCount cuDeviceGetDefaultMemPool cuDeviceGetName cuDevicePrimaryCtxRelease_v2
    cuDevicePrimaryCtxRetain cuDeviceTotalMem_v2 cuDriverGetVersion cuEventCreate cuEventDestroy_v2
    cuEventElapsedTime cuExternalMemoryGetMappedBuffer cuGetErrorName cuGetErrorString
    cuImportExternalMemory cuMemGetInfo_v2 cuMemPoolSetAttribute cuMemPoolTrimTo cuModuleGetFunction
    cuModuleLoad cuModuleUnload
    cuOccupancyAvailableDynamicSMemPerBlock cuOccupancyMaxActiveBlocksPerMultiprocessor
    cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags cuOccupancyMaxActiveClusters
    cuOccupancyMaxPotentialBlockSize cuOccupancyMaxPotentialBlockSizeWithFlags
    cuOccupancyMaxPotentialClusterSize cuProfilerStart cuProfilerStop cuStreamCreate
    cuStreamWaitEvent
    ; guarded:
    cuCtxSetCurrent cuEventQuery cuEventRecord cuInit cuLaunchKernel cuMemAllocHost_v2 cuModuleLoadData
    cuStreamDestroy_v2 cuStreamSynchronize
    cuMemAllocAsync cuMemAlloc_v2 cuMemFreeAsync cuMemFree_v2 cuMemcpyDtoDAsync_v2 cuMemcpyDtoD_v2
    cuMemcpyDtoHAsync_v2 cuMemcpyDtoH_v2 cuMemcpyHtoDAsync_v2 cuMemcpyHtoD_v2 cuMemsetD8Async
    cuMemsetD8_v2
);

forward!(CUBLAS:
    cublasCreate_v2 cublasDestroy_v2 cublasDgemmStridedBatched cublasDgemm_v2 cublasDgemv_v2
    cublasGemmEx cublasGemmStridedBatchedEx cublasSetMathMode cublasSetStream_v2
    cublasSgemmStridedBatched cublasSgemm_v2 cublasSgemv_v2
    ; guarded:
);

forward!(NVRTC:
    nvrtcCompileProgram nvrtcCreateProgram nvrtcDestroyProgram nvrtcGetPTX nvrtcGetPTXSize
    nvrtcGetProgramLog nvrtcGetProgramLogSize
    ; guarded:
);
