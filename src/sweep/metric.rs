//! The number that arms are judged by.

use serde_json::{Map, Value, json};

use super::{grammar::SweepFile, plan::one, reader::Reader};
use crate::config::{ConfigError, ProbeSpec, did_you_mean};

/// Which direction of a metric is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// More is better.
    Maximize,
    /// Less is better.
    Minimize,
}

/// The number that the arms are judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// `probe/encoder/labels/metric`; without labels where the probe uses none.
    pub name: String,
    /// Which direction is good.
    pub goal: Goal,
}

/// Reads the `metric` section.
pub(super) fn read(top: &Map<String, Value>, reader: &mut Reader) -> Option<Metric> {
    let value = top.get("metric")?;
    let map = reader.mapping("metric", value, &["name", "goal"])?;
    let goal = map.get("goal").map_or(Some(0), |g| reader.word("metric.goal", g, &["maximize", "minimize"]));
    let goal = if goal == Some(1) { Goal::Minimize } else { Goal::Maximize };
    match map.get("name") {
        Some(Value::String(name)) => Some(Metric { name: name.clone(), goal }),
        _ => {
            reader.wrong(
                "metric",
                "has no name",
                "write `metric: { name: linear/target/class/top1, goal: maximize }`",
            );
            None
        }
    }
}

/// The metric must be one that the base measures.
pub(super) fn check(file: &SweepFile, probes: &[ProbeSpec]) -> Result<(), ConfigError> {
    let Some(metric) = &file.metric else { return Ok(()) };
    let names: Vec<String> = probes.iter().flat_map(metric_names).collect();
    if names.contains(&metric.name) {
        return Ok(());
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let message = format!("the base measures no `{}`", metric.name);
    Err(one(&file.metric_place, "metric.name", message, Some(did_you_mean(&metric.name, &names))))
}

/// `probe/encoder/labels/metric` of everything a probe measures.
fn metric_names(probe: &ProbeSpec) -> Vec<String> {
    let word = |v: Value| v.as_str().unwrap_or_default().to_owned();
    let encoders = probe.encoders.iter().map(|e| word(json!(e)));
    let encoders = encoders.chain(probe.controls.iter().map(|c| word(json!(c))));
    let labels =
        if probe.component.object.uses_labels() { probe.labels.clone() } else { vec![String::new()] };
    let mut names = Vec::new();
    for encoder in encoders {
        for label in &labels {
            for metric in probe.component.object.metrics() {
                names.push(metric_name([&probe.name, &encoder, label, metric.name]));
            }
        }
    }
    names
}

/// The name of a metric from its parts; empty parts are left out.
fn metric_name(parts: [&str; 4]) -> String {
    parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("/")
}
