//! A run that goes on where its checkpoint left off.

use std::path::Path;

use super::{RunError, older};
use crate::{
    data::Fingerprint,
    model::BuildDevice,
    results::{RunFolder, card::RunCard},
    sinks::{CheckpointMeta, read_checkpoint},
    train::Session,
};

/// Puts the session where the checkpoint left off, if there is one.
pub fn resume<D: BuildDevice>(
    session: &mut Session<D>,
    folder: &RunFolder,
    identity: &str,
    data: &Fingerprint,
) -> Result<Option<CheckpointMeta>, RunError> {
    let damaged = |error| RunError::Damaged(error, folder.path().into());
    let Some(path) = folder.existing_checkpoint().map_err(damaged)? else {
        folder.refuse_lost_checkpoint().map_err(damaged)?;
        return Ok(None);
    };
    let (meta, snapshot) = read_checkpoint(&path)?;
    // A checkpoint of version 0.1.0 has an identity of its own kind; what stands beside it tells.
    let same = meta.identity == identity || older::is_of(folder.path(), identity);
    if !same || meta.data != data.all {
        let what = if meta.data == data.all { "another configuration" } else { "other data" };
        return Err(RunError::OtherData(format!(
            "{} was written by {what} under the same name; start over with --force (earlier files are kept)",
            path.display()
        )));
    }
    let (step, steps) = (meta.progress.step, session.plan.horizon.steps);
    if step > steps {
        return Err(RunError::OtherData(format!(
            "{}: says step {step} of a run of {steps} steps; start over with --force (earlier files are kept)",
            path.display()
        )));
    }
    session.restore(snapshot).map_err(|error| {
        RunError::OtherData(format!(
            "{}: {error}; start over with --force (earlier files are kept)",
            path.display()
        ))
    })?;
    Ok(Some(meta))
}

/// What a person should know of a run that goes on: who wrote it.
pub fn continued(folder: &Path, meta: &CheckpointMeta, now: &RunCard) -> Vec<String> {
    let mut notes = Vec::new();
    if meta.is_unsealed() {
        let what = "version 0.1.0 wrote this run: unsealed, its tables are known by their lengths only";
        notes.push(format!("note: {what}; from here on everything is sealed"));
    }
    let cards = RunCard::read_all(folder).unwrap_or_default();
    let program = |card: &RunCard| format!("version {} {}", card.version, card.git).trim_end().to_owned();
    if let Some(last) = cards.last().filter(|last| program(last) != program(now)) {
        notes.push(format!("note: {} worked on this run before, now {}", program(last), program(now)));
    }
    notes
}
