//! Whether a run folder holds what its run left there, and the way out after a deliberate change.

use std::{io, path::Path};

use serde_json::json;

use super::{CheckpointMeta, check_weights, read_checkpoint, write_checkpoint};
use crate::{
    events::Snapshot,
    results::{
        CHECKPOINT, Care, EXPERIMENT, FileError, FolderError, RunFolder, RunState, STATUS, Seal, Seals,
        Status, WEIGHTS,
        card::{self, DataCard, RunCard},
        columns::{
            EPOCHS, EpochRow, METRICS, MetricsRow, PROBES, ProbeRow, Row, TABLES, TIMING, Table, TimingRow,
        },
        read::{self, TableFile},
        seal, wide_table, write_atomic,
    },
};

/// What a look at every byte of a run folder found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is wrong, each with its file.
    pub problems: Vec<String>,
    /// Version 0.1.0 wrote it: nothing vouches for its files but their form.
    pub unsealed: bool,
}

/// Reads every file of a run folder to its end.
pub fn verify(folder: &Path) -> Findings {
    let mut found = Findings::default();
    let problem =
        |problems: &mut Vec<String>, error: &dyn std::fmt::Display| problems.push(error.to_string());
    let status = Status::expected(folder).unwrap_or_else(|error| {
        problem(&mut found.problems, &error);
        None
    });
    if let Err(error) = RunCard::read_all(folder) {
        problem(&mut found.problems, &error);
    }
    match RunFolder::checkpoint_in(folder) {
        // Of a run that is over the seals tell.
        Ok(None) if status.as_ref().is_some_and(|s| s.state.is_over()) => {}
        Ok(None) => {
            found.problems.extend(RunFolder::lost_checkpoint_in(folder).err().map(|e| e.to_string()));
        }
        Ok(Some(path)) => match read_checkpoint(&path) {
            Ok((meta, _)) => checkpoint(folder, &meta, status.as_ref(), &mut found),
            Err(error) => problem(&mut found.problems, &error),
        },
        Err(error) => problem(&mut found.problems, &error),
    }
    if let Some(status) = status.filter(|s| s.state.is_over()) {
        found.unsealed |= status.is_unsealed();
        let damages =
            status.damages(folder, Care::Everything).into_iter().chain(gone_unsealed(folder, &status));
        found.problems.extend(damages.map(|damage| damage.to_string()));
    }
    let experiment = folder.join(EXPERIMENT).display().to_string();
    if !folder.join(EXPERIMENT).is_file() && !found.problems.iter().any(|p| p.starts_with(&experiment)) {
        found.problems.push(format!("{experiment}: is gone"));
    }
    let weights = folder.join(WEIGHTS);
    if weights.is_file() && found.problems.is_empty() {
        found.problems.extend(check_weights(&weights).err().map(|e| e.to_string()));
    }
    found
}

/// What is gone of a finished run of version 0.1.0, which has no seals that would miss it.
fn gone_unsealed(folder: &Path, status: &Status) -> Vec<FileError> {
    let unsealed = status.is_unsealed() && status.state == RunState::Done;
    let left = [WEIGHTS, CHECKPOINT].into_iter().chain(TABLES.map(|table| table.file));
    let gone = left.map(|name| folder.join(name)).filter(|path| unsealed && path.symlink_metadata().is_err());
    gone.map(|path| FileError::at(&path, None, "is gone; every finished run leaves one")).collect()
}

/// The tables of a run that goes on are what its checkpoint vouches for.
fn checkpoint(folder: &Path, meta: &CheckpointMeta, status: Option<&Status>, found: &mut Findings) {
    if status.is_some_and(|s| s.state.is_over()) {
        return;
    }
    found.unsealed |= meta.is_unsealed();
    for table in TABLES {
        let vouched = meta.vouches(table.file).map(|vouched| vouched.check(&folder.join(table.file)));
        found.problems.extend(vouched.and_then(Result::err).map(|e| e.to_string()));
    }
}

