//! The number that arms are judged by.

use std::{cmp::Ordering, str::FromStr};

use ijepa_registry::metric::{Direction, MetricDecl};
use serde_json::{Map, Value};

use super::{plan::one, reader::Reader};
use crate::config::{ConfigError, ProbeSpec, Span, VALIDATION, describe, did_you_mean, join};

/// Words for a direction in a sweep file.
pub(super) const GOALS: [(&str, Direction); 2] =
    [("maximize", Direction::Higher), ("minimize", Direction::Lower)];

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
    /// Which direction is good: that of the file, else what the probe declares.
    pub goal: Direction,
    /// Which measurement counts.
    pub at: At,
}

/// A metric as it is typed: its direction is that of the file, or `Neither` if the file does not say.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub metric: Metric,
    name_place: Span,
    goal_place: Span,
    /// Path of the section.
    path: String,
}

/// Reads the `metric` section.
pub(super) fn read(top: &Map<String, Value>, reader: &mut Reader) -> Option<Wanted> {
    section("metric", top.get("metric")?, reader)
}

/// Reads a metric that stands at `path`.
pub(super) fn section(path: &str, value: &Value, reader: &mut Reader) -> Option<Wanted> {
    let map = reader.mapping(path, value, &["name", "goal", "at"])?;
    let words = GOALS.map(|(word, _)| word);
    let direction = |g| reader.word(&join(path, "goal"), g, &words).map(|i| GOALS[i].1);
    let goal = map.get("goal").map_or(Some(Direction::Neither), direction);
    let at = map.get("at").map_or(Some(At::Last), |at| moment(&join(path, "at"), at, reader));
    let span = |key: &str| reader.document.places.value(&join(path, key));
    match map.get("name") {
        Some(Value::String(name)) => Some(Wanted {
            metric: Metric { name: name.clone(), goal: goal?, at: at? },
            name_place: span("name"),
            goal_place: span("goal"),
            path: path.into(),
        }),
        _ => {
            let help = "write `metric: { name: linear/target/class/top1 }`";
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

impl Wanted {
    /// The metric with its direction: a name that the base measures, a goal that its probe does not
    /// contradict.
    pub fn resolve(&self, probes: &[ProbeSpec]) -> Result<Metric, ConfigError> {
        let Metric { name, goal, at } = &self.metric;
        let declared: Vec<(String, MetricDecl)> = probes.iter().flat_map(ProbeSpec::declarations).collect();
        let Some((_, decl)) = declared.iter().find(|(n, _)| n == name) else {
            let names: Vec<&str> = declared.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("the base measures no `{name}`");
            let (path, plain) = (join(&self.path, "name"), name.strip_suffix(VALIDATION));
            let help = match plain.filter(|plain| names.contains(plain)) {
                Some(_) => {
                    "the base holds no images out; give it some: `dataset: { validation: 5000 }`".into()
                }
                None => did_you_mean(name, &names),
            };
            return Err(one(&self.name_place, &path, message, Some(help)));
        };
        let contradicts = goal.decides() && decl.direction.decides() && *goal != decl.direction;
        let goal_is_missing = *at == At::Best && !goal.decides() && !decl.direction.decides();
        if contradicts {
            let message = format!("contradicts the probe: of `{name}` {}", decl.direction.clause());
            return Err(self.goal_problem(message, "leave `goal` out"));
        }
        if goal_is_missing {
            let message = format!("is missing: `{name}` is a diagnostic, no value of it is the best");
            return Err(self.goal_problem(message, "write `goal: maximize` or `goal: minimize`"));
        }
        let goal = if goal.decides() { *goal } else { decl.direction };
        Ok(Metric { name: name.clone(), goal, at: *at })
    }

    /// Something is wrong with the direction.
    pub fn goal_problem(&self, message: String, help: &str) -> ConfigError {
        one(&self.goal_place, &join(&self.path, "goal"), message, Some(help.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_measurement_counts() {
        let series = [(10, 1.0), (20, 3.0), (30, f64::NAN), (40, 2.0)];
        let pick = |goal: Direction, at: At| at.pick(&series, |a, b| goal.better_first(a, b));
        assert_eq!(pick(Direction::Higher, At::Last), Some(2.0));
        assert_eq!(pick(Direction::Higher, At::Best), Some(3.0));
        assert_eq!(pick(Direction::Lower, At::Best), Some(1.0));
        assert_eq!(pick(Direction::Lower, At::Step(20)), Some(3.0));
        assert_eq!(pick(Direction::Lower, At::Step(25)), None);
    }
}
