//! The section `early_terminate` of a sweep file.

use serde_json::{Map, Value};

use super::{
    early::{EarlyTermination, RULES, Rule},
    metric::{self, Wanted},
    reader::Reader,
};
use crate::config::{ConfigError, ProbeSpec};

/// The section as it is typed.
#[derive(Clone, Debug)]
pub(super) struct WantedRule {
    rule: EarlyTermination,
    metric: Wanted,
}

impl WantedRule {
    /// The rule with a metric that the base measures and that has a direction.
    pub fn resolve(&self, probes: &[ProbeSpec]) -> Result<EarlyTermination, ConfigError> {
        let metric = self.metric.resolve(probes)?;
        if !metric.goal.decides() {
            let message = format!("is missing: `{}` is a diagnostic, no arm is better by it", metric.name);
            return Err(self.metric.goal_problem(message, "write `goal: maximize` or `goal: minimize`"));
        }
        Ok(EarlyTermination { metric, ..self.rule.clone() })
    }
}

/// Reads the section; `metric` is the sweep's own.
pub(super) fn read(
    top: &Map<String, Value>,
    metric: Option<&Wanted>,
    reader: &mut Reader,
) -> Option<WantedRule> {
    let value = top.get("early_terminate")?;
    let at = |key: &str| format!("early_terminate.{key}");
    let map = reader.mapping("early_terminate", value, &["kind", "min_epochs", "eta", "every", "metric"])?;
    let Some(kind) = map.get("kind") else {
        reader.wrong(
            "early_terminate",
            "says not which rule",
            "write `kind: successive_halving` or `kind: median`",
        );
        return None;
    };
    let kind = reader.word(&at("kind"), kind, RULES)?;
    let other = ["every", "eta"][kind];
    if map.contains_key(other) {
        reader.wrong(&at(other), format!("has no meaning for `{}`", RULES[kind]), "leave it out");
    }
    let min_epochs =
        map.get("min_epochs").map_or(Some(1), |v| reader.whole(&at("min_epochs"), v, 1, u64::MAX));
    let rule = if kind == 0 {
        let eta = map.get("eta").map_or(Some(3.0), |v| reader.number(&at("eta"), v))?;
        if !(eta > 1.0 && eta.is_finite()) {
            reader.wrong(&at("eta"), format!("is {eta}; one arm in eta goes on, so it is more than 1"), "");
        }
        Rule::SuccessiveHalving { eta }
    } else {
        let every = map.get("every").map_or(min_epochs, |v| reader.whole(&at("every"), v, 1, u64::MAX));
        Rule::Median { every: every? }
    };
    let metric = match map.get("metric") {
        Some(value) => metric::section(&at("metric"), value, reader),
        None if metric.is_some() => metric.cloned(),
        None => {
            let help = "write `metric: { name: linear/target/class/top1 }`";
            reader.wrong("early_terminate", "has no metric to judge by", help);
            None
        }
    };
    let span = reader.document.places.value("early_terminate");
    let (wanted, min_epochs) = (metric?, min_epochs?);
    let rule = EarlyTermination { rule, min_epochs, metric: wanted.metric.clone(), span };
    Some(WantedRule { rule, metric: wanted })
}
