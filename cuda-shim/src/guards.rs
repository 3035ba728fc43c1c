//! Memory functions that never pass an empty request on.
//!
//! dfdx and cudarc allocate, fill, copy and free zero bytes (a workspace, the husk of a tensor), which
//! the driver refuses on some devices (dfdx issue 870). An empty block is the null address here. Fills of
//! memory that is written next anyway can be left out.

use std::cell::Cell;
use std::ffi::{c_int, c_void};

/// A device address.
type Address = u64;

/// A function that returns 0 without a call if `$empty` holds.
macro_rules! guard {
    ($($name:ident($($arg:ident: $type:ty),*) unless $empty:expr;)*) => {
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
                            return 0;
                        }
                        let call: unsafe extern "C" fn($($type),*) -> c_int =
                            std::mem::transmute(SLOT.load(std::sync::atomic::Ordering::Acquire));
                        call($($arg),*)
                    }
                }
            }
        )*
    };
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

guard! {
    cuMemAllocAsync(to: *mut Address, bytes: usize, stream: *mut c_void) unless nothing(to, bytes);
    cuMemAlloc_v2(to: *mut Address, bytes: usize) unless nothing(to, bytes);
    cuMemFreeAsync(block: Address, stream: *mut c_void) unless block == 0;
    cuMemFree_v2(block: Address) unless block == 0;
    cuMemcpyDtoDAsync_v2(to: Address, from: Address, bytes: usize, stream: *mut c_void) unless bytes == 0;
    cuMemcpyDtoD_v2(to: Address, from: Address, bytes: usize) unless bytes == 0;
    cuMemcpyDtoHAsync_v2(to: *mut c_void, from: Address, bytes: usize, stream: *mut c_void) unless bytes == 0;
    cuMemcpyDtoH_v2(to: *mut c_void, from: Address, bytes: usize) unless bytes == 0;
    cuMemcpyHtoDAsync_v2(to: Address, from: *const c_void, bytes: usize, stream: *mut c_void) unless bytes == 0;
    cuMemcpyHtoD_v2(to: Address, from: *const c_void, bytes: usize) unless bytes == 0;
    cuMemsetD8Async(to: Address, value: u8, bytes: usize, stream: *mut c_void) unless bytes == 0 || UNFILLED.get();
    cuMemsetD8_v2(to: Address, value: u8, bytes: usize) unless bytes == 0 || UNFILLED.get();
}
