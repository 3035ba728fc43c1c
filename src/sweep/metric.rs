//! The number that arms are judged by.

use std::{cmp::Ordering, str::FromStr};

use serde_json::{Map, Value};

use super::{grammar::SweepFile, plan::one, reader::Reader};
use crate::config::{ConfigError, Place, ProbeSpec, describe, did_you_mean, join};

/// Which direction of a metric is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// More is better.
    Maximize,
    /// Less is better.
    Minimize,
}

impl Goal {
    /// Orders values from good to bad.
    pub fn better_first(self, a: f64, b: f64) -> Ordering {
        match self {
            Goal::Maximize => b.total_cmp(&a),
            Goal::Minimize => a.total_cmp(&b),
        }
    }

    /// The word in a file.
    pub fn name(self) -> &'static str {
        match self {
            Goal::Maximize => "maximize",
            Goal::Minimize => "minimize",
        }
    }
}

/// Which measurement of a run counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The last one.
    Last,
    /// The best one. Chosen with hindsight: it flatters noisy arms.
    Best,
    /// The one at this optimizer step.
    Step(u64),
}

impl At {
    /// The measurement that counts, of (step, value) in order; `better_first` orders from good to bad.
    pub fn pick(self, series: &[(u64, f64)], better_first: impl Fn(f64, f64) -> Ordering) -> Option<f64> {
        let finite = series.iter().map(|(_, value)| *value).filter(|v| v.is_finite());
        match self {
            At::Last => series.last().map(|(_, value)| *value),
            At::Best => finite.min_by(|a, b| better_first(*a, *b)),
            At::Step(step) => series.iter().find(|(s, _)| *s == step).map(|(_, value)| *value),
        }
    }
}

impl FromStr for At {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "last" => Ok(At::Last),
            "best" => Ok(At::Best),
            step => step.parse().map(At::Step).map_err(|_| "write `last`, `best` or a step".into()),
        }
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            At::Last => f.write_str("last"),
            At::Best => f.write_str("best"),
            At::Step(step) => write!(f, "step {step}"),
        }
    }
}

/// The number that the arms are judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// `probe/encoder/labels/metric`; without labels where the probe uses none.
    pub name: String,
    /// Which direction is good.
    pub goal: Goal,
    /// Which measurement counts.
    pub at: At,
}

impl Metric {
    /// The measurement that counts, of (step, value) in order.
    pub fn pick(&self, series: &[(u64, f64)]) -> Option<f64> {
        self.at.pick(series, |a, b| self.goal.better_first(a, b))
    }
}

/// Reads the `metric` section.
pub(super) fn read(top: &Map<String, Value>, reader: &mut Reader) -> Option<Metric> {
    section("metric", top.get("metric")?, reader)
}

/// Reads a metric that stands at `path`.
pub(super) fn section(path: &str, value: &Value, reader: &mut Reader) -> Option<Metric> {
    let map = reader.mapping(path, value, &["name", "goal", "at"])?;
    let goals = [Goal::Maximize, Goal::Minimize];
    let words = goals.map(Goal::name);
    let goal = map.get("goal").map_or(Some(0), |g| reader.word(&join(path, "goal"), g, &words));
    let at = map.get("at").map_or(Some(At::Last), |at| moment(&join(path, "at"), at, reader));
    match map.get("name") {
        Some(Value::String(name)) => Some(Metric { name: name.clone(), goal: goals[goal?], at: at? }),
        _ => {
            let help = "write `metric: { name: linear/target/class/top1, goal: maximize }`";
            reader.wrong(path, "has no name", help);
            None
        }
    }
}

fn moment(path: &str, value: &Value, reader: &mut Reader) -> Option<At> {
    match (value.as_str(), value.as_u64()) {
        (Some("last"), _) => Some(At::Last),
        (Some("best"), _) => Some(At::Best),
        (_, Some(step)) => Some(At::Step(step)),
        _ => {
            reader.wrong(path, format!("is {}", describe(value)), "write `last`, `best` or a step");
            None
        }
    }
}

/// The metric must be one that the base measures.
pub(super) fn check(file: &SweepFile, probes: &[ProbeSpec]) -> Result<(), ConfigError> {
    let Some(metric) = &file.metric else { return Ok(()) };
    known(metric, &file.metric_place, "metric.name", probes)
}

/// Refuses a metric that no probe measures.
pub(super) fn known(
    metric: &Metric,
    place: &Place,
    path: &str,
    probes: &[ProbeSpec],
) -> Result<(), ConfigError> {
    let names: Vec<String> = probes.iter().flat_map(ProbeSpec::metric_names).collect();
    if names.contains(&metric.name) {
        return Ok(());
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let message = format!("the base measures no `{}`", metric.name);
    Err(one(place, path, message, Some(did_you_mean(&metric.name, &names))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_measurement_counts() {
        let series = [(10, 1.0), (20, 3.0), (30, f64::NAN), (40, 2.0)];
        let pick = |goal, at| Metric { name: String::new(), goal, at }.pick(&series);
        assert_eq!(pick(Goal::Maximize, At::Last), Some(2.0));
        assert_eq!(pick(Goal::Maximize, At::Best), Some(3.0));
        assert_eq!(pick(Goal::Minimize, At::Best), Some(1.0));
        assert_eq!(pick(Goal::Minimize, At::Step(20)), Some(3.0));
        assert_eq!(pick(Goal::Minimize, At::Step(25)), None);
    }
}
