//! Counters in a shared file, and the trace.

use std::{
    ffi::CString,
    os::fd::{IntoRawFd, RawFd},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    filter::raw,
    names::{Kind, board},
};

/// Counters of this process, shared with the campaign.
pub struct Board {
    numbers: &'static [AtomicU64],
    /// All counted calls, whatever their kind.
    all: AtomicU64,
    trace: Option<RawFd>,
}

impl Board {
    /// Maps the file `path` and opens the trace. None if that cannot be done: the campaign then sees that
    /// nothing was installed.
    pub fn open(path: &CString, trace: Option<&str>) -> Option<Board> {
        // SAFETY: plain calls on a path that ends with a zero byte; the mapping is checked and never unmapped.
        let numbers = unsafe {
            let file = libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let at = libc::mmap(std::ptr::null_mut(), board::BYTES, protection, libc::MAP_SHARED, file, 0);
            libc::close(file);
            if file < 0 || at == libc::MAP_FAILED {
                return None;
            }
            std::slice::from_raw_parts(at.cast::<AtomicU64>(), board::BYTES / 8)
        };
        let append = |path| std::fs::OpenOptions::new().append(true).create(true).open(path);
        let trace = trace.and_then(|path| append(path).ok()).map(IntoRawFd::into_raw_fd);
        Some(Board { numbers, all: AtomicU64::new(0), trace })
    }

    /// Counts a call and returns its number among all that were counted, from 0.
    pub fn count(&self, kind: Kind) -> u64 {
        self.numbers[board::CALLS + kind as usize].fetch_add(1, Ordering::SeqCst);
        self.all.fetch_add(1, Ordering::SeqCst)
    }

    pub fn struck(&self) {
        self.numbers[board::STRUCK].fetch_add(1, Ordering::SeqCst);
    }

    pub fn installed(&self) {
        self.numbers[board::INSTALLED].store(1, Ordering::SeqCst);
    }

    /// One line of the trace in one write. Called in a signal handler: allocates nothing.
    pub fn trace(&self, kind: Kind, path: &[u8]) {
        let Some(file) = self.trace else { return };
        let mut line = [0_u8; 4200];
        let mut length = 0;
        for part in [kind.word().as_bytes(), b" ", path, b"\n"] {
            let end = (length + part.len()).min(line.len());
            line[length..end].copy_from_slice(&part[..end - length]);
            length = end;
        }
        raw(libc::SYS_write, [file as usize, line.as_ptr() as usize, length, 0, 0]);
    }
}
