//! Points that are not wanted.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    choices::Choice,
    sweep_file::{Condition, Exclusion},
};
use crate::config::{Change, ConfigError, Located, default_of};

/// Judges points by the exclusions of a sweep.
pub(super) struct Excluder<'a> {
    exclusions: &'a [Exclusion],
    /// The base with nothing left to default: what a point does not change.
    base: &'a Value,
    /// Points each exclusion took away.
    hits: Vec<u64>,
}

impl<'a> Excluder<'a> {
    pub fn new(exclusions: &'a [Exclusion], base: &'a Value) -> Self {
        Excluder { exclusions, base, hits: vec![0; exclusions.len()] }
    }

    /// Refuses paths that neither the base nor an axis has.
    pub fn check(&self, axes: &[&str]) -> Result<(), ConfigError> {
        let conditions = self.exclusions.iter().flat_map(|e| &e.conditions);
        let known = |c: &&Condition| {
            setting(self.base, &c.path).is_some() || axes.iter().any(|axis| below(&c.path, axis).is_some())
        };
        // A setting may be the axis and what it changes.
        let names: Vec<&str> = axes.iter().copied().collect::<BTreeSet<&str>>().into_iter().collect();
        let problems: Vec<Located> = conditions
            .filter(|c| !known(c))
            .map(|c| Located {
                span: c.span.clone(),
                path: c.path.clone(),
                message: "neither the base nor a parameter has this setting".into(),
                help: Some(crate::config::did_you_mean(&c.path, &names)),
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::new(problems)) }
    }

    /// Whether no exclusion takes the point away.
    pub fn keeps(&mut self, point: &[Choice]) -> bool {
        let called =
            |c: &Condition| point.iter().any(|choice| choice.axis == c.path && is_called(choice, &c.value));
        let changes: Vec<&Change> = point.iter().flat_map(|choice| &choice.changes).collect();
        let holds = |c: &Condition| {
            called(c) || value_of(&changes, self.base, &c.path).is_some_and(|v| same(&v, &c.value))
        };
        let hit = self.exclusions.iter().position(|e| e.conditions.iter().all(holds));
        if let Some(i) = hit {
            self.hits[i] += 1;
        }
        hit.is_none()
    }

    /// Exclusions that took nothing away: likely a slip.
    pub fn idle(&self) -> impl Iterator<Item = &Exclusion> {
        self.exclusions.iter().zip(&self.hits).filter(|(_, hits)| **hits == 0).map(|(e, _)| e)
    }
}

/// Whether a value goes by this name.
fn is_called(choice: &Choice, name: &Value) -> bool {
    choice.name.is_some() && choice.name.as_deref() == name.as_str()
}

/// The value of `path` in a point: changed there, or the base's.
fn value_of(point: &[&Change], base: &Value, path: &str) -> Option<Value> {
    // The longest path decides, as when changes are applied.
    let changed = point.iter().filter(|c| below(path, &c.path).is_some()).max_by_key(|c| c.path.len());
    match changed {
        Some(change) => at(&change.value.value, below(path, &change.path)?).cloned(),
        None => setting(base, path),
    }
}

/// The rest of `path` below `parent`; empty if they are the same.
fn below<'p>(path: &'p str, parent: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(parent)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
}

/// The value of a setting of an experiment; its default where that is not written, as variants of a block are not.
pub(super) fn setting(experiment: &Value, path: &str) -> Option<Value> {
    let unwritten = || {
        let (section, name) = path.rsplit_once('.')?;
        default_of(section, at(experiment, section)?.get("kind")?.as_str()?, name)
    };
    at(experiment, path).cloned().or_else(unwritten)
}

/// The value at a dotted path.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').filter(|k| !k.is_empty()).try_fold(value, |here, key| match here {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        other => other.get(key),
    })
}

/// Equal as settings: 1 is 1.0, and a component is the one of that name.
fn same(a: &Value, b: &Value) -> bool {
    let name = |v: &Value| v.get("kind").unwrap_or(v).as_str().map(str::to_owned);
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Object(_), Value::String(_)) | (Value::String(_), Value::Object(_)) => name(a) == name(b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b,
    }
}
