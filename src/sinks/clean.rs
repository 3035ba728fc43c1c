//! What a finished run no longer needs: its last checkpoint, which serves to continue it, is given up on request.
//! The status keeps its seal under `freed`, so that nobody misses the file.

use std::{fs, io, path::Path};

use serde_json::json;

use super::verify;
use crate::{
    data::regular,
    results::{
        CHECKPOINT, Care, FolderError, RunFolder, RunOverview, RunState, Seal, Status,
        card::{self, DataCard, RunCard},
    },
};

/// Why nothing is freed.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// It is in use, or cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its files are not what it left: the checkpoint may be the only good one.
    #[error("{0}; nothing was freed")]
    Damaged(String),
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Bytes that a run could free; none for a run that is not done, or holds no checkpoint.
pub fn freeable(folder: &Path) -> Option<u64> {
    let standing = RunOverview::without_metrics(folder, Care::Lengths);
    let is_done = standing.state() == RunState::Done;
    let size = || folder.join(CHECKPOINT).symlink_metadata().ok().filter(|m| m.is_file()).map(|m| m.len());
    is_done.then(size).flatten()
}

/// Gives up the last checkpoint of a finished run, and returns how many bytes that freed. Every byte of the run is
/// looked at first: what is left must be able to stand alone.
pub fn free(folder: &Path) -> Result<u64, CleanError> {
    let locked = RunFolder::open(folder)?;
    let found = verify(folder);
    if let Some(problem) = found.problems.first() {
        return Err(CleanError::Damaged(problem.clone()));
    }
    let status = Status::read(folder).map_err(|e| CleanError::Damaged(e.to_string()))?;
    let Some(status) = status.filter(|s| s.state == RunState::Done && !s.is_unsealed()) else {
        let help =
            "version 0.1.0 wrote it, or it is not done; `ijepa-run verify --accept` seals what is done";
        return Err(CleanError::Damaged(format!("{}: nothing vouches for it ({help})", folder.display())));
    };
    let path = locked.checkpoint();
    let bytes = regular(&path)?;
    let seal = Seal::of(&bytes);
    let at = RunCard::of_this_process("none", 0, &DataCard::default(), 0);
    let freed = seal.bytes;
    let entry = json!({
        "cleaned_at": at.started_at, "command": at.command, "version": at.version, "git": at.git,
        "files": { CHECKPOINT: seal },
    });
    // The status first: a kill in between leaves a file too many, not one that is missed.
    status.without(CHECKPOINT, seal).write(folder)?;
    fs::remove_file(&path)?;
    card::append(folder, entry)?;
    Ok(freed)
}
