//! What the campaign and the shim say to each other.

/// Kinds of system calls that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Kind {
    /// `open`, `openat`, `creat`.
    Open,
    /// `read`, `pread`, `readv`.
    Read,
    /// `write`, `pwrite`, `writev`.
    Write,
    /// `fsync`, `fdatasync`.
    Sync,
    /// `rename`, `link`: the new name counts.
    Rename,
    /// `mkdir`.
    Mkdir,
    /// `truncate`, `ftruncate`, `fallocate`.
    Truncate,
    /// `flock`, `fcntl` is not counted.
    Lock,
    /// `stat`, `lstat`, `fstat`, `statx`, `access`.
    Stat,
    /// `unlink`, `rmdir`.
    Unlink,
    /// `getdents`: reading a folder.
    List,
}

impl Kind {
    /// All kinds, in the order of the board.
    pub const ALL: [Kind; 11] = [
        Kind::Open,
        Kind::Read,
        Kind::Write,
        Kind::Sync,
        Kind::Rename,
        Kind::Mkdir,
        Kind::Truncate,
        Kind::Lock,
        Kind::Stat,
        Kind::Unlink,
        Kind::List,
    ];

    /// The word used in orders and traces.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Open => "open",
            Kind::Read => "read",
            Kind::Write => "write",
            Kind::Sync => "sync",
            Kind::Rename => "rename",
            Kind::Mkdir => "mkdir",
            Kind::Truncate => "truncate",
            Kind::Lock => "lock",
            Kind::Stat => "stat",
            Kind::Unlink => "unlink",
            Kind::List => "list",
        }
    }

    /// The kind of a word.
    pub fn of_word(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// Environment variables that hold the order.
pub mod variables {
    /// Only calls on this path or below it count; must be absolute and without links.
    pub const BELOW: &str = "IJEPA_FAULTS_BELOW";
    /// Only calls of this kind count; all kinds if left out.
    pub const KIND: &str = "IJEPA_FAULTS_KIND";
    /// Which of the counted calls is struck, from 0; none if left out.
    pub const AT: &str = "IJEPA_FAULTS_AT";
    /// `kill` before the call, `after` it, `torn` (half of a write, then kill), `short` (half of a write or
    /// read), or the number of an error.
    pub const ACTION: &str = "IJEPA_FAULTS_ACTION";
    /// If set, later calls of the struck kind fail too.
    pub const STICKY: &str = "IJEPA_FAULTS_STICKY";
    /// File of [`super::board::BYTES`] bytes that receives the counts.
    pub const BOARD: &str = "IJEPA_FAULTS_BOARD";
    /// File that receives one line per counted call: kind, space, path.
    pub const TRACE: &str = "IJEPA_FAULTS_TRACE";
    /// Signals by processor time of the process: `15@120,2@140` is signal 15 after 120 ms, 2 after 140 ms.
    pub const SIGNALS: &str = "IJEPA_FAULTS_SIGNALS";
}

/// The shared file: little-endian 64-bit numbers.
pub mod board {
    use super::Kind;

    /// Calls counted, one number per kind in the order of [`Kind::ALL`].
    pub const CALLS: usize = 0;
    /// Calls that were struck.
    pub const STRUCK: usize = Kind::ALL.len();
    /// 1 once the filter is in place.
    pub const INSTALLED: usize = STRUCK + 1;
    /// Size of the file.
    pub const BYTES: usize = (INSTALLED + 1) * 8;
}
