//! From inputs to a report.

use std::path::PathBuf;

use ijepa_registry::metric::Direction;
use rayon::prelude::*;

use super::{
    arms::{self, Arm},
    contrast::{Contrast, caveats, contrasts, survivors},
    direction::{Judged, direction},
    error::AnalysisError,
    metric::{At, default_metric, unknown_metric, unknown_step, value},
    runs::{ColumnMap, Hints, Run, Series, hints, read_all},
    settings::{SettingDifference, Settings, differences},
    summary::{Reading, Summary},
};

/// What to compare.
#[derive(Clone, Debug)]
pub struct Request {
    /// Run folders, folders of run folders, sweep folders, CSV files.
    pub inputs: Vec<PathBuf>,
    /// Metric; by default that of the sweep, else the first linear probe's top-1 accuracy on the
    /// target encoder.
    pub metric: Option<String>,
    /// Label or name of the baseline; by default the arm of a sweep that changes nothing, else the
    /// first arm.
    pub baseline: Option<String>,
    /// Which measurement counts; by default that of the sweep, else the last.
    pub at: Option<At>,
    /// Largest difference that does not matter.
    pub margin: Option<f64>,
    /// Which direction is good, where the runs do not declare it.
    pub goal: Option<Direction>,
    /// Columns of foreign files.
    pub map: ColumnMap,
}

/// Everything a comparison has to say.
#[derive(Clone, Debug)]
pub struct Report {
    /// Metric.
    pub metric: String,
    /// Which direction is good.
    pub goal: Direction,
    /// Why there is no verdict on any arm; empty if there are verdicts.
    pub unjudged: String,
    /// Which measurement counted.
    pub at: At,
    /// Largest difference that does not matter.
    pub margin: Option<f64>,
    /// Settings that differ between arms.
    pub differences: Vec<SettingDifference>,
    /// One per arm.
    pub arms: Vec<Summary>,
    /// Index of the baseline.
    pub baseline: usize,
    /// One per other arm.
    pub contrasts: Vec<Contrast>,
    /// What a reader must know.
    pub notes: Vec<String>,
}

/// Compares the arms found in the inputs.
pub fn compare(request: &Request) -> Result<Report, AnalysisError> {
    Study::read(request)?.report(request)
}

/// The runs of a comparison by arm, and what is asked of them.
#[derive(Clone, Debug)]
pub struct Study {
    /// Arms in order of appearance.
    pub arms: Vec<Arm>,
    /// Metric.
    pub metric: String,
    /// Which direction is good, or why none is.
    pub judged: Judged,
    /// Which measurement counts.
    pub at: At,
    /// Index of the baseline.
    pub baseline: usize,
    notes: Vec<String>,
}

impl Study {
    /// Reads every run that is asked for. A sweep says itself what it is judged by.
    pub fn read(request: &Request) -> Result<Self, AnalysisError> {
        let margin_ok = request.margin.is_none_or(|m| m.is_finite() && m > 0.0);
        if !margin_ok {
            return Err(AnalysisError::new("--margin must be a positive number"));
        }
        let hints = hints(&request.inputs);
        let wanted = request.metric.as_deref().or(hints.metric.as_deref());
        let runs = read_all(&request.inputs, wanted, &request.map)?;
        let metric = metric(request, &hints, &runs)?;
        let own = hints.metric.as_ref() == Some(&metric);
        let at = request.at.or(hints.at.filter(|_| own)).unwrap_or(At::Last);
        let hinted = Hints { goal: hints.goal.filter(|_| own), ..hints.clone() };
        let judged = direction(&metric, &runs, request.goal, &hinted)?;
        refuse_best_without_direction(at, &judged)?;
        let (arms, notes) = arms::group(runs, &request.inputs)?;
        let baseline = baseline(&arms, request.baseline.as_deref(), &hints)?;
        Ok(Study { arms, metric, judged, at, baseline, notes })
    }

    /// Measures, tests and judges the arms.
    pub fn report(&self, request: &Request) -> Result<Report, AnalysisError> {
        let Study { arms, metric, judged: Judged { goal, why_not }, at, baseline, notes } = self;
        let (goal, at, baseline) = (*goal, *at, *baseline);
        self.refuse_best_of_last(at)?;
        let summaries = summaries(arms, metric, at, goal)?;
        let contrasts = contrasts(&summaries, baseline, goal, request.margin);
        let mut notes = notes.clone();
        notes.extend(summaries.iter().filter_map(survivors));
        notes.extend(contrasts.iter().flat_map(|c| caveats(&summaries, baseline, c)));
        notes.extend(general_notes(&summaries, at));
        if !why_not.is_empty() {
            notes.insert(0, format!("no verdicts: {why_not}; {SAY_GOAL}"));
        }
        let settings: Vec<&Settings> = arms.iter().map(|arm| &arm.settings).collect();
        Ok(Report {
            metric: metric.clone(),
            goal,
            unjudged: why_not.clone(),
            at,
            margin: request.margin,
            differences: differences(&settings),
            arms: summaries,
            baseline,
            contrasts,
            notes,
        })
    }

