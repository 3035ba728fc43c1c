//! The numbers of runs over their steps, with what sets the runs apart: what trackers show.

use std::{collections::HashMap, path::Path};

use serde_json::Value;

use crate::{
    analysis::{AnalysisError, Arm, Run, labelled, read_run, settings::Settings},
    config,
    results::{
        EXPERIMENT, RunState,
        card::RunCard,
        columns::{TIMING, TimingRow},
        read, run_name_parts,
    },
    sinks::tensorboard_tags,
};

/// One metric over the steps.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    /// `train/explained_variance`, `linear/target/class/top1`.
    pub tag: String,
    /// Step and value.
    pub points: Vec<(u64, f64)>,
}

/// A run as trackers show it.
#[derive(Clone, Debug)]
pub struct History {
    /// Name of its folder.
    pub(super) name: String,
    /// Name of its experiment.
    pub(super) experiment: String,
    /// Label of its arm: what runs that differ only in their seed share.
    pub(super) arm: String,
    pub(super) seed: String,
    pub(super) identity: String,
    pub(super) state: RunState,
    /// Settings that are not the same in all runs that are exported together, the seed among them; of a single run
    /// those that matter.
    pub(super) distinguishing: Vec<(String, String)>,
    /// All settings.
    pub(super) settings: Vec<(String, String)>,
    pub(super) series: Vec<Series>,
    pub(super) clock: Clock,
    /// `experiment.yaml`.
    pub(super) file: String,
}

/// When the steps of a run were done.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Clock {
    /// When it began, in seconds since 1970.
    pub start: f64,
    /// Step, and seconds of training until then.
    passed: Vec<(u64, f64)>,
}

impl Clock {
    fn read(folder: &Path) -> Result<Self, AnalysisError> {
        let cards = RunCard::read_all(folder).unwrap_or_default();
        let first = cards.first().and_then(|card| card.started_at.parse::<jiff::Timestamp>().ok());
        let rows: Vec<TimingRow> = read::rows(folder, &TIMING)?;
        let mut seconds = 0.0;
        let passed = rows.iter().map(|row| {
            seconds += row.seconds;
            (row.step, seconds)
        });
        let passed = passed.collect();
        Ok(Clock { start: first.map_or(0.0, |t| t.as_millisecond() as f64 / 1000.0), passed })
    }

    /// When a step was done, in seconds since 1970: evenly spread between two rows of `timing.csv`.
    pub fn at(&self, step: u64) -> f64 {
        let mut before = (0, 0.0);
        for &(end, seconds) in &self.passed {
            if step <= end {
                let share = (step - before.0) as f64 / (end - before.0).max(1) as f64;
                return self.start + before.1 + share * (seconds - before.1);
            }
            before = (end, seconds);
        }
        self.start + before.1
    }

    /// When the last step was done.
    pub fn end(&self) -> f64 {
        self.start + self.passed.last().map_or(0.0, |(_, seconds)| *seconds)
    }
}

/// Histories of the runs in `folders`, in that order.
pub fn histories(folders: &[impl AsRef<Path>]) -> Result<Vec<History>, AnalysisError> {
    let mut runs = Vec::new();
    for folder in folders {
        let run = read_run(folder.as_ref())?;
        if let Some(damage) = &run.damage {
            return Err(AnalysisError::new(format!("{}: {damage}", folder.as_ref().display())));
        }
        runs.push(run);
    }
    let arms = labelled(runs.clone());
    let labels: HashMap<_, _> = arms
        .iter()
        .flat_map(|arm| arm.runs.iter().map(|run| (run.source.clone(), arm.label.clone())))
        .collect();
    let differing = differing(&arms);
    runs.iter().map(|run| history(run, &labels[&run.source], &differing)).collect()
}

/// Paths of the settings in which arms differ.
fn differing(arms: &[Arm]) -> Vec<String> {
    let settings: Vec<&Settings> = arms.iter().map(|arm| &arm.settings).collect();
    crate::analysis::settings::differences(&settings).into_iter().map(|d| d.path).collect()
}

fn history(run: &Run, arm: &str, differing: &[String]) -> Result<History, AnalysisError> {
    let folder = &run.source;
    let path = folder.join(EXPERIMENT);
    let file = read::text(&path)?.unwrap_or_default();
    let configuration: Value = serde_yaml::from_str(&config::modern(&file)).unwrap_or_default();
    let Settings(settings) = Settings::all(&configuration);
    let known: HashMap<&str, &str> = run.settings.0.iter().map(|(p, v)| (p.as_str(), v.as_str())).collect();
    let value = |path: &String| Some((path.clone(), (*known.get(path.as_str())?).to_owned()));
    let mut distinguishing: Vec<(String, String)> = differing.iter().filter_map(value).collect();
    if differing.is_empty() {
        distinguishing = run.settings.0.clone();
    }
    let seed = run.seed.clone().unwrap_or_default();
    distinguishing.push(("seed".into(), seed.clone()));
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.clone());
    let name = whole.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let identity = run_name_parts(&name).map_or(name.as_str(), |(_, _, identity)| identity).to_owned();
    Ok(History {
        experiment: run.name.clone(),
        arm: arm.into(),
        seed,
        identity,
        state: run.state,
        distinguishing,
        settings,
        series: series(run)?,
        clock: Clock::read(folder)?,
        file,
        name,
    })
}

fn series(run: &Run) -> Result<Vec<Series>, AnalysisError> {
    let mut all = Vec::new();
    for metric in run.metrics() {
        let points = run.series(&metric)?.unwrap_or_default();
        if !points.is_empty() {
            all.push(Series { tag: tag(&metric), points });
        }
    }
    let timing: Vec<TimingRow> = read::rows(&run.source, &TIMING)?;
    let rate = timing.iter().map(|row| (row.step, row.images_per_second)).collect();
    all.push(Series { tag: tensorboard_tags::RATE.into(), points: rate });
    all.retain(|series| !series.points.is_empty());
    Ok(all)
}

/// The tag of a metric, as a run that is going on writes it: `metrics/loss` is the loss of the last steps, `loss` that
/// of an epoch.
fn tag(metric: &str) -> String {
    match metric.strip_prefix("metrics/") {
        Some(column) => tensorboard_tags::step(column),
        None if metric == "loss" => tensorboard_tags::EPOCH_LOSS.into(),
        None if !metric.contains('/') => tensorboard_tags::step(metric),
        None => metric.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_lie_between_the_ends_of_epochs() {
        let clock = Clock { start: 100.0, passed: vec![(10, 5.0), (20, 25.0)] };
        assert_eq!(
            [0, 5, 10, 15, 20, 30].map(|step| clock.at(step)),
            [100.0, 102.5, 105.0, 115.0, 125.0, 125.0]
        );
        assert_eq!((clock.end(), Clock::default().at(3)), (125.0, 0.0));
    }

    #[test]
    fn columns_have_groups_and_probes_keep_their_names() {
        let tags = ["loss", "metrics/loss", "target_std", "linear/target/class/top1"].map(tag);
        assert_eq!(tags, ["epoch/loss", "train/loss", "train/target_std", "linear/target/class/top1"]);
    }
}
