//! `metrics.json`: what every number of a run means, written before the first of them.

use std::{io, path::Path};

use ijepa_registry::{
    catalogue,
    kinds::Probe,
    metric::{Direction, MetricDecl},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    FileError,
    columns::{Column, EPOCHS, METRICS},
    read, write_atomic,
};
pub use crate::config::VALIDATION;
use crate::config::{Experiment, ProbeSpec, stored_probes, term_columns};

/// Name of the file in a run folder.
pub const FILE: &str = "metrics.json";

/// Columns that count progress: the axis of a series, never a metric.
pub const PROGRESS: [&str; 3] = ["step", "epoch", "images"];

/// One metric that a run can have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricMeaning {
    /// `probe/encoder/labels/metric`, or a column of `epochs.csv` or `metrics.csv`.
    pub name: String,
    /// Unit of the values.
    pub unit: String,
    /// Which direction is good.
    pub direction: Direction,
    /// What it means, in one line.
    pub meaning: String,
    /// Distance between neighbouring values, for those on a grid: 100 / test images for an accuracy in %.
    pub step: Option<f64>,
}

/// Everything a run can have measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricMeanings {
    /// Probes first, then the columns of `epochs.csv` and `metrics.csv`.
    pub metrics: Vec<MetricMeaning>,
}

impl MetricMeanings {
    /// What `experiment` can measure where `test_images` images are judged.
    pub fn of(experiment: &Experiment, test_images: usize) -> Self {
        let mut all = Self::declared(&experiment.probes, test_images, experiment.validation);
        let names = term_columns(experiment.regularizers.iter().map(|term| term.name.as_str()));
        all.metrics.extend(names.into_iter().map(|name| MetricMeaning {
            meaning: format!(
                "part of the training loss of a step, before weighting: {}",
                &name["loss.".len()..]
            ),
            name,
            unit: "loss units".into(),
            direction: Direction::Lower,
            step: None,
        }));
        all
    }

    /// What a run folder without `metrics.json` can hold, by its `experiment.yaml`: the declarations of
    /// its probes in this program. Steps are unknown.
    pub fn of_configuration(configuration: &Value) -> Self {
        Self::declared(&stored_probes(configuration), 0, 0)
    }

    fn declared(probes: &[ProbeSpec], test_images: usize, validation_images: usize) -> Self {
        let of_probe = |(name, decl): (String, MetricDecl)| MetricMeaning {
            step: decl.step(if name.ends_with(VALIDATION) { validation_images } else { test_images }),
            name,
            unit: decl.unit.into(),
            direction: decl.direction,
            meaning: decl.meaning.into(),
        };
        let probes = probes.iter().flat_map(ProbeSpec::declarations).map(of_probe);
        MetricMeanings { metrics: probes.chain(columns()).collect() }
    }

    /// Reads the file of a run folder; none if there is no such file.
    pub fn read(folder: &Path) -> Result<Option<Self>, FileError> {
        let path = folder.join(FILE);
        let Some(bytes) = read::file(folder, FILE)? else { return Ok(None) };
        let wrong = |e: serde_json::Error| FileError::at(&path, Some(e.line() as u64), e);
        serde_json::from_slice(&bytes).map(Some).map_err(wrong)
    }

    /// Writes the file into a run folder.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        write_atomic(&folder.join(FILE), (text + "\n").as_bytes())
    }

    /// The meaning of a metric. On held-out images it is that on test images, on a grid of another step.
    pub fn find(&self, name: &str) -> Option<MetricMeaning> {
        let named = |name: &str| self.metrics.iter().find(|m| m.name == name).cloned();
        let plain = name.strip_prefix("epochs/").unwrap_or(name);
        let held_out = || Some(MetricMeaning { step: None, ..named(plain.strip_suffix(VALIDATION)?)? });
        named(plain).or_else(held_out)
    }
}

