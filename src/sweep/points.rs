//! Axes to points: the lists of changes that are tried.

use ijepa_registry::rng::Stream;
use serde_json::Value;

use super::{
    axes::Axis,
    exclude::Excluder,
    sweep_file::{Method, SweepFile},
};
use crate::config::{Change, bare};

/// Draws thrown away before a sample counts as impossible.
const MOST_DRAWS: u64 = 1000;

/// Points of the sequence before it repeats.
const SOBOL_LENGTH: u32 = 1 << 16;

/// Points before exclusions that are still walked one by one.
const MOST_WALKED: u128 = 200_000;

/// A point of the axes: its name and what it changes.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub label: String,
    pub changes: Vec<Change>,
}

/// Points before exclusions. Nothing is expanded.
pub(super) fn count(file: &SweepFile) -> u128 {
    let lengths = || file.axes.iter().map(|a| a.count() as u128);
    match file.method {
        _ if file.axes.is_empty() => 0,
        Method::Grid => lengths().fold(1, u128::saturating_mul),
        Method::Zip => lengths().next().unwrap_or(0),
        Method::Random | Method::Sobol => file.samples.into(),
        Method::OneAtATime => lengths().fold(0, u128::saturating_add),
    }
}

/// Points that can be left are few enough to look at each.
pub(super) fn can_walk(file: &SweepFile) -> bool {
    count(file) <= MOST_WALKED
}

/// All points that no exclusion takes away. Call only if [`can_walk`].
pub(super) fn points(file: &SweepFile, excluder: &mut Excluder) -> Vec<Point> {
    let count = count(file) as usize;
    match file.method {
        Method::Random => (0..file.samples).filter_map(|i| sample(file, i, excluder)).collect(),
        Method::Sobol => sobol(file, excluder),
        Method::OneAtATime => {
            let all = file.axes.iter().flat_map(|axis| axis.changes().iter().map(|c| vec![c.clone()]));
            all.filter(|p| excluder.keeps(p)).map(point).collect()
        }
        Method::Zip => {
            let row = |i: usize| file.axes.iter().map(|a| a.changes()[i].clone()).collect::<Vec<_>>();
            (0..count).map(row).filter(|p| excluder.keeps(p)).map(point).collect()
        }
        Method::Grid => {
            (0..count).map(|i| cell(&file.axes, i)).filter(|p| excluder.keeps(p)).map(point).collect()
        }
    }
}

/// Point `index` of the grid; the last axis changes fastest.
fn cell(axes: &[Axis], mut index: usize) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::with_capacity(axes.len());
    for axis in axes.iter().rev() {
        changes.push(axis.changes()[index % axis.count()].clone());
        index /= axis.count();
    }
    changes.reverse();
    changes
}

/// Sample `index`: the same for any number of samples.
fn sample(file: &SweepFile, index: u64, excluder: &mut Excluder) -> Option<Point> {
    if file.axes.is_empty() {
        return None;
    }
    let draw = |attempt| {
        let mut stream = Stream::new(0, "sweep", index, attempt);
        file.axes.iter().map(|axis| axis.at(stream.uniform())).collect::<Vec<_>>()
    };
    (0..MOST_DRAWS).map(draw).find(|p| excluder.keeps(p)).map(point)
}

/// The first `samples` points of the scrambled Sobol sequence that no exclusion takes away: they fill
/// the space evenly, and the same for any number of samples.
fn sobol(file: &SweepFile, excluder: &mut Excluder) -> Vec<Point> {
    if file.axes.is_empty() {
        return Vec::new();
    }
    let share = |index: u32, axis: usize| f64::from(sobol_burley::sample(index, axis as u32, 0));
    let at = |index: u32| file.axes.iter().enumerate().map(|(i, axis)| axis.at(share(index, i))).collect();
    let all = (0..SOBOL_LENGTH).map(at).filter(|p: &Vec<Change>| excluder.keeps(p));
    all.take(file.samples as usize).map(point).collect()
}

fn point(changes: Vec<Change>) -> Point {
    let words: Vec<String> =
        changes.iter().map(|c| format!("{}={}", c.path, shown(&c.value.value))).collect();
    Point { label: words.join(","), changes }
}

/// A value on one line, as one would type it on the command line.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(k, v)| format!("{k}: {}", shown(v))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Null => "null".into(),
        scalar => bare(scalar),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_as_one_would_type_them() {
        let values =
            [json!(1.0), json!(1e30), json!(2e-6), json!([1, "a"]), json!({"kind": "l2", "x": null})];
        assert_eq!(values.map(|v| shown(&v)), ["1", "1e30", "2e-6", "[1, a]", "{kind: l2, x: null}"]);
    }
}
