//! Advice to the memory allocator.

/// Keeps freed memory in the process, for a training loop that frees and allocates the same large
/// tensors every step. Call once, early. Does nothing where the C library is not GNU's.
///
/// By default glibc returns every large block to the system when it is freed, and the next allocation
/// pays for a page fault and the zeroing of every 4 KiB again.
pub fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // From <malloc.h>, whose values are part of the library's stable interface.
        const M_TRIM_THRESHOLD: i32 = -1;
        const M_MMAP_MAX: i32 = -4;
        unsafe extern "C" {
            fn mallopt(parameter: i32, value: i32) -> i32;
        }
        // SAFETY: `mallopt` takes two integers, touches only the allocator's settings and locks them.
        unsafe {
            mallopt(M_MMAP_MAX, 0);
            mallopt(M_TRIM_THRESHOLD, i32::MAX);
        }
    }
}
