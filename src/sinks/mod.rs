//! Where events go: files of the run folder, TensorBoard, a progress display, memory (for tests).

pub mod bars;
mod checkpoint;
mod clean;
pub mod colour;
pub(crate) mod event_file;
pub mod features;
mod files;
mod progress;
mod tensorboard;
mod verify;

pub use checkpoint::{
    CheckpointError, CheckpointMeta, Weights, check_weights, read_checkpoint, read_weights, write_checkpoint,
    write_weights,
};
pub use clean::{CleanError, free, freeable};
pub use files::{Files, write_artifact, write_predictions};
pub use progress::{Progress, Verbosity, human_time, shows_bars};
pub(crate) use tensorboard::tensorboard_tags;
pub use tensorboard::{SessionInfo, TENSORBOARD, TensorBoard};
pub use verify::{AcceptError, Findings, accept, verify};

use crate::events::Event;

/// A consumer of events. An error ends the run; a sink that only displays never returns one.
pub trait Sink {
    /// Takes one event.
    fn take(&mut self, event: &Event) -> std::io::Result<()>;
}

/// Keeps every event: for tests and for callers that want the numbers.
#[derive(Default)]
pub struct Memory {
    /// All events so far.
    pub events: Vec<Event>,
}

impl Sink for Memory {
    fn take(&mut self, event: &Event) -> std::io::Result<()> {
        self.events.push(event.clone());
        Ok(())
    }
}
