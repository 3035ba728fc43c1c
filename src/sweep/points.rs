//! Axes to points: the lists of changes that are tried.

use ijepa_registry::rng::Stream;

use super::{
    axes::Axis,
    choices::Choice,
    exclude::Excluder,
    sweep_file::{Method, SweepFile},
};
use crate::config::Change;

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
    /// The label without the names of values, which are presentation: part of the sweep folder's name.
    pub key: String,
    /// Axis and word of every value that is not shown as it is.
    pub cells: Vec<(String, String)>,
    pub changes: Vec<Change>,
}

impl Point {
    /// A named arm.
    pub fn named(name: &str, changes: Vec<Change>) -> Self {
        Point { label: name.into(), key: name.into(), cells: Vec::new(), changes }
    }
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
            let all = file.axes.iter().flat_map(|axis| axis.choices().iter().map(|c| vec![c.clone()]));
            all.filter(|p| excluder.keeps(p)).map(point).collect()
        }
        Method::Zip => {
            let row = |i: usize| file.axes.iter().map(|a| a.choices()[i].clone()).collect::<Vec<_>>();
            (0..count).map(row).filter(|p| excluder.keeps(p)).map(point).collect()
        }
        Method::Grid => {
            (0..count).map(|i| cell(&file.axes, i)).filter(|p| excluder.keeps(p)).map(point).collect()
        }
    }
}

/// Point `index` of the grid; the last axis changes fastest.
fn cell(axes: &[Axis], mut index: usize) -> Vec<Choice> {
    let mut choices: Vec<Choice> = Vec::with_capacity(axes.len());
    for axis in axes.iter().rev() {
        choices.push(axis.choices()[index % axis.count()].clone());
        index /= axis.count();
    }
    choices.reverse();
    choices
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
    let all = (0..SOBOL_LENGTH).map(at).filter(|p: &Vec<Choice>| excluder.keeps(p));
    all.take(file.samples as usize).map(point).collect()
}

fn point(choices: Vec<Choice>) -> Point {
    let words = |word: fn(&Choice) -> String| choices.iter().map(word).collect::<Vec<_>>().join(",");
    Point {
        label: words(Choice::label),
        key: words(Choice::key),
        cells: choices.iter().filter_map(Choice::cell).collect(),
        changes: choices.into_iter().flat_map(|c| c.changes).collect(),
    }
}
