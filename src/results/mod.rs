//! The run folder and its tables. Knows no tensor type, so results can be read where no model runs.

mod attempts;
pub mod card;
mod claim;
pub mod columns;
mod csv_file;
mod durable;
mod engine_task;
pub mod escape;
mod folder;
mod live;
mod machine;
pub mod meanings;
mod overview;
pub mod protocols;
pub mod read;
mod run_files;
mod run_name;
pub mod seal;
mod status;
mod stored_plan;
mod sweep_folder;
mod sweep_refresh;
mod sweep_timing;

pub use crate::events::{ProbedSplit, RunState};
pub use attempts::{Attempt, Attempts, OpenAttempt};
pub use claim::Owner;
pub use csv_file::{CsvFile, Vouched, replace};
pub use durable::{AtomicFile, is_superseded, write_atomic};
pub use engine_task::{EngineTask, variables as index_variables};
pub use folder::{FolderError, RunFolder};
pub use live::LiveRun;
pub use machine::host;
pub use meanings::{MetricMeaning, MetricMeanings};
pub use overview::{Measured, RunOverview};
pub use read::FileError;
pub use run_files::{is_run_folder, kept_epochs, kept_weights};
pub use run_name::run_name_parts;
pub use seal::{Care, Seal, Seals};
pub use status::Status;
pub use stored_plan::{StoredPlan, above};
pub use sweep_folder::{RunRow, Sizes, SweepFolder, decisions, table, wide_table};
pub use sweep_refresh::refresh_metrics;

/// The experiment of a run folder, with nothing left to default.
pub const EXPERIMENT: &str = "experiment.yaml";
/// How far a run is.
pub const STATUS: &str = "status.json";
/// The processes that worked on a run.
pub const CARDS: &str = "run.json";
/// Held while a process works on a folder.
pub const LOCK: &str = "lock";
/// Folder of the checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// The checkpoint that a resume reads.
pub const CHECKPOINT: &str = "checkpoints/latest.safetensors";
/// The parameters at the end of a run.
pub const WEIGHTS: &str = "weights.safetensors";
/// Folder of the files that probes leave.
pub const ARTIFACTS: &str = "probes";
/// The file of a sweep folder that says what was asked for.
pub const SWEEP: &str = "sweep.yaml";