    fn refuse_best_of_last(&self, at: At) -> Result<(), AnalysisError> {
        let last_only = self.arms.iter().flat_map(|arm| &arm.runs).find(|run| run.has_last_values_only());
        let Some(run) = last_only.filter(|_| at == At::Best) else { return Ok(()) };
        let message = format!("{} holds last values only, no best ones", run.source.display());
        Err(AnalysisError::new(message).help("name the sweep folder, with its run folders in place"))
    }

    /// The measurements of a metric: one per arm and run, none where a run lacks it.
    pub fn series(&self, metric: &str) -> Result<Vec<Vec<Option<Series>>>, AnalysisError> {
        let of_arm = |arm: &Arm| arm.runs.par_iter().map(|run| run.series(metric)).collect();
        self.arms.iter().map(of_arm).collect()
    }

    /// Unit of a metric; empty where no run says.
    pub fn unit(&self, metric: &str) -> String {
        let units = self.arms.iter().flat_map(|arm| &arm.runs).map(|run| run.unit(metric));
        units.into_iter().find(|unit| !unit.is_empty()).unwrap_or_default()
    }
}

/// Without a direction no measurement is the best one.
fn refuse_best_without_direction(at: At, judged: &Judged) -> Result<(), AnalysisError> {
    if at != At::Best || judged.goal.decides() {
        return Ok(());
    }
    Err(AnalysisError::new(format!("there is no best measurement: {}", judged.why_not)).help(SAY_GOAL))
}

/// What to do where no direction is known.
const SAY_GOAL: &str = "say --goal higher or --goal lower";

fn metric(request: &Request, hints: &Hints, runs: &[Run]) -> Result<String, AnalysisError> {
    let named = request.metric.clone().or(request.map.metric.clone()).or(hints.metric.clone());
    named.map_or_else(|| default_metric(runs), Ok)
}

fn baseline(arms: &[Arm], wanted: Option<&str>, hints: &Hints) -> Result<usize, AnalysisError> {
    let Some(wanted) = wanted else {
        let unchanged = arms.iter().position(|arm| Some(&arm.name) == hints.baseline.as_ref());
        return Ok(unchanged.unwrap_or(0));
    };
    if let Some(exact) = arms.iter().position(|arm| arm.label == wanted) {
        return Ok(exact);
    }
    let namesakes: Vec<usize> = (0..arms.len()).filter(|&i| arms[i].name == wanted).collect();
    let labels: Vec<String> = arms.iter().map(|arm| arm.label.clone()).collect();
    match namesakes.as_slice() {
        [one] => Ok(*one),
        [] => Err(AnalysisError::unknown("arm", wanted, &labels)),
        _ => {
            let list: Vec<&str> = namesakes.iter().map(|&i| labels[i].as_str()).collect();
            let message = format!("--baseline: {} arms are called `{wanted}`", list.len());
            Err(AnalysisError::new(message).help(format!("write one of: {}", list.join(", "))))
        }
    }
}

/// Reads the metric of every run and summarises every arm.
fn summaries(arms: &[Arm], metric: &str, at: At, goal: Direction) -> Result<Vec<Summary>, AnalysisError> {
    let runs: Vec<&Run> = arms.iter().flat_map(|arm| &arm.runs).collect();
    let read: Result<Vec<Option<Series>>, _> = runs.par_iter().map(|run| run.series(metric)).collect();
    let mut series = read?;
    if series.iter().all(Option::is_none) {
        let runs: Vec<Run> = runs.into_iter().cloned().collect();
        return Err(unknown_metric(&runs, metric));
    }
    if let At::Step(step) = at
        && !series.iter().flatten().flatten().any(|(s, _)| *s == step)
    {
        return Err(unknown_step(metric, step, &series));
    }
    let mut rest = series.drain(..);
    let readings: Vec<Vec<Reading>> = arms
        .iter()
        .map(|arm| {
            arm.runs.iter().zip(&mut rest).map(|(run, s)| reading(run, s.as_ref(), at, goal)).collect()
        })
        .collect();
    Ok(arms.par_iter().zip(readings).map(|(arm, readings)| Summary::new(arm, readings)).collect())
}

fn reading(run: &Run, series: Option<&Series>, at: At, goal: Direction) -> Reading {
    Reading { seed: run.seed.clone(), value: value(run, series, at, goal) }
}

fn general_notes(arms: &[Summary], at: At) -> Vec<String> {
    let mut notes = Vec::new();
    if arms.len() == 1 {
        notes.push("there is one arm only: nothing to compare it with".into());
    }
    if at == At::Best {
        notes.push(
            "the best measurement of a run is chosen by its own value, which flatters noisy arms".into(),
        );
    }
    notes
}