/// Why a folder cannot be taken as it is.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// It is in use, or cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file cannot be read.
    #[error("{0}\n  help: put the file back, or start over with --force (earlier files are kept)")]
    File(#[from] FileError),
    /// Nothing is left that vouches for the run.
    #[error("{0}")]
    Lost(String),
    /// A file cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Takes the files of a run as they are: from now on they are what its run left. Tables of a run that goes
/// on keep their rows up to the checkpoint. `run.json` says what was accepted; returns the names of the
/// files that had changed.
pub fn accept(folder: &Path) -> Result<Vec<String>, AcceptError> {
    let locked = RunFolder::open(folder)?;
    let status = known_status(&locked)?;
    let changed = match status {
        Some(status) if status.state.is_over() => accept_end(folder, status)?,
        status => accept_checkpoint(&locked, status)?,
    };
    let at = RunCard::of_this_process("none", 0, &DataCard::default(), 0);
    let entry = json!({
        "accepted_at": at.started_at, "command": at.command, "version": at.version, "git": at.git,
        "files": changed,
    });
    card::append(folder, entry)?;
    Ok(changed)
}

/// The status; one that cannot be read is kept aside, and made again from the checkpoint like one that is gone.
fn known_status(folder: &RunFolder) -> Result<Option<Status>, AcceptError> {
    let there = match folder.status() {
        Ok(Some(status)) => return Ok(Some(status)),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    let Some(path) = folder.existing_checkpoint()? else { return Ok(there.map(|()| None)?) };
    let (meta, _) = read_checkpoint(&path).map_err(|e| AcceptError::Lost(e.to_string()))?;
    if folder.path().join(STATUS).symlink_metadata().is_ok() {
        card::keep_aside(&folder.path().join(STATUS))?;
    }
    let reason = if there.is_ok() { "its status was gone" } else { "its status could not be read" };
    let status = Status::new(RunState::Stopped, reason, [meta.progress.step, meta.steps], &meta.data);
    let status = status.of_splits(meta.data_splits.clone());
    status.write(folder.path())?;
    Ok(Some(status))
}

fn accept_end(folder: &Path, status: Status) -> Result<Vec<String>, AcceptError> {
    check::<MetricsRow>(folder, &METRICS)?;
    check::<EpochRow>(folder, &EPOCHS)?;
    check::<ProbeRow>(folder, &PROBES)?;
    let files = seal::of_folder(folder)?;
    let changed = differences(&status.files, &files);
    status.sealing(files).write(folder)?;
    Ok(changed)
}

/// Whether a table can be read at all.
fn check<R: Row>(folder: &Path, table: &Table) -> Result<(), FileError> {
    let path = folder.join(table.file);
    let Some(bytes) = read::bytes(&path)? else { return Ok(()) };
    TableFile::parse(&path, bytes)?.typed::<R>().map(|_| ())
}

fn accept_checkpoint(folder: &RunFolder, status: Option<Status>) -> Result<Vec<String>, AcceptError> {
    let Some(path) = folder.existing_checkpoint()? else {
        let message = format!("{}: there is no checkpoint to go on from", folder.path().display());
        return Err(AcceptError::Lost(format!(
            "{message}\n  help: start over with --force (earlier files are kept)"
        )));
    };
    let (meta, snapshot) = read_checkpoint(&path).map_err(|e| AcceptError::Lost(e.to_string()))?;
    let mut tables = Seals::new();
    for (file, seal) in [
        rewritten::<MetricsRow>(folder.path(), &METRICS, &snapshot)?,
        rewritten::<EpochRow>(folder.path(), &EPOCHS, &snapshot)?,
        rewritten::<ProbeRow>(folder.path(), &PROBES, &snapshot)?,
        rewritten::<TimingRow>(folder.path(), &TIMING, &snapshot)?,
    ] {
        tables.insert(file, seal);
    }
    let changed = differences(&meta.tables, &tables);
    let meta = CheckpointMeta::new(&meta.identity, &meta.data, meta.steps, tables.clone(), &snapshot)
        .of_splits(meta.data_splits);
    write_checkpoint(&path, &meta, &snapshot)?;
    if let Some(status) = status.filter(|status| status.state == RunState::Stopped) {
        status.sealing(tables).write(folder.path())?;
    }
    Ok(changed)
}

/// The rows of a table that belong to a checkpoint, written anew. Rows of an epoch that is still open
/// come with its end.
fn rewritten<R: Row>(folder: &Path, of: &Table, snapshot: &Snapshot) -> Result<(String, Seal), AcceptError> {
    let path = folder.join(of.file);
    let (rows, further): (Vec<R>, _) = match read::bytes(&path)? {
        Some(bytes) => {
            let table = TableFile::parse(&path, bytes)?;
            (table.typed()?, table.further::<R>())
        }
        None => (Vec::new(), Vec::new()),
    };
    let end = snapshot.progress.step as f64;
    let open = !snapshot.progress.epoch_closed && *of != METRICS;
    let belongs = |row: &R| row.number("step").is_some_and(|step| step < end || step == end && !open);
    let bytes = wide_table(rows.into_iter().filter(belongs), &further)?;
    write_atomic(&path, &bytes)?;
    Ok((of.file.to_owned(), Seal::of(&bytes)))
}

fn differences(before: &Seals, after: &Seals) -> Vec<String> {
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    names.filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}
