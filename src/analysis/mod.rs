//! Comparison of finished runs: which arm is better, how sure is that, and what would make it
//! surer. Imports `results`, words of `sweep`, and what `config` knows of settings:
//! no tensors, no printing.
//!
//! ```text
//! folders, CSV files -> runs -> arms (one configuration, many seeds) -> summaries -> contrasts -> report
//! ```

mod arms;
mod compare;
mod contrast;
mod direction;
mod earlier;
mod error;
mod headline;
mod images;
mod labels;
mod metric;
mod notes;
mod pairing;
mod protocols;
pub mod render;
mod runs;
mod seeds;
pub mod settings;
pub mod stats;
mod summary;
mod tested;
mod verdict;

pub use arms::{Arm, labelled};
pub use compare::{Report, Request, Study, compare};
pub use contrast::{Contrast, Question, judged};
pub use direction::Judged;
pub use earlier::{Earlier, Neighbour, StoredSettings};
pub use error::AnalysisError;
pub use headline::{Piece, headline};
pub use images::Images;
pub use labels::short_values;
pub use metric::{Absence, At};
pub use runs::{ColumnMap, Run, Series, SweepRun, SweepTable, is_sweep, read_run};
pub use seeds::too_few_seeds;
pub use settings::SettingDifference;
pub use summary::{Reading, Summary};
pub use tested::Test;
pub use verdict::Verdict;
