//! Runs as files hold them: what was configured, how it ended, what was measured.

mod csv_table;
mod discover;
mod external_csv;
mod folder;
mod sweep;

use std::path::{Path, PathBuf};

use super::{error::AnalysisError, images::Images, settings::Settings};
use crate::results::{MetricMeaning, MetricMeanings, RunState, Status, meanings::VALIDATION};

pub(super) use discover::left_out;
pub use discover::{Found, read_all};
pub use external_csv::ColumnMap;
pub use sweep::{Hints, SweepRun, SweepTable, hints, is_sweep};

/// Measurements of one metric in order: `(step, value)`.
pub type Series = Vec<(u64, f64)>;

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The run folder or the file it was read from.
    pub source: PathBuf,
    /// Which argument it came from.
    pub input: usize,
    /// Name of the experiment, or of the group in a foreign file.
    pub name: String,
    /// Seed; none where the file does not tell.
    pub seed: Option<String>,
    /// How it stands.
    pub state: RunState,
    /// Configuration without name, seed and what cannot change a result.
    pub settings: Settings,
    /// Fingerprints of the data.
    pub images: Images,
    /// What is wrong with its files; its numbers do not count then.
    pub damage: Option<String>,
    /// Where its tables end, if it is done.
    pub(super) end: Option<End>,
    /// Version of the program that ended it; empty where unknown.
    pub version: String,
    pub(super) measured: Measured,
    pub(super) meanings: MetricMeanings,
    /// Names of its linear probes.
    pub(super) linear: Vec<String>,
}

/// Where the tables of a finished run end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Steps of the run.
    pub steps: u64,
    /// Steps between two rows of `metrics.csv`.
    pub log_every: u64,
}

/// Where the numbers of a run are.
#[derive(Clone, Debug)]
pub(super) enum Measured {
    /// In a run folder; its probes are read already.
    Folder(Vec<ProbeSeries>),
    /// In a foreign file, of which one column was read.
    Column(Series),
    /// In the table of a sweep: the last value of each metric, after this many steps.
    Last { step: u64, values: Vec<(String, f64)> },
}

/// One series of `probes.csv`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ProbeSeries {
    /// `probe/encoder[/labels]/metric`.
    pub name: String,
    /// Whether this is the usual headline: top-1 accuracy of a linear probe on the target encoder.
    pub headline: bool,
    /// Unit of the values; empty where the table does not say.
    pub unit: String,
    pub series: Series,
    /// Settings it was measured with, as their hashes: more than one should never stand under one name.
    pub protocols: Vec<String>,
}

/// Reads one run folder.
pub fn read_run(folder: &Path) -> Result<Run, AnalysisError> {
    folder::read(folder, 0)
}

impl Run {
    /// The measurements of `metric`; none if the run has no such metric. A foreign file has one
    /// metric, whatever it is called.
    pub fn series(&self, metric: &str) -> Result<Option<Series>, AnalysisError> {
        match &self.measured {
            Measured::Column(series) => Ok(Some(series.clone())),
            Measured::Last { step, values } => {
                Ok(values.iter().find(|(name, _)| name == metric).map(|(_, value)| vec![(*step, *value)]))
            }
            Measured::Folder(probes) => match probes.iter().find(|p| p.name == metric) {
                Some(probe) => Ok(Some(probe.series.clone())),
                None => folder::column(&self.source, metric, self.end),
            },
        }
    }

    /// Hashes of the settings that a metric was measured with, where the run tells.
    pub(super) fn protocols(&self, metric: &str) -> impl Iterator<Item = &str> {
        let probes = if let Measured::Folder(probes) = &self.measured { &probes[..] } else { &[] };
        let own = probes.iter().filter(move |p| p.name == metric);
        own.flat_map(|p| p.protocols.iter().map(String::as_str))
    }

    /// Everything [`Run::series`] could be asked for, the headline metrics first.
    pub fn metrics(&self) -> Vec<String> {
        match &self.measured {
            Measured::Column(_) => Vec::new(),
            Measured::Last { values, .. } => values.iter().map(|(name, _)| name.clone()).collect(),
            Measured::Folder(probes) => {
                let (headline, other): (Vec<_>, Vec<_>) = probes.iter().partition(|p| p.headline);
                let names = headline.into_iter().chain(other).map(|p| p.name.clone());
                names.chain(folder::columns(&self.source)).collect()
            }
        }
    }

    /// Headline metrics in the order of the file. A table of last values knows no kind of probe:
    /// every top-1 accuracy on the target encoder is one there.
    pub fn headlines(&self) -> Vec<&str> {
        match &self.measured {
            Measured::Column(_) => Vec::new(),
            Measured::Last { values, .. } => {
                let headline = |name: &&str| name.contains("/target/") && name.ends_with("/top1");
                values.iter().map(|(name, _)| name.as_str()).filter(headline).collect()
            }
            Measured::Folder(probes) => {
                probes.iter().filter(|p| p.headline).map(|p| p.name.as_str()).collect()
            }
        }
    }

    /// The metric that would be its headline, whether it was measured or not.
    pub fn declared_headline(&self) -> Option<String> {
        let Measured::Folder(_) = &self.measured else { return None };
        let is_headline = |name: &str| {
            let (probe, rest) = name.split_once('/')?;
            let linear = self.linear.iter().any(|l| l == probe);
            (linear && rest.starts_with("target/") && rest.ends_with("/top1")).then_some(())
        };
        let names = self.meanings.metrics.iter().map(|m| &m.name);
        names.filter(|n| is_headline(n).is_some()).map(Clone::clone).next()
    }

    /// Whether values of `metric` are measured on test images: those of a probe, unless its name says otherwise.
    pub(super) fn is_judged_on_test(metric: &str) -> bool {
        !metric.ends_with(VALIDATION) && !folder::is_column(metric)
    }

    /// Whether its metrics have names of their own: not those of one column of a foreign file.
    pub fn has_named_metrics(&self) -> bool {
        matches!(self.measured, Measured::Folder(_))
    }

    /// Unit of a metric; empty where nobody says.
    pub fn unit(&self, metric: &str) -> String {
        let Measured::Folder(probes) = &self.measured else { return String::new() };
        let probe = probes.iter().find(|p| p.name == metric).map(|p| p.unit.clone());
        probe.or_else(|| self.meaning(metric).map(|m| m.unit)).unwrap_or_default()
    }

    /// What a metric means, where the run says.
    pub fn meaning(&self, metric: &str) -> Option<MetricMeaning> {
        self.meanings.find(metric)
    }

    /// Whether it came to its end without seals, as version 0.1.0 left it: nothing vouches for its tables.
    pub fn is_unsealed(&self) -> bool {
        let status = || Status::read(&self.source).ok().flatten();
        matches!(self.measured, Measured::Folder(_)) && status().is_some_and(|s| s.is_unsealed())
    }

    /// Whether all that is known is what stands in the table of a sweep.
    pub fn has_last_values_only(&self) -> bool {
        matches!(&self.measured, Measured::Last { values, .. } if !values.is_empty())
    }

    /// Whether two runs hold the same numbers: copies of one run.
    pub fn same_numbers(&self, other: &Run) -> bool {
        match (&self.measured, &other.measured) {
            (Measured::Column(a), Measured::Column(b)) => a == b,
            (Measured::Last { values: a, .. }, Measured::Last { values: b, .. }) => a == b,
            (Measured::Folder(a), Measured::Folder(b)) => {
                a == b && self.state == other.state && folder::same_tables(&self.source, &other.source)
            }
            _ => false,
        }
    }
}
