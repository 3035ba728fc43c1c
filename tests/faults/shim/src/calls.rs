//! System calls by number: their kind, and where their path is.

use super::{filter::raw, names::Kind};

/// Longest path that is looked at.
pub const LONGEST: usize = 4096;

/// Where a call says what it is about.
#[derive(Clone, Copy)]
pub enum Subject {
    /// The first argument is an open file.
    File,
    /// The first argument is a path.
    Path,
    /// The arguments at this index are a folder and a path in it.
    At(usize),
    /// The argument at this index is a path: the new name.
    Second(usize),
}

/// One system call.
pub struct Entry {
    pub number: libc::c_long,
    pub kind: Kind,
    pub subject: Subject,
}

const fn entry(number: libc::c_long, kind: Kind, subject: Subject) -> Entry {
    Entry { number, kind, subject }
}

/// Every call that comes to the handler.
pub const TABLE: &[Entry] = &[
    entry(libc::SYS_openat, Kind::Open, Subject::At(0)),
    entry(libc::SYS_openat2, Kind::Open, Subject::At(0)),
    entry(libc::SYS_read, Kind::Read, Subject::File),
    entry(libc::SYS_pread64, Kind::Read, Subject::File),
    entry(libc::SYS_readv, Kind::Read, Subject::File),
    entry(libc::SYS_write, Kind::Write, Subject::File),
    entry(libc::SYS_pwrite64, Kind::Write, Subject::File),
    entry(libc::SYS_writev, Kind::Write, Subject::File),
    entry(libc::SYS_fsync, Kind::Sync, Subject::File),
    entry(libc::SYS_fdatasync, Kind::Sync, Subject::File),
    entry(libc::SYS_renameat, Kind::Rename, Subject::At(2)),
    entry(libc::SYS_renameat2, Kind::Rename, Subject::At(2)),
    entry(libc::SYS_linkat, Kind::Rename, Subject::At(2)),
    entry(libc::SYS_mkdirat, Kind::Mkdir, Subject::At(0)),
    entry(libc::SYS_ftruncate, Kind::Truncate, Subject::File),
    entry(libc::SYS_truncate, Kind::Truncate, Subject::Path),
    entry(libc::SYS_fallocate, Kind::Truncate, Subject::File),
    entry(libc::SYS_flock, Kind::Lock, Subject::File),
    entry(libc::SYS_fstat, Kind::Stat, Subject::File),
    entry(libc::SYS_newfstatat, Kind::Stat, Subject::At(0)),
    entry(libc::SYS_statx, Kind::Stat, Subject::At(0)),
    entry(libc::SYS_faccessat, Kind::Stat, Subject::At(0)),
    entry(libc::SYS_faccessat2, Kind::Stat, Subject::At(0)),
    entry(libc::SYS_unlinkat, Kind::Unlink, Subject::At(0)),
    entry(libc::SYS_getdents64, Kind::List, Subject::File),
    #[cfg(target_arch = "x86_64")]
    entry(libc::SYS_open, Kind::Open, Subject::Path),
    #[cfg(target_arch = "x86_64")]
    entry(libc::SYS_creat, Kind::Open, Subject::Path),
    #[cfg(target_arch = "x86_64")]
    entry(libc::SYS_rename, Kind::Rename, Subject::Second(1)),
    #[cfg(target_arch = "x86_64")]
    entry(libc::SYS_link, Kind::Rename, Subject::Second(1)),
    #[cfg(target_arch = "x86_64")]
    entry(libc::SYS_mkdir, Kind::Mkdir, Subject::Path),
    #[cfg(target_arch = "x86_64")]
    entry(libc::SYS_stat, Kind::Stat, Subject::Path),
    #[cfg(target_arch = "x86_64")]
    entry(libc::SYS_lstat, Kind::Stat, Subject::Path),
    #[cfg(target_arch = "x86_64")]
    entry(libc::SYS_access, Kind::Stat, Subject::Path),
    #[cfg(target_arch = "x86_64")]
    entry(libc::SYS_unlink, Kind::Unlink, Subject::Path),
    #[cfg(target_arch = "x86_64")]
    entry(libc::SYS_rmdir, Kind::Unlink, Subject::Path),
];

/// A call as the kernel stopped it.
pub struct Call {
    pub number: libc::c_long,
    pub arguments: [usize; 5],
}

/// A path in memory that needs no allocation.
pub struct PathText {
    bytes: [u8; LONGEST],
    length: usize,
}

impl PathText {
    fn new() -> Self {
        PathText { bytes: [0; LONGEST], length: 0 }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, text: &[u8]) {
        let end = (self.length + text.len()).min(LONGEST);
        self.bytes[self.length..end].copy_from_slice(&text[..end - self.length]);
        self.length = end;
    }

    /// Appends the text at `address`, which ends with a zero byte.
    fn push_c(&mut self, address: usize) {
        if address == 0 {
            return;
        }
        // SAFETY: a path that the program hands to the kernel.
        let text = unsafe { std::ffi::CStr::from_ptr(address as *const libc::c_char) };
        self.push(text.to_bytes());
    }

    /// Appends where the open file `file` lies.
    fn push_file(&mut self, file: i32) {
        let mut name = [0_u8; 32];
        let length = link_name(&mut name, file);
        debug_assert!(length < name.len());
        let room = LONGEST - self.length;
        let to = self.bytes[self.length..].as_mut_ptr() as usize;
        // AT_FDCWD: the name is absolute.
        let folder = libc::AT_FDCWD as usize;
        let read = raw(libc::SYS_readlinkat, [folder, name.as_ptr() as usize, to, room, 0]);
        self.length += read.max(0) as usize;
    }
}

/// `/proc/self/fd/N`, without allocating; its length.
fn link_name(to: &mut [u8; 32], file: i32) -> usize {
    let prefix = b"/proc/self/fd/";
    to[..prefix.len()].copy_from_slice(prefix);
    let (mut digits, mut count, mut rest) = ([0_u8; 10], 0, file.unsigned_abs());
    loop {
        digits[count] = b'0' + (rest % 10) as u8;
        (rest, count) = (rest / 10, count + 1);
        if rest == 0 {
            break;
        }
    }
    for (i, digit) in digits[..count].iter().rev().enumerate() {
        to[prefix.len() + i] = *digit;
    }
    prefix.len() + count
}

impl Call {
    /// What the call is; none if it is not in the table.
    pub fn entry(&self) -> Option<&'static Entry> {
        TABLE.iter().find(|entry| entry.number == self.number)
    }

    /// The path that the call is about. A relative path without a folder stays as it is: the campaign
    /// gives absolute ones.
    pub fn path(&self, subject: Subject) -> PathText {
        let mut path = PathText::new();
        match subject {
            Subject::File => path.push_file(self.arguments[0] as i32),
            Subject::Path => path.push_c(self.arguments[0]),
            Subject::Second(i) => path.push_c(self.arguments[i]),
            Subject::At(i) => self.path_in_folder(&mut path, i),
        }
        path
    }

    fn path_in_folder(&self, path: &mut PathText, i: usize) {
        path.push_c(self.arguments[i + 1]);
        let folder = self.arguments[i] as i32;
        if path.as_bytes().first() == Some(&b'/') || folder == libc::AT_FDCWD {
            return;
        }
        *path = PathText::new();
        path.push_file(folder);
        let mut name = PathText::new();
        name.push_c(self.arguments[i + 1]);
        if name.length > 0 {
            path.push(b"/");
            path.push(name.as_bytes());
        }
    }
}
