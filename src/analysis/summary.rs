//! One arm in numbers.

use super::{
    arms::Arm,
    metric::Absence,
    stats::{self, Interval},
};

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
    /// Name of the experiment.
    pub name: String,
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
    /// 95 % interval of the mean.
    pub interval: Option<Interval>,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
}

impl Summary {
    /// Summarises the readings of `arm`.
    pub fn new(arm: &Arm, readings: Vec<Reading>) -> Self {
        let x: Vec<f64> = readings.iter().filter_map(|r| r.value.ok()).collect();
        Summary {
            label: arm.label.clone(),
            name: arm.name.clone(),
            readings,
            mean: stats::mean(&x),
            std: stats::std_dev(&x),
            standard_error: stats::standard_error(&x),
            median: stats::median(&x),
            iqm: stats::iqm(&x),
            interval: stats::mean_interval(&x),
            min: x.iter().copied().fold(f64::NAN, f64::min),
            max: x.iter().copied().fold(f64::NAN, f64::max),
            values: x,
        }
    }

    /// How many runs have no value for this reason.
    pub fn absent(&self, why: Absence) -> usize {
        self.readings.iter().filter(|r| r.value == Err(why)).count()
    }

    /// How many runs broke down: diverged or collapsed.
    pub fn broken(&self) -> usize {
        self.absent(Absence::Diverged) + self.absent(Absence::Collapsed)
    }

    /// `4/5 (1 diverged)`, or the plain count if every run has a value.
    pub fn count(&self) -> String {
        let (n, all) = (self.values.len(), self.readings.len());
        let whys = Absence::ALL;
        let missing = whys.map(|why| (self.absent(why), why.name()));
        let words: Vec<String> =
            missing.iter().filter(|(n, _)| *n > 0).map(|(n, why)| format!("{n} {why}")).collect();
        if words.is_empty() { n.to_string() } else { format!("{n}/{all} ({})", words.join(", ")) }
    }

    /// The value of a seed.
    pub fn of_seed(&self, seed: &str) -> Option<f64> {
        self.readings.iter().find(|r| r.seed.as_deref() == Some(seed))?.value.ok()
    }

    /// Seeds of all its runs, sorted; none if a run does not tell.
    pub fn seeds(&self) -> Option<Vec<&str>> {
        let mut seeds: Vec<&str> = self.readings.iter().map(|r| r.seed.as_deref()).collect::<Option<_>>()?;
        seeds.sort_unstable();
        Some(seeds)
    }
}
