//! The run folder and its tables. Knows no tensor type, so results can be read where no model runs.

pub mod card;
pub mod columns;
mod csv_file;
mod folder;
pub mod meanings;
mod standing;
mod status;
mod sweep_folder;
mod sweep_timing;

pub use csv_file::CsvFile;
pub use folder::{FolderError, RunFolder, write_atomic};
pub use meanings::{MetricMeaning, MetricMeanings};
pub use standing::{Measured, Standing};
pub use status::{State, Status};
pub use sweep_folder::{RunRow, Sizes, SweepFolder};
