//! From inputs to a report.

use std::path::PathBuf;

use rayon::prelude::*;

use super::{
    arms::{self, Arm},
    contrast::{Contrast, caveats, contrasts, survivors},
    error::AnalysisError,
    metric::{At, Goal, default_metric, unknown_metric, unknown_step, value},
    runs::{ColumnMap, Run, Series, read_all},
    settings::{SettingDifference, Settings, differences},
    summary::{Reading, Summary},
};

/// What to compare.
#[derive(Clone, Debug)]
pub struct Request {
    /// Run folders, folders of run folders, CSV files.
    pub inputs: Vec<PathBuf>,
    /// Metric; by default the first linear probe's top-1 accuracy on the target encoder.
    pub metric: Option<String>,
    /// Label or name of the baseline; by default the first arm.
    pub baseline: Option<String>,
    /// Which measurement counts.
    pub at: At,
    /// Largest difference that does not matter.
    pub margin: Option<f64>,
    /// Which direction is good; by default what the metric's name suggests.
    pub goal: Option<Goal>,
    /// Columns of foreign files.
    pub map: ColumnMap,
}

/// Everything a comparison has to say.
#[derive(Clone, Debug)]
pub struct Report {
    /// Metric.
    pub metric: String,
    /// Which direction is good.
    pub goal: Goal,
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
    let margin_ok = request.margin.is_none_or(|m| m.is_finite() && m > 0.0);
    if !margin_ok {
        return Err(AnalysisError::new("--margin must be a positive number"));
    }
    let runs = read_all(&request.inputs, request.metric.as_deref(), &request.map)?;
    let metric = metric(request, &runs)?;
    let goal = request.goal.unwrap_or_else(|| Goal::of(&metric));
    let (arms, mut notes) = arms::group(runs, &request.inputs)?;
    let baseline = baseline(&arms, request.baseline.as_deref())?;
    let summaries = summaries(&arms, &metric, request.at, goal)?;
    let contrasts = contrasts(&summaries, baseline, goal, request.margin);
    notes.extend(summaries.iter().filter_map(survivors));
    notes.extend(contrasts.iter().flat_map(|c| caveats(&summaries, baseline, c)));
    notes.extend(general_notes(&summaries, request.at));
    let settings: Vec<&Settings> = arms.iter().map(|arm| &arm.settings).collect();
    Ok(Report {
        metric,
        goal,
        at: request.at,
        margin: request.margin,
        differences: differences(&settings),
        arms: summaries,
        baseline,
        contrasts,
        notes,
    })
}

fn metric(request: &Request, runs: &[Run]) -> Result<String, AnalysisError> {
    let named = request.metric.clone().or(request.map.metric.clone());
    named.map_or_else(|| default_metric(runs), Ok)
}

fn baseline(arms: &[Arm], wanted: Option<&str>) -> Result<usize, AnalysisError> {
    let Some(wanted) = wanted else { return Ok(0) };
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
fn summaries(arms: &[Arm], metric: &str, at: At, goal: Goal) -> Result<Vec<Summary>, AnalysisError> {
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

fn reading(run: &Run, series: Option<&Series>, at: At, goal: Goal) -> Reading {
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