/// The columns of `epochs.csv` by their bare names, then those of `metrics.csv`: with the table's name
/// where the bare one is taken.
fn columns() -> impl Iterator<Item = MetricMeaning> {
    let metrics = |c: &&Column| !PROGRESS.contains(&c.name);
    let of_column = |name: String, column: &Column| MetricMeaning {
        name,
        unit: column.unit.into(),
        direction: column.direction,
        meaning: column.meaning.into(),
        step: None,
    };
    let taken = |name: &str| EPOCHS.columns.iter().any(|c| c.name == name);
    let epochs = EPOCHS.columns.iter().filter(metrics).map(move |c| of_column(c.name.into(), c));
    let steps = METRICS.columns.iter().filter(metrics).map(move |c| {
        of_column(if taken(c.name) { format!("metrics/{}", c.name) } else { c.name.into() }, c)
    });
    epochs.chain(steps)
}

/// The direction of a metric by its last word alone, for files that do not say what they hold: that of
/// the column or probe metric of this name, if all that have it agree.
pub fn known_direction(name: &str) -> Option<Direction> {
    let name = name.strip_suffix(VALIDATION).unwrap_or(name);
    let last = name.rsplit('/').next().unwrap_or(name);
    let columns = EPOCHS.columns.iter().chain(METRICS.columns).filter(|c| !PROGRESS.contains(&c.name));
    let of_columns = columns.filter(|c| c.name == last).map(|c| c.direction);
    let entries = catalogue::names::<dyn Probe>();
    let of_probes = entries.into_iter().flat_map(example_metrics).filter(|d| d.name == last);
    let mut all = of_columns.chain(of_probes.map(|d| d.direction));
    let first = all.next()?;
    all.all(|d| d == first).then_some(first)
}

/// What a probe declares with the settings of its example.
pub fn example_metrics(kind: &str) -> Vec<MetricDecl> {
    let Some(entry) = catalogue::find::<dyn Probe>(kind) else { return Vec::new() };
    let example: Value = serde_yaml::from_str(entry.example).unwrap_or_default();
    (entry.build)(&example).map_or(Vec::new(), |(_, probe)| probe.metrics())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stored_configuration_says_what_its_probes_measure() {
        let meanings = MetricMeanings::of_configuration(&json!({ "probes": [
            { "kind": "linear", "name": "fine", "labels": ["colour"], "controls": ["pixels"] },
            { "kind": "rankme" },
            { "kind": "of_another_program" },
        ]}));
        let direction = |name: &str| meanings.find(name).map(|m| m.direction);
        assert_eq!(direction("fine/pixels/colour/test_nll"), Some(Direction::Lower));
        assert_eq!(direction("fine/target/colour/top1@validation"), Some(Direction::Higher));
        assert_eq!(direction("rankme/target/feature_std"), Some(Direction::Neither));
        assert_eq!(direction("of_another_program/target/class/top1"), None);
        for name in ["loss", "epochs/loss", "metrics/loss"] {
            assert_eq!(direction(name), Some(Direction::Lower), "{name}");
        }
        assert_eq!((direction("target_std"), direction("step")), (Some(Direction::Neither), None));
    }

    #[test]
    fn names_are_known_by_their_last_word_only_where_they_are_metrics() {
        let found = ["val/loss", "top1", "a/b/test_nll@validation", "feature_std"].map(known_direction);
        use Direction::{Higher, Lower, Neither};
        assert_eq!(found, [Lower, Higher, Lower, Neither].map(Some));
        let unknown = ["val-loss", "valLoss", "rmse", "fid", "accuracy", "step", "seconds", ""];
        assert_eq!(unknown.map(known_direction), [None; 8]);
    }

    #[test]
    fn the_file_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(MetricMeanings::read(folder.path()).unwrap(), None);
        let stored = json!({ "probes": [{ "kind": "knn" }] });
        let meanings = MetricMeanings::declared(&stored_probes(&stored), 128, 0);
        assert_eq!(meanings.find("knn/target/class/top1").unwrap().step, Some(0.78125));
        meanings.write(folder.path()).unwrap();
        assert_eq!(MetricMeanings::read(folder.path()).unwrap(), Some(meanings));
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(MetricMeanings::read(folder.path()).is_err());
    }
}
