//! Functions that every step of a program calls, with what NVIDIA's driver and cudarc disagree about put right.
//!
//! - dfdx and cudarc allocate, fill, copy and free zero bytes (a workspace, the husk of a tensor), which the
//!   driver refuses on some devices (dfdx issue 870). An empty block is the null address here.
//! - cudarc panics when memory cannot be freed, which is so after every fault that ends a context, and a panic
//!   while an error is on its way ends the program without a word. Freeing always succeeds here.
//! - cudarc takes result codes as an enum of CUDA 11; newer drivers have more. They become `CUDA_ERROR_UNKNOWN`.
//! - A driver that is out of memory may hold much that was freed: it is asked to return that, and once more.
//! - Fills of memory that is written next anyway can be left out.

use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_void};

use crate::pool;

/// A device address.
type Address = u64;

const SUCCESS: c_int = 0;
const OUT_OF_MEMORY: c_int = 2;
const UNKNOWN: c_int = 999;

/// The codes of `CUresult` in cudarc 0.9.
const CODES: [std::ops::RangeInclusive<c_int>; 15] = [
    0..=8,
    34..=34,
    46..=46,
    100..=102,
    200..=202,
    205..=224,
    300..=304,
    400..=401,
    500..=500,
    600..=600,
    700..=705,
    708..=720,
    800..=810,
    900..=912,
    UNKNOWN..=UNKNOWN,
];

/// The code, as far as cudarc's enum has it.
fn known(code: c_int) -> c_int {
    if CODES.iter().any(|codes| codes.contains(&code)) { code } else { UNKNOWN }
}

/// Success, whatever the code.
fn forgiven(_code: c_int) -> c_int {
    SUCCESS
}

/// A function that returns 0 without a call if `$empty` holds, and its code by way of `$code` otherwise; with
/// `$through`, which gets the call, in its place.
macro_rules! guard {
    ($($name:ident($($arg:ident: $type:ty),*) unless $empty:expr => $code:ident $(by $through:expr)?;)*) => {
        $(
            #[allow(non_snake_case)]
            pub(crate) mod $name {
                use super::*;

                pub(crate) static SLOT: std::sync::atomic::AtomicPtr<c_void> = crate::symbols::empty_slot();

                /// # Safety
                /// As NVIDIA documents for the function of this name.
                #[unsafe(no_mangle)]
                pub unsafe extern "C" fn $name($($arg: $type),*) -> c_int {
                    // SAFETY: the slot holds the library's function of this name and signature, or
                    // `not_loaded`, which ignores its arguments; the caller keeps the contract.
                    unsafe {
                        if $empty {
                            return SUCCESS;
                        }
                        let call: unsafe extern "C" fn($($type),*) -> c_int =
                            std::mem::transmute(SLOT.load(std::sync::atomic::Ordering::Acquire));
                        let call = |$($arg: $type),*| {
                            let code = call($($arg),*);
                            let again = code == OUT_OF_MEMORY && pool::trim();
                            if again { call($($arg),*) } else { code }
                        };
                        $code(guard!(@call call, ($($arg),*) $(, $through)?))
                    }
                }
            }
        )*
    };
    (@call $call:ident, ($($arg:ident),*)) => { $call($($arg),*) };
    (@call $call:ident, ($($arg:ident),*), $through:expr) => { $through($($arg),*, $call) };
}

thread_local! {
    /// Whether fills are left out on this thread.
    static UNFILLED: Cell<bool> = const { Cell::new(false) };
}

/// What `make` returns when memory is not filled: a fill succeeds without a call.
///
/// # Safety
/// Whatever `make` would have filled must be memory whose bits may be anything.
pub unsafe fn without_fills<T>(make: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            UNFILLED.set(self.0);
        }
    }
    let _restore = Restore(UNFILLED.replace(true));
    make()
}

/// Whether `bytes` is 0; the block is then the null address.
///
/// # Safety
/// `to` can be written.
unsafe fn nothing(to: *mut Address, bytes: usize) -> bool {
    if bytes == 0 {
        // SAFETY: the caller says so.
        unsafe { to.write(0) }
    }
    bytes == 0
}

/// A request for memory by way of [`pool`].
unsafe fn keeping(
    to: *mut Address,
    bytes: usize,
    stream: *mut c_void,
    ask: impl Fn(*mut Address, usize, *mut c_void) -> c_int,
) -> c_int {
    // SAFETY: the caller can have `to` written.
    unsafe { pool::allocate(to, bytes, stream, |bytes| ask(to, bytes, stream)) }
}

/// Memory that is freed by way of [`pool`].
unsafe fn kept(
    block: Address,
    stream: *mut c_void,
    give_back: impl Fn(Address, *mut c_void) -> c_int,
) -> c_int {
    pool::free(block, || give_back(block, stream))
}

guard! {
    cuMemAllocAsync(to: *mut Address, bytes: usize, stream: *mut c_void) unless nothing(to, bytes) => known by keeping;
    cuMemAlloc_v2(to: *mut Address, bytes: usize) unless nothing(to, bytes) => known;
    cuMemFreeAsync(block: Address, stream: *mut c_void) unless block == 0 => forgiven by kept;
    cuMemFree_v2(block: Address) unless block == 0 => forgiven;
    cuMemcpyDtoDAsync_v2(to: Address, from: Address, bytes: usize, stream: *mut c_void) unless bytes == 0 => known;
    cuMemcpyDtoD_v2(to: Address, from: Address, bytes: usize) unless bytes == 0 => known;
    cuMemcpyDtoHAsync_v2(to: *mut c_void, from: Address, bytes: usize, stream: *mut c_void) unless bytes == 0 => known;
    cuMemcpyDtoH_v2(to: *mut c_void, from: Address, bytes: usize) unless bytes == 0 => known;
    cuMemcpyHtoDAsync_v2(to: Address, from: *const c_void, bytes: usize, stream: *mut c_void) unless bytes == 0 => known;
    cuMemcpyHtoD_v2(to: Address, from: *const c_void, bytes: usize) unless bytes == 0 => known;
    cuMemsetD8Async(to: Address, value: u8, bytes: usize, stream: *mut c_void) unless bytes == 0 || UNFILLED.get() => known;
    cuMemsetD8_v2(to: Address, value: u8, bytes: usize) unless bytes == 0 || UNFILLED.get() => known;
    cuCtxSetCurrent(context: *mut c_void) unless false => known;
    cuEventQuery(event: *mut c_void) unless false => known;
    cuEventRecord(event: *mut c_void, stream: *mut c_void) unless false => known;
    cuInit(flags: c_uint) unless false => known;
    cuLaunchKernel(
        function: *mut c_void, grid_x: c_uint, grid_y: c_uint, grid_z: c_uint, block_x: c_uint, block_y: c_uint,
        block_z: c_uint, shared: c_uint, stream: *mut c_void, arguments: *mut *mut c_void, extra: *mut *mut c_void
    ) unless false => known;
    cuMemAllocHost_v2(to: *mut *mut c_void, bytes: usize) unless false => known;
    cuModuleLoadData(module: *mut *mut c_void, image: *const c_void) unless false => known;
    cuStreamDestroy_v2(stream: *mut c_void) unless false => forgiven;
    cuStreamSynchronize(stream: *mut c_void) unless false => known;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_cudarc_lacks_are_unknown() {
        for code in [0, 2, 3, 214, 700, 719, 912, 999] {
            assert_eq!(known(code), code);
        }
        // Of CUDA 12 and 13.
        for code in [225, 226, 402, 721, 913, 917, 4321] {
            assert_eq!(known(code), UNKNOWN);
        }
    }
}
