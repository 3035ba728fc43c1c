//! What a person reads after a run, and the exit code a script reads.

use std::path::Path;

use super::{Exit, out};
use crate::{
    analysis::render::short,
    events::Outcome,
    results::{
        FolderError, Status,
        columns::{PROBES, ProbeRow},
        read,
    },
    run::{Finished, RunError},
    sinks::Verbosity,
};

/// Prints the last probes and where everything lies.
pub(crate) fn report(finished: &Finished, verbosity: Verbosity) -> Exit {
    let folder = finished.folder.display();
    let (line, exit) = match &finished.outcome {
        Outcome::Done if finished.reused => (format!("already done: {folder}"), Exit::Done),
        Outcome::Done => (format!("done: {folder}"), Exit::Done),
        Outcome::Stopped => {
            (format!("stopped with a checkpoint, run again to continue: {folder}"), Exit::Requeue)
        }
        Outcome::Diverged { reason } => (format!("diverged: {reason}: {folder}"), Exit::Diverged),
        Outcome::Collapsed { reason } => (format!("collapsed: {reason}: {folder}"), Exit::Diverged),
    };
    let shows = exit == Exit::Done && verbosity > Verbosity::Quiet;
    let told = if shows { out::stdout(&last_probes(&finished.folder)) } else { Exit::Done };
    if finished.reused && Status::read(&finished.folder).ok().flatten().is_some_and(|s| s.is_unsealed()) {
        out::stderr(
            "note: unsealed: version 0.1.0 wrote this run, and nothing vouches for its files; `ijepa-run verify --accept` seals them",
        );
    }
    out::stderr(&line);
    exit.or(told)
}

/// The exit code of an error.
pub(crate) fn exit_of(error: &RunError) -> Exit {
    match error {
        RunError::Config(_) | RunError::Data(_) => Exit::Config,
        RunError::Folder(FolderError::InUse(_)) => Exit::Locked,
        _ => Exit::Failed,
    }
}

/// Two decimals, or the first digits of a small number.
fn measured(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.1 { short(value) } else { format!("{value:.2}") }
}

/// The rows of the last epoch of `probes.csv` as an aligned table, or what is wrong with it.
pub(super) fn last_probes(folder: &Path) -> String {
    let rows: Vec<ProbeRow> = match read::rows(folder, &PROBES) {
        Ok(rows) => rows,
        Err(error) => return format!("  damaged: {error}\n"),
    };
    let Some(last) = rows.last().map(|row| row.epoch) else { return String::new() };
    let header = ["probe", "encoder", "labels", "metric", "value", "unit"].map(String::from);
    let cells = |row: &ProbeRow| {
        let value = measured(row.value);
        [&row.probe, &row.encoder, &row.labels, &row.metric, &value, &row.unit].map(String::from)
    };
    out::aligned(header, rows.iter().filter(|row| row.epoch == last).map(cells).collect())
}
