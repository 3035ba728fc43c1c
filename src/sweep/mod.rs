//! Many experiments from one file. Pure: texts in, a plan of checked experiments or all errors out.
//!
//! ```text
//! text -> SweepFile (typed, with places) -> points (lists of changes) -> Plan { runs }
//! ```

mod axes;
mod budget;
mod builder;
mod choices;
mod early;
mod early_section;
mod exclude;
mod gpus;
mod metric;
mod multirun;
mod plan;
mod points;
mod ranges;
mod reader;
mod schema;
mod sweep_file;

pub use budget::{Cost, Costs};
pub use early::{ArmSeries, Decision, EarlyTermination, rule_of_today};
pub use gpus::Gpus;
pub use metric::{At, Metric};
pub use multirun::multirun;
pub use plan::{Plan, PlannedRun, baseline_of, plan};
pub(crate) use reader::Reader;
pub use schema::schema;
pub use sweep_file::is_sweep;
