//! Which number of a run is compared.

use ijepa_registry::metric::Direction;

use super::{
    error::AnalysisError,
    runs::{Run, Series},
};
use crate::results::{RunState, meanings::VALIDATION};
pub use crate::sweep::At;

/// Why a run adds no value to its arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Absence {
    /// Loss or gradient was not finite.
    Diverged,
    /// A rule of the experiment found its representation collapsed.
    Collapsed,
    /// An error ended it.
    Failed,
    /// Stopped or still running.
    Unfinished,
    /// Its files are damaged.
    Unreadable,
    /// It lacks the metric, or the step, or the value is not finite.
    NoValue,
}

impl Absence {
    /// All of them.
    pub const ALL: [Absence; 6] = [
        Absence::Diverged,
        Absence::Collapsed,
        Absence::Failed,
        Absence::Unfinished,
        Absence::Unreadable,
        Absence::NoValue,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Absence::Diverged => "diverged",
            Absence::Collapsed => "collapsed",
            Absence::Failed => "failed",
            Absence::Unfinished => "unfinished",
            Absence::Unreadable => "unreadable",
            Absence::NoValue => "without a value",
        }
    }

    /// Whether the run broke down: an outcome, worse than any value. Others are missing.
    pub fn is_breakdown(self) -> bool {
        matches!(self, Absence::Diverged | Absence::Collapsed)
    }
}

/// The value of one run, or why it has none. A run that did not end well has no last and no best
/// value; what it measured at a step that it did reach stands. The best measurement is that of `chooser`,
/// where there is one: another series that says which step counts.
pub fn value(
    run: &Run,
    series: Option<&Series>,
    chooser: Option<&Series>,
    at: At,
    goal: Direction,
) -> Result<f64, Absence> {
    let absence = match run.state {
        _ if run.damage.is_some() => return Err(Absence::Unreadable),
        RunState::Done => None,
        RunState::Diverged => Some(Absence::Diverged),
        RunState::Collapsed => Some(Absence::Collapsed),
        RunState::Failed => Some(Absence::Failed),
        RunState::Unreadable => Some(Absence::Unreadable),
        _ => Some(Absence::Unfinished),
    };
    match (absence, at) {
        (Some(absence), At::Last | At::Best) => Err(absence),
        (absence, at) => series
            .and_then(|series| pick(series, chooser_step(chooser, at, goal).unwrap_or(at), goal))
            .filter(|value| value.is_finite())
            .ok_or(absence.unwrap_or(Absence::NoValue)),
    }
}

/// The step at which the chooser is best.
fn chooser_step(chooser: Option<&Series>, at: At, goal: Direction) -> Option<At> {
    let finite = chooser.filter(|_| at == At::Best)?.iter().filter(|(_, value)| value.is_finite());
    finite.min_by(|a, b| goal.better_first(a.1, b.1)).map(|(step, _)| At::Step(*step))
}

fn pick(series: &Series, at: At, goal: Direction) -> Option<f64> {
    at.pick(series, |a, b| goal.better_first(a, b))
}

/// The metric to compare when none is named: the first top-1 accuracy of a linear probe on the
/// target encoder that every finished run has; what the runs declare, where none has finished.
pub fn default_metric(runs: &[Run]) -> Result<String, AnalysisError> {
    let finished: Vec<&Run> =
        runs.iter().filter(|r| r.state == RunState::Done && r.damage.is_none()).collect();
    let candidates = finished.first().map_or(Vec::new(), |run| run.headlines());
    let common = candidates.into_iter().find(|name| finished.iter().all(|r| r.headlines().contains(name)));
    let declared = || runs.iter().filter(|_| finished.is_empty()).find_map(Run::declared_headline);
    common.map(String::from).or_else(declared).ok_or_else(|| {
        let message = "no linear probe `top1` on `target` is in all finished runs; say --metric";
        AnalysisError::new(message).help(format!("there are: {}", available(runs).join(", ")))
    })
}

/// The metric whose values count and, if the step of the best measurement can be chosen on held-out images,
/// the metric that chooses it.
pub fn held_out_choice(
    metric: String,
    at: At,
    runs: &[Run],
) -> Result<(String, Option<String>), AnalysisError> {
    if at != At::Best {
        return Ok((metric, None));
    }
    let plain = metric.strip_suffix(VALIDATION).unwrap_or(&metric).to_owned();
    let chooser = format!("{plain}{VALIDATION}");
    let finished: Vec<&Run> =
        runs.iter().filter(|r| r.state == RunState::Done && r.damage.is_none()).collect();
    let has_both = |run: &&Run| -> Result<bool, AnalysisError> {
        Ok(run.has_named_metrics() && run.series(&plain)?.is_some() && run.series(&chooser)?.is_some())
    };
    let both: Vec<bool> = finished.iter().map(has_both).collect::<Result<_, _>>()?;
    let chosen = !both.is_empty() && both.into_iter().all(|b| b);
    Ok(if chosen { (plain, Some(chooser)) } else { (metric, None) })
}

/// No run has the metric that was asked for.
pub fn unknown_metric(runs: &[Run], metric: &str) -> AnalysisError {
    AnalysisError::unknown("metric", metric, &available(runs))
}

/// Metrics of any run, in order of appearance. Runs are taken to have much in common.
fn available(runs: &[Run]) -> Vec<String> {
    const ENOUGH: usize = 20;
    let mut names: Vec<String> = Vec::new();
    for name in runs.iter().take(ENOUGH).flat_map(Run::metrics) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// No run measured the metric at `step`.
pub fn unknown_step(metric: &str, step: u64, series: &[Option<Series>]) -> AnalysisError {
    let mut steps: Vec<u64> = series.iter().flatten().flatten().map(|(step, _)| *step).collect();
    steps.sort_unstable();
    steps.dedup();
    // The nearest first few: a list of thousands helps nobody.
    steps.sort_by_key(|s| s.abs_diff(step));
    steps.truncate(8);
    steps.sort_unstable();
    let list: Vec<String> = steps.iter().map(u64::to_string).collect();
    AnalysisError::new(format!("no run has `{metric}` at step {step}"))
        .help(format!("nearest steps with a value: {}", list.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_picked_by_place_or_worth() {
        let series = vec![(10, 3.0), (20, f64::NAN), (30, 1.0), (40, 2.0)];
        let picked = |at, goal| pick(&series, at, goal);
        assert_eq!(picked(At::Last, Direction::Higher), Some(2.0));
        assert_eq!(picked(At::Best, Direction::Higher), Some(3.0));
        assert_eq!(picked(At::Best, Direction::Lower), Some(1.0));
        assert_eq!(
            (picked(At::Step(30), Direction::Lower), picked(At::Step(31), Direction::Lower)),
            (Some(1.0), None)
        );
    }
}
