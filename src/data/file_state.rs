//! By what it shows that a file was touched, and where what is known of files is kept.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// The state of a file: equal numbers are the same content, unless the file is too young to tell.
pub(crate) struct FileState {
    pub numbers: Vec<u64>,
    /// When it was last changed, at the latest.
    pub newest: SystemTime,
}

impl FileState {
    #[cfg(unix)]
    pub fn of(file: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let meta = fs::metadata(file)?;
        let numbers = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()].map(|n| n as u64);
        let time = |seconds: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.max(0) as u64 + 1);
        Ok(FileState {
            numbers: numbers.into_iter().chain([meta.len(), meta.ino(), meta.dev()]).collect(),
            newest: time(meta.mtime().max(meta.ctime())),
        })
    }

    /// Without the time of change nothing is certain.
    #[cfg(not(unix))]
    pub fn of(_: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// `$XDG_CACHE_HOME/ijepa-run/NAME`, or below `~/.cache`.
pub(crate) fn user_folder(name: &str) -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("ijepa-run").join(name))
}
