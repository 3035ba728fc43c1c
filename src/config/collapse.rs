//! When a run counts as collapsed: its representation has lost its spread or its rank.

use ijepa_registry::problem::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    error::Report,
    experiment::{ProbeSpec, RegularizerSpec, term_columns},
    span::join,
    wording::did_you_mean,
};

/// Columns of `metrics.csv` that a rule can watch, besides the metrics of the probes.
pub const WATCHED_COLUMNS: [&str; 5] =
    ["loss", "gradient_norm", "explained_variance", "target_std", "prediction_std"];

/// One entry of `collapse`: the run ends as `collapsed` once `metric` was below `below` at
/// `patience` measurements in a row. The loss cannot tell: it falls while everything becomes equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CollapseRule {
    /// A column of `metrics.csv` such as `target_std`, taken from the last step of every epoch, or a
    /// metric of a probe such as `rankme/target/rankme`, taken whenever the probe runs.
    pub metric: String,
    /// Smallest healthy value.
    #[schemars(range(min = -1e30, max = 1e30))]
    pub below: f64,
    /// Measurements in a row that must be below.
    #[serde(default = "once")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub patience: u64,
    /// Epochs at the start that are not judged: a random encoder may look collapsed.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub after: u64,
}

fn once() -> u64 {
    1
}

/// A rule must name something that is measured while the run goes on.
pub(super) fn check(
    rules: &[CollapseRule],
    probes: &[ProbeSpec],
    terms: &[RegularizerSpec],
    report: &mut Report,
) {
    let terms = term_columns(terms.iter().map(|term| term.name.as_str()));
    let columns: Vec<&str> = WATCHED_COLUMNS.into_iter().chain(terms.iter().map(String::as_str)).collect();
    for (i, rule) in rules.iter().enumerate() {
        let wrong = problem(rule, probes, &columns);
        report.clean(&join("collapse", &i.to_string()), wrong);
    }
}

fn problem(rule: &CollapseRule, probes: &[ProbeSpec], columns: &[&str]) -> Option<Problem> {
    if columns.contains(&rule.metric.as_str()) {
        return None;
    }
    let names: Vec<(String, u64)> =
        probes.iter().flat_map(|p| p.encoder_metrics().into_iter().map(|name| (name, p.every))).collect();
    match names.iter().find(|(name, _)| *name == rule.metric) {
        Some((_, 1..)) => None,
        Some(_) => {
            let message = format!("`{}` is measured at the end only", rule.metric);
            Some(Problem::new("metric", message).help("give its probe an interval, such as `every: 5`"))
        }
        None => {
            let known: Vec<&str> =
                columns.iter().copied().chain(names.iter().map(|(name, _)| name.as_str())).collect();
            let message = format!("nothing measures `{}`", rule.metric);
            let probe = rule.metric.split('/').next().filter(|_| rule.metric.contains('/'));
            let keep =
                probe.map_or(String::new(), |probe| format!("keep a probe `{probe}` with `every`, or "));
            let help = did_you_mean(&rule.metric, &known);
            Some(
                Problem::new("metric", message)
                    .help(format!("{keep}write `collapse: []` to drop the rules\n{help}")),
            )
        }
    }
}
