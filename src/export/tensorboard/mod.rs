//! TensorBoard: one event file per run, in a folder of the run's name, with scalars and the run's row in the table of
//! hyperparameters, whose group is the run's arm.

mod record;

use super::{
    ExportedFile,
    history::{History, Series},
};
use crate::results::RunState;
use record::{Message, record};

/// The event file of a run. Its name is the same every time, so that a second export replaces the first.
pub(super) fn file(history: &History) -> ExportedFile {
    let History { clock, .. } = history;
    let mut bytes = record(&event(clock.start, 0).text(3, "brain.Event:2"));
    let start = summary("_hparams_/session_start_info", 3, &session_start(history));
    bytes.extend(record(&event(clock.start, 0).message(5, &start)));
    // In the order of time, as a run that is watched would write them.
    let mut points: Vec<(u64, &Series, f64)> = Vec::new();
    for series in &history.series {
        points.extend(series.points.iter().map(|(step, value)| (*step, series, *value)));
    }
    points.sort_by_key(|(step, ..)| *step);
    for (step, series, value) in points {
        let value = Message::default().text(1, &series.tag).float(2, value as f32);
        bytes.extend(record(&event(clock.at(step), step).message(5, &Message::default().message(1, &value))));
    }
    if let Some(status) = status(history.state) {
        let end = Message::default().integer(1, status).double(2, clock.end());
        bytes.extend(record(
            &event(clock.end(), 0).message(5, &summary("_hparams_/session_end_info", 4, &end)),
        ));
    }
    let name = format!("events.out.tfevents.{}.ijepa-run.0.0", clock.start as u64);
    ExportedFile::new(format!("{}/{name}", history.name), bytes)
}

/// `Event`: time and step.
fn event(seconds: f64, step: u64) -> Message {
    let event = Message::default().double(1, seconds);
    if step == 0 { event } else { event.integer(2, step) }
}

/// `Summary` with a value that holds `HParamsPluginData` with one field.
fn summary(tag: &str, field: u32, content: &Message) -> Message {
    let plugin =
        Message::default().text(1, "hparams").message(2, &Message::default().message(field, content));
    let metadata = Message::default().message(1, &plugin);
    Message::default().message(1, &Message::default().text(1, tag).message(9, &metadata))
}

/// `SessionStartInfo`: the settings, the group, the start.
fn session_start(history: &History) -> Message {
    let mut info = Message::default();
    for (path, value) in &history.distinguishing {
        // google.protobuf.Value
        let value = match (value.parse::<f64>(), value.as_str()) {
            (Ok(number), _) => Message::default().double(2, number),
            (_, "true" | "false") => Message::default().integer(4, u64::from(value == "true")),
            _ => Message::default().text(3, value),
        };
        info = info.message(1, &Message::default().text(1, path).message(2, &value));
    }
    info.text(4, &history.arm).double(5, history.clock.start)
}

/// `Status` of a session that is over.
fn status(state: RunState) -> Option<u64> {
    match state {
        RunState::Done | RunState::Collapsed => Some(1),
        RunState::Failed | RunState::Diverged => Some(2),
        _ => None,
    }
}
