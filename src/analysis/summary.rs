//! One arm in numbers.

use super::{
    images::Images,
    metric::Absence,
    stats::{self, Interval},
};

/// Letters of a label that still fits into a sentence.
const LONG: usize = 40;

/// The value of one run, or why it has none.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Seed of the run.
    pub seed: Option<String>,
    /// Its value.
    pub value: Result<f64, Absence>,
}

/// An arm's readings and their statistics (NaN where there are too few).
#[derive(Clone, Debug)]
pub struct Summary {
    /// Label of the arm.
    pub label: String,
    /// The label with only what differs between the arms.
    pub short: String,
    /// Name of the experiment.
    pub name: String,
    /// Images that its runs are judged on.
    pub images: Images,
    /// One per run.
    pub readings: Vec<Reading>,
    /// Values of the runs that have one.
    pub values: Vec<f64>,
    /// Mean.
    pub mean: f64,
    /// Standard deviation (n - 1).
    pub std: f64,
    /// Standard error of the mean.
    pub standard_error: f64,
    /// Median.
    pub median: f64,
    /// Interquartile mean.
    pub iqm: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
}

impl Summary {
    /// Summarises the readings of an arm.
    pub fn new(label: &str, name: &str, readings: Vec<Reading>) -> Self {
        let x: Vec<f64> = readings.iter().filter_map(|r| r.value.ok()).collect();
        Summary {
            label: label.into(),
            short: label.into(),
            name: name.into(),
            images: Images::default(),
            readings,
            mean: stats::mean(&x),
            std: stats::std_dev(&x),
            standard_error: stats::standard_error(&x),
            median: stats::median(&x),
            iqm: stats::iqm(&x),
            min: x.iter().copied().fold(f64::NAN, f64::min),
            max: x.iter().copied().fold(f64::NAN, f64::max),
            values: x,
        }
    }

    /// The arm in running text: its label, or what differs where that is long.
    pub fn called(&self) -> &str {
        if self.label.chars().count() <= LONG { &self.label } else { &self.short }
    }

    /// 95 % interval of the mean; none for fewer than two values, and none where runs broke down: the
    /// survivors are no sample of the arm. `step` is that of the grid of the values.
    pub fn interval(&self, step: Option<f64>) -> Option<Interval> {
        if self.broken() > 0 { None } else { stats::mean_interval(&self.values, stats::grid_variance(step)) }
    }

    /// How many runs have no value for this reason.
    pub fn absent(&self, why: Absence) -> usize {
        self.readings.iter().filter(|r| r.value == Err(why)).count()
    }

    /// How many runs broke down: diverged or collapsed.
    pub fn broken(&self) -> usize {
        self.readings.iter().filter(|r| r.value.is_err_and(Absence::is_breakdown)).count()
    }

    /// Runs with an outcome: a value, or a breakdown.
    pub fn judged(&self) -> usize {
        self.values.len() + self.broken()
    }

    /// `4/5 (1 diverged)`, or the plain count if every run has a value.
    pub fn count(&self) -> String {
        let (n, all) = (self.values.len(), self.readings.len());
        let words = self.absences(|_| true);
        if words.is_empty() { n.to_string() } else { format!("{n}/{all} ({})", words.join(", ")) }
    }

    /// `incomplete: 2 of 8 failed, run them again`; empty if every run has an outcome.
    pub fn incomplete(&self) -> String {
        let words = self.absences(|why| !why.is_breakdown());
        let again = if self.absent(Absence::Failed) > 0 { ", run them again" } else { "" };
        if words.is_empty() {
            return String::new();
        }
        let (first, rest) = words[0].split_once(' ').unwrap_or((&words[0], ""));
        let more: String = words[1..].iter().map(|w| format!(", {w}")).collect();
        format!("incomplete: {first} of {} {rest}{more}{again}", self.readings.len())
    }

    /// How many runs have no value, by reason: `1 diverged`.
    fn absences(&self, counts: impl Fn(Absence) -> bool) -> Vec<String> {
        let missing =
            Absence::ALL.into_iter().filter(|why| counts(*why)).map(|why| (self.absent(why), why.name()));
        missing.filter(|(n, _)| *n > 0).map(|(n, why)| format!("{n} {why}")).collect()
    }
}
