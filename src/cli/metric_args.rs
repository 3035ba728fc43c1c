//! What arms are judged by: the options that `compare` and `report` share.

use clap::Args;
use ijepa_registry::metric::Direction;

use crate::analysis::At;

#[derive(Args, Clone, Debug)]
pub(super) struct MetricArgs {
    /// Column of metrics.csv or epochs.csv, or probe/encoder[/labels]/metric; by default that of
    /// the sweep, else top1 of the first linear probe on the target encoder.
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,
    /// Arm to compare the others with; by default the arm of a sweep that changes nothing, else the first.
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    /// Measurement of each run: last, best, or the one at a step; by default that of the sweep, else the
    /// last.
    #[arg(long, value_name = "last|best|STEP")]
    pub at: Option<At>,
    /// Which direction is good, where the runs do not say: needed for verdicts on columns of other programs.
    #[arg(long, value_name = "higher|lower")]
    pub goal: Option<Direction>,
    /// Largest difference that does not matter; allows the verdict `equivalent`.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub margin: Option<f64>,
}

impl MetricArgs {
    /// The first of these options that was given.
    pub fn first_given(&self) -> Option<&'static str> {
        let MetricArgs { metric, baseline, at, goal, margin } = self;
        let given = [
            ("--metric", metric.is_some()),
            ("--baseline", baseline.is_some()),
            ("--at", at.is_some()),
            ("--goal", goal.is_some()),
            ("--margin", margin.is_some()),
        ];
        given.iter().find(|(_, is_given)| *is_given).map(|(name, _)| *name)
    }
}
