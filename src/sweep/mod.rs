//! Many experiments from one file. Pure: texts in, a plan of checked experiments or all errors out.
//!
//! ```text
//! text -> SweepFile (typed, with places) -> points (lists of changes) -> Plan { runs }
//! ```

mod axes;
mod builder;
mod exclude;
mod grammar;
mod metric;
mod multirun;
mod plan;
mod points;
mod reader;

pub use grammar::is_sweep;
pub use metric::{Goal, Metric};
pub use multirun::multirun;
pub use plan::{Plan, PlannedRun, plan};
