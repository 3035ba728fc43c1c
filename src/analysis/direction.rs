//! Which direction of the compared metric is good, and who says so.

use ijepa_registry::metric::Direction;

use super::{
    error::AnalysisError,
    runs::{Hints, Run},
};
use crate::results::meanings::known_direction;

/// A direction, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Which direction is good.
    pub goal: Direction,
    /// Why no arm can be better than another; empty if `goal` decides.
    pub why_not: String,
}

/// The direction of `metric`: what the runs declare, what was asked for, what the sweep says, what the
/// name of a known metric implies. Whoever contradicts a declaration is refused.
pub(super) fn direction(
    metric: &str,
    runs: &[Run],
    asked: Option<Direction>,
    hints: &Hints,
) -> Result<Judged, AnalysisError> {
    let declared = declared(metric, runs)?;
    if let Some(declared) = declared {
        let sweep = hints.source.as_ref().map(|path| format!("{}: metric.goal", path.display()));
        // `--goal` overrules the sweep file, but not what the runs say of themselves.
        let said = asked.map(|goal| ("--goal".to_owned(), goal));
        let said = said.or(sweep.zip(hints.goal));
        refuse_contradiction(metric, declared, said)?;
    }
    let goal = declared.filter(|d| d.decides()).or(asked).or(hints.goal);
    let goal = goal.or(declared).or_else(|| known_direction(metric));
    Ok(match goal {
        Some(goal) if goal.decides() => Judged { goal, why_not: String::new() },
        Some(goal) => Judged { goal, why_not: format!("`{metric}` is a diagnostic: {}", goal.clause()) },
        None => Judged {
            goal: Direction::Neither,
            why_not: format!("nothing says which direction of `{metric}` is good"),
        },
    })
}

/// What the runs declare, if any does.
fn declared(metric: &str, runs: &[Run]) -> Result<Option<Direction>, AnalysisError> {
    let mut all = runs.iter().filter_map(|run| Some((run, run.meaning(metric)?.direction)));
    let Some((first, direction)) = all.next() else { return Ok(None) };
    match all.find(|(_, other)| *other != direction) {
        None => Ok(Some(direction)),
        Some((second, other)) => Err(AnalysisError::new(format!(
            "`{metric}` means two things: in {} {}, in {} {}",
            first.source.display(),
            direction.clause(),
            second.source.display(),
            other.clause()
        ))
        .help("compare runs of one program")),
    }
}

fn refuse_contradiction(
    metric: &str,
    declared: Direction,
    said: Option<(String, Direction)>,
) -> Result<(), AnalysisError> {
    let Some((place, goal)) = said.filter(|(_, goal)| declared.decides() && *goal != declared) else {
        return Ok(());
    };
    let message = format!(
        "{place}: `{}` contradicts what the runs declare: of `{metric}` {}",
        goal.name(),
        declared.clause()
    );
    let help =
        if place == "--goal" { "leave --goal out".into() } else { format!("say --goal {}", declared.name()) };
    Err(AnalysisError::new(message).help(help))
}
