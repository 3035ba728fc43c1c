//! The run folder: who may write it, and how files appear in it.

use std::{
    fs::{self, File, Metadata, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{
    CHECKPOINT, CHECKPOINTS, FileError, LOCK, STATUS, Status,
    claim::{CLAIM, Claim, is_claimed},
    columns,
    durable::{sweep_away, sync_folder},
    read, run_files,
};

/// Why a run folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process holds the lock.
    #[error(
        "{0} is in use by another process (its lock file is held); wait for it or choose another --output"
    )]
    InUse(PathBuf),
    /// A process of another machine holds the claim.
    #[error(
        "{0} is in use by {1}\n  help: if that process is gone, --steal takes the run over once its heartbeat has stood \
         still for 10 minutes"
    )]
    Claimed(PathBuf, String),
    /// The file system refused.
    #[error("cannot use {0}: {1}")]
    Io(PathBuf, io::Error),
}

/// An open run folder, locked and claimed. Both end with the value.
pub struct RunFolder {
    path: PathBuf,
    _claim: Claim,
    /// None where the file system offers no locks: the claim alone keeps others out.
    _lock: Option<File>,
}

impl RunFolder {
    /// Creates `path` if needed, locks and claims it.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        RunFolder::open_or_steal(path, None)
    }

    /// The same; takes over from a process of another machine whose heartbeat stands still for so long.
    pub fn open_or_steal(path: &Path, steal: Option<Duration>) -> Result<Self, FolderError> {
        let at = |e| FolderError::Io(path.to_path_buf(), e);
        fs::create_dir_all(path.join(CHECKPOINTS)).map_err(at)?;
        let lock = lock(path)?;
        let claim = Claim::take(path, lock.is_some(), steal).map_err(at)?;
        let claim = claim.map_err(|owner| FolderError::Claimed(path.to_path_buf(), owner.name()))?;
        let folder = RunFolder { path: path.to_path_buf(), _claim: claim, _lock: lock };
        sweep_away(path).and_then(|()| sweep_away(&path.join(CHECKPOINTS))).map_err(at)?;
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_folder(path).and_then(|()| sync_folder(parent)).map_err(at)?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The checkpoint that a resume reads.
    pub fn checkpoint(&self) -> PathBuf {
        self.path.join(CHECKPOINT)
    }

    /// The same, if it is there. Anything but its absence is an error: a checkpoint that cannot be seen
    /// must not look like a run that has not begun.
    pub fn existing_checkpoint(&self) -> Result<Option<PathBuf>, FileError> {
        RunFolder::checkpoint_in(&self.path)
    }

    /// The checkpoint in a folder that is not locked, if it is there.
    pub fn checkpoint_in(folder: &Path) -> Result<Option<PathBuf>, FileError> {
        let path = folder.join(CHECKPOINT);
        match path.symlink_metadata() {
            Ok(_) => Ok(Some(path)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(FileError::at(&path, None, e)),
        }
    }

    /// Without a checkpoint, a run starts from nothing: an error if its files say that there was one.
    pub fn refuse_lost_checkpoint(&self) -> Result<(), FileError> {
        RunFolder::lost_checkpoint_in(&self.path)
    }

    /// The same of a folder that is not locked and holds none.
    pub fn lost_checkpoint_in(folder: &Path) -> Result<(), FileError> {
        let lost = |path: PathBuf, what: String| {
            Err(FileError::at(&path, None, format!("{what}, but {CHECKPOINT} is gone")))
        };
        if let Some(status) = Status::read(folder)? {
            if status.freed.contains_key(CHECKPOINT) {
                let message = format!("`ijepa-run clean` freed {CHECKPOINT}: the run cannot be continued");
                return Err(FileError::at(&folder.join(STATUS), None, message));
            }
            let Status { state, step, steps, .. } = status;
            if step > 0 || state.is_over() {
                return lost(folder.join(STATUS), format!("says step {step} of {steps}, {state}"));
            }
            return Ok(());
        }
        for table in columns::TABLES {
            let rows = read::table(folder, &table)?.map_or(0, |table| table.rows.len());
            if rows > 0 {
                return lost(folder.join(table.file), format!("holds {rows} rows"));
            }
        }
        Ok(())
    }

    /// Whether an earlier attempt left something to keep.
    pub fn is_used(&self) -> bool {
        run_files::names().any(|name| run_files::is_there(&self.path, name))
    }

    /// The last status written, if there is one.
    pub fn status(&self) -> Result<Option<Status>, FileError> {
        Status::read(&self.path)
    }

    /// Moves everything of an earlier attempt into `attempt-N`: nothing is ever deleted.
    pub fn set_aside(&self) -> io::Result<PathBuf> {
        let free = (1..).map(|n| self.path.join(format!("attempt-{n}"))).find(|p| !p.exists());
        let aside = free.expect("some number is free");
        fs::create_dir(&aside)?;
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let kept = name == LOCK || name == CLAIM || name.to_string_lossy().starts_with("attempt-");
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

/// `claim` makes do without locks of the file system: where they hang, say.
const LOCKING: &str = "IJEPA_RUN_LOCK";

/// What a call says where a file system has no locks: EBADF, ENOLCK, ENOSYS, EOPNOTSUPP.
#[cfg(target_os = "linux")]
const NO_LOCKS: [i32; 4] = [9, 37, 38, 95];
#[cfg(not(target_os = "linux"))]
const NO_LOCKS: [i32; 4] = [9, 77, 78, 45];

/// Locks a folder for as long as the file is open; none where there are no locks.
pub(super) fn lock(path: &Path) -> Result<Option<File>, FolderError> {
    let file = path.join(LOCK);
    let at = |e| FolderError::Io(file.clone(), e);
    // A link may lead to somebody's file, and a pipe blocks.
    if file.symlink_metadata().is_ok_and(|m| !m.is_file()) {
        return Err(at(io::Error::new(io::ErrorKind::InvalidInput, "is no regular file")));
    }
    if std::env::var_os(LOCKING).is_some_and(|how| how == "claim") {
        return Ok(None);
    }
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&file).map_err(at)?;
    for _ in 0..TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => thread::sleep(TRY_AGAIN),
            Err(TryLockError::Error(e)) if has_no_locks(&e) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(at(e)),
        }
    }
    Err(FolderError::InUse(path.to_path_buf()))
}

fn has_no_locks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error().is_some_and(|e| NO_LOCKS.contains(&e))
}

/// Whether a process works in a folder. Asks for a shared lock and gives it back at once; a process of another
/// machine is known by its claim.
pub(super) fn is_held(folder: &Path) -> bool {
    let path = folder.join(LOCK);
    // Opening anything else may block.
    let lock = path.symlink_metadata().ok().filter(Metadata::is_file).and_then(|_| File::open(&path).ok());
    let locked = lock.map(|lock| lock.try_lock_shared());
    matches!(locked, Some(Err(TryLockError::WouldBlock)))
        || is_claimed(folder, matches!(locked, Some(Ok(()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opener_is_refused_and_attempts_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::open(root.path()).unwrap();
        assert!(matches!(RunFolder::open(root.path()), Err(FolderError::InUse(_))));
        fs::write(root.path().join("metrics.csv"), b"x").unwrap();
        let aside = folder.set_aside().unwrap();
        assert_eq!(fs::read(aside.join("metrics.csv")).unwrap(), b"x");
        assert!(!root.path().join("metrics.csv").exists());
        drop(folder);
        assert!(RunFolder::open(root.path()).is_ok());
    }
}
