//! Many experiments from one file. Pure: texts in, a plan of checked experiments or all errors out.
//!
//! ```text
//! text -> SweepFile (typed, with places) -> points (lists of changes) -> Plan { runs }
//! ```

mod axes;
mod budget;
mod builder;
mod early;
mod exclude;
mod gpus;
mod grammar;
mod metric;
mod multirun;
mod plan;
mod points;
mod reader;
mod schema;

pub use budget::{Cost, Costs};
pub use early::{ArmSeries, Decision, EarlyTermination};
pub use gpus::Gpus;
pub use grammar::is_sweep;
pub use metric::{At, Metric};
pub use multirun::multirun;
pub use plan::{Plan, PlannedRun, baseline_of, plan};
pub use schema::schema;
