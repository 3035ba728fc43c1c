//! TensorBoard: one event file per run, in a folder of the run's name, with scalars and the run's row in the table of
//! hyperparameters, whose group is the run's arm.

use super::{
    ExportedFile,
    history::{History, Series},
};
use crate::{results::RunState, sinks::event_file};

/// The event file of a run. Its name is the same every time, so that a second export replaces the first.
pub(super) fn file(history: &History) -> ExportedFile {
    let History { clock, .. } = history;
    let mut bytes = event_file::version(clock.start);
    bytes.extend(event_file::session_start(clock.start, &history.arm, &history.distinguishing));
    // In the order of time, as a run that is watched would write them.
    let mut points: Vec<(u64, &Series, f64)> = Vec::new();
    for series in &history.series {
        points.extend(series.points.iter().map(|(step, value)| (*step, series, *value)));
    }
    points.sort_by_key(|(step, ..)| *step);
    for (step, series, value) in points {
        bytes.extend(event_file::scalar(clock.at(step), step, &series.tag, value));
    }
    if let Some(success) = success(history.state) {
        bytes.extend(event_file::session_end(clock.end(), success));
    }
    let name = format!("events.out.tfevents.{}.ijepa-run.0.0", clock.start as u64);
    ExportedFile::new(format!("{}/{name}", history.name), bytes)
}

/// Whether a session that is over went well.
fn success(state: RunState) -> Option<bool> {
    match state {
        RunState::Done | RunState::Collapsed => Some(true),
        RunState::Failed | RunState::Diverged => Some(false),
        _ => None,
    }
}
