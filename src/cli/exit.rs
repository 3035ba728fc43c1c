//! What a person reads after a run, and the exit code a script reads.

use std::path::Path;

use super::{Exit, print, results_table::LastProbes};
use crate::{
    events::Outcome,
    results::{FolderError, Status},
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
    let told = if shows { print::stdout(&results(&finished.folder, verbosity)) } else { Exit::Done };
    if finished.reused && Status::read(&finished.folder).ok().flatten().is_some_and(|s| s.is_unsealed()) {
        print::stderr(
            "note: unsealed: version 0.1.0 wrote this run, and nothing vouches for its files; `ijepa-run verify --accept` seals them",
        );
    }
    print::stderr(&line);
    exit.or(told)
}

/// The results set off from everything else; choices of the probes and diagnostics where more is asked for.
fn results(folder: &Path, verbosity: Verbosity) -> String {
    match LastProbes::read(folder) {
        Ok(last) if verbosity == Verbosity::Verbose => format!("\n{}\n{}\n", last.results(), last.others()),
        Ok(last) if last.headline().is_none() => String::new(),
        Ok(last) => format!("\n{}\n", last.results()),
        Err(error) => format!("  damaged: {error}\n"),
    }
}

/// The exit code of an error.
pub(crate) fn exit_of(error: &RunError) -> Exit {
    match error {
        RunError::Config(_) | RunError::Data(_) => Exit::Config,
        RunError::Folder(FolderError::InUse(_) | FolderError::Claimed(..)) => Exit::Locked,
        error if error.is_superseded() => Exit::Locked,
        _ => Exit::Failed,
    }
}
