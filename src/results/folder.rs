//! The run folder: who may write it, and how files appear in it.

use std::{
    fs::{self, File, Metadata, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{CHECKPOINT, CHECKPOINTS, EXPERIMENT, FileError, LOCK, STATUS, Status};

/// Why a run folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process holds the lock.
    #[error(
        "{0} is in use by another process (its lock file is held); wait for it or choose another --output"
    )]
    InUse(PathBuf),
    /// The file system refused.
    #[error("cannot use {0}: {1}")]
    Io(PathBuf, io::Error),
}

/// An open, locked run folder. The lock ends with the value.
pub struct RunFolder {
    path: PathBuf,
    _lock: File,
}

impl RunFolder {
    /// Creates `path` if needed and locks it.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let at = |e| FolderError::Io(path.to_path_buf(), e);
        fs::create_dir_all(path.join(CHECKPOINTS)).map_err(at)?;
        Ok(RunFolder { path: path.to_path_buf(), _lock: lock(path)? })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The checkpoint that a resume reads.
    pub fn checkpoint(&self) -> PathBuf {
        self.path.join(CHECKPOINT)
    }

    /// Whether an earlier attempt left something to keep.
    pub fn is_used(&self) -> bool {
        [STATUS, EXPERIMENT].iter().any(|f| self.path.join(f).exists()) || self.checkpoint().exists()
    }

    /// The last status written, if there is one.
    pub fn status(&self) -> Result<Option<Status>, FileError> {
        Status::read(&self.path)
    }

    /// Replaces `status.json`.
    pub fn set_status(&self, status: &Status) -> io::Result<()> {
        let text = serde_json::to_string_pretty(status).map_err(io::Error::other)?;
        write_atomic(&self.path.join(STATUS), (text + "\n").as_bytes())
    }

    /// Moves everything of an earlier attempt into `attempt-N`: nothing is ever deleted.
    pub fn set_aside(&self) -> io::Result<PathBuf> {
        let free = (1..).map(|n| self.path.join(format!("attempt-{n}"))).find(|p| !p.exists());
        let aside = free.expect("some number is free");
        fs::create_dir(&aside)?;
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let kept = name == LOCK || name.to_string_lossy().starts_with("attempt-");
            if !kept {
                fs::rename(entry.path(), aside.join(name))?;
            }
        }
        fs::create_dir_all(self.path.join(CHECKPOINTS))?;
        Ok(aside)
    }
}

/// How often a lock is tried, and the time between: [`is_held`] holds a lock for a moment.
const TRIES: u32 = 20;
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// Locks a folder for as long as the file is open.
pub(super) fn lock(path: &Path) -> Result<File, FolderError> {
    let at = |e| FolderError::Io(path.to_path_buf(), e);
    let lock = File::create(path.join(LOCK)).map_err(at)?;
    for _ in 0..TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => thread::sleep(TRY_AGAIN),
            Err(TryLockError::Error(e)) => return Err(at(e)),
        }
    }
    Err(FolderError::InUse(path.to_path_buf()))
}

/// Whether a process works in a folder. Asks for a shared lock and gives it back at once.
pub(super) fn is_held(folder: &Path) -> bool {
    let path = folder.join(LOCK);
    // Opening anything else may block.
    let lock = path.symlink_metadata().ok().filter(Metadata::is_file).and_then(|_| File::open(&path).ok());
    lock.is_some_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Writes `bytes` to a temporary file beside `path`, makes it durable and renames it: a reader
/// sees the old file or the new one, never a part.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let describe = |e: io::Error| io::Error::new(e.kind(), format!("cannot write {}: {e}", path.display()));
    let mut builder = tempfile::Builder::new();
    // Readable like any other file (the process mask still applies), not private like a secret.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(describe)?;
    file.write_all(bytes).map_err(describe)?;
    file.as_file().sync_all().map_err(describe)?;
    file.persist(path).map_err(|e| describe(e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opener_is_refused_and_attempts_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::open(root.path()).unwrap();
        assert!(matches!(RunFolder::open(root.path()), Err(FolderError::InUse(_))));
        write_atomic(&root.path().join("metrics.csv"), b"x").unwrap();
        let aside = folder.set_aside().unwrap();
        assert_eq!(fs::read(aside.join("metrics.csv")).unwrap(), b"x");
        assert!(!root.path().join("metrics.csv").exists());
        drop(folder);
        assert!(RunFolder::open(root.path()).is_ok());
    }
}
