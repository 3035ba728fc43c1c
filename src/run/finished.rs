//! What an earlier process has left in a run folder, seen without a lock or with it.

use std::path::Path;

use super::{Finished, RunError, RunOptions, ended::Ended};
use crate::{
    config::Experiment,
    events::Outcome,
    results::{CHECKPOINT, Care, RunState, Status, WEIGHTS},
};

/// What a look at a run folder finds.
pub enum Found {
    /// Nothing that came to an end: there is something to train.
    Unfinished,
    /// A run that was trained to its end, and lacks probes.
    Lacking(Ended),
    /// A run of which nothing is left to do.
    Complete(Finished),
}

/// Looks into the run folder `path`. Probes that it holds are added to those of `experiment`; `again` names
/// probes to be measured though they are there.
pub fn look(
    path: &Path,
    experiment: &mut Experiment,
    again: &[String],
    options: &RunOptions,
) -> Result<Found, RunError> {
    let Some(finished) = already_finished(path, options)? else { return Ok(Found::Unfinished) };
    if finished.outcome != Outcome::Done {
        return Ok(Found::Complete(finished));
    }
    let ended = Ended::of(path, experiment, again)?.filter(Ended::lacks_any);
    Ok(ended.map_or(Found::Complete(finished), Found::Lacking))
}

/// A run that an earlier process has brought to its end, unless it is to start over. Its files must be
/// what it left; weights that are gone are made again, which is not nothing.
fn already_finished(folder: &Path, options: &RunOptions) -> Result<Option<Finished>, RunError> {
    let damaged = |error| RunError::Damaged(error, folder.into());
    if options.force {
        return Ok(None);
    }
    let Some(status) = Status::read(folder).map_err(damaged)? else { return Ok(None) };
    let there = |name: &str| folder.join(name).symlink_metadata().is_ok();
    let weights_to_make = status.state == RunState::Done && !there(WEIGHTS) && there(CHECKPOINT);
    if !status.state.is_over() || weights_to_make {
        return Ok(None);
    }
    if let Some(error) = status.damages(folder, Care::Weights).into_iter().next() {
        return Err(damaged(error));
    }
    let outcome = match status.state {
        RunState::Done => Outcome::Done,
        RunState::Diverged => Outcome::Diverged { reason: status.reason },
        RunState::Collapsed => Outcome::Collapsed { reason: status.reason },
        _ => return Ok(None),
    };
    Ok(Some(Finished { folder: folder.into(), outcome, reused: true }))
}
