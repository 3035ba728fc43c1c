//! What runs and sweeps tell the outside, as plain data. Training emits events; sinks turn them into CSV
//! rows, progress bars and checkpoints. A sweep emits events of its own.

mod row;
mod state;
mod sweep;
mod tables;

pub use row::{Cell, Column, Direction, Row, RowError, number};
pub(crate) use row::{meaning, row};
pub use state::RunState;
pub use sweep::{Ahead, RunAhead, RunEnd, SweepEnd, SweepEvent};
pub use tables::{EpochRow, MetricsRow, PredictionRow, ProbeRow, ProbedSplit};

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Training starts, or continues after a resume.
    Started(Started),
    /// Steps ended: every one on its own on a processor, those that were read together on a GPU. Nothing
    /// of it goes into a table of results.
    Tick(Tick),
    /// A row of `metrics.csv` is complete.
    Metrics(MetricsRow),
    /// An epoch ended.
    Epoch(EpochRow),
    /// Something slow outside training advances.
    Phase(Phase),
    /// A probe was measured: one value.
    Probe(ProbeRow),
    /// A probe left a file beside its numbers.
    Artifact(Artifact),
    /// The weights of an epoch that are to be kept.
    Keep(u64, Box<Snapshot>),
    /// What a probe says of every image.
    Predictions(Predictions),
    /// A step at which everything is to be saved.
    Checkpoint(Box<Snapshot>),
    /// The run is over.
    Ended(Outcome),
}

/// Sizes of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    /// First step of this process (0, or where a checkpoint left off).
    pub first_step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps of one epoch.
    pub steps_per_epoch: u64,
    /// Images per step.
    pub batch_size: u64,
    /// Useful operations of the matrix products of one step; none if the model's sizes are unknown.
    pub flop_per_step: Option<f64>,
}

/// The end of one step or of several, for progress displays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tick {
    /// Steps done.
    pub step: u64,
    /// Loss of the last one.
    pub loss: f64,
}

/// Progress of feature extraction or of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// What is being done, such as `features of the target encoder`.
    pub what: String,
    /// Units done.
    pub done: u64,
    /// Units in all.
    pub total: u64,
}

/// A file that a probe leaves: a picture, an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Name of the file: probe, encoder, labels, split and epoch, with the probe's ending.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// What a probe says of every image that it is judged on.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// Start of the file's name: probe, encoder, labels, split and epoch.
    pub name: String,
    /// One per image.
    pub rows: Vec<PredictionRow>,
}

/// Named tensors with shape and values.
pub type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps and probes are done.
    Done,
    /// Asked to stop; a checkpoint holds everything.
    Stopped,
    /// The loss or a gradient was not finite.
    Diverged {
        /// What was found, at which step.
        reason: String,
    },
    /// A rule of the experiment found the representation collapsed; a checkpoint holds everything.
    Collapsed {
        /// What was found, at which epoch.
        reason: String,
    },
}

/// Everything needed to continue a run exactly.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Where the run stands.
    pub progress: Progress,
    /// Steps the optimizer has taken.
    pub optimizer_steps: u64,
    /// Named tensors with shape and values: parameters, then optimizer state.
    pub tensors: Tensors,
}

/// Where a run stands between two steps.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Whether the epoch that ends at `step` has been closed (its row written, its probes run).
    pub epoch_closed: bool,
    /// Loss since the last row of `metrics.csv`.
    pub interval: Mean,
    /// Loss since the start of the epoch.
    pub epoch: Mean,
    /// Mask draws thrown away so far.
    pub mask_redraws: u64,
    /// How the collapse rules of the experiment stand.
    #[serde(default)]
    pub watches: Vec<Watch>,
}

/// What a collapse rule has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Watch {
    /// Measurements in a row that were too small.
    pub count: u64,
    /// The last one; none if it is not finite.
    pub value: Option<f64>,
}

/// A running mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    /// Adds one value.
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }
    /// The mean so far.
    pub fn value(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }
    /// Whether nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
    /// The mean so far, and starts again.
    pub fn take(&mut self) -> f64 {
        let mean = self.value();
        *self = Mean::default();
        mean
    }
}
