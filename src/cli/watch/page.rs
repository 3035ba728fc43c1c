//! The page as lines of text, no wider and no longer than the terminal.

use super::watched::{Watched, WatchedRun};
use crate::{
    analysis::render::short,
    results::{RunState, escape::one_line},
    sinks::human_time,
};

/// Letters of the bar.
const BAR: usize = 20;

/// Heights of the loss, low to high.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The page for a terminal of `(columns, rows)`, its list moved down by `scroll` runs.
pub(super) fn page(watched: &Watched, (columns, rows): (usize, usize), scroll: usize) -> Vec<String> {
    let mut page = vec![watched.title.clone(), summary(watched), String::new()];
    let mut runs: Vec<&WatchedRun> = watched.runs.iter().collect();
    // What moves comes first; the order of the plan stays within.
    runs.sort_by_key(|run| rank(run.state()));
    let table = table(&runs);
    let room = rows.saturating_sub(page.len() + 3).max(1);
    let from = scroll.min(runs.len().saturating_sub(room));
    let list = table.len().saturating_sub(1);
    page.extend(table.first().cloned());
    page.extend(table.iter().skip(1 + from).take(room).cloned());
    if let [only] = runs.as_slice() {
        page.extend(loss(only, columns));
    }
    let hidden = list.saturating_sub(room);
    if hidden > 0 {
        page.push(format!("  runs {} to {} of {list}", from + 1, from + room.min(list)));
    }
    page.into_iter().map(|line| cut(&one_line(&line), columns)).collect()
}

fn rank(state: RunState) -> usize {
    match state {
        RunState::Running => 0,
        RunState::Failed | RunState::Unreadable | RunState::Diverged | RunState::Collapsed => 1,
        RunState::Stopped | RunState::Interrupted => 2,
        RunState::Done => 3,
        RunState::Pending => 4,
    }
}

/// `36 runs: 12 done, 2 running, 22 pending  [######------]  34 %  12 min left`.
fn summary(watched: &Watched) -> String {
    let of = |state: RunState| watched.runs.iter().filter(|run| run.state() == state).count();
    let states = RunState::ALL.map(|state| (state, of(state))).into_iter().filter(|(_, n)| *n > 0);
    let states: Vec<String> = states.map(|(state, n)| format!("{n} {state}")).collect();
    let count = watched.runs.len();
    if count == 0 {
        return "no runs yet".into();
    }
    let total: u64 = watched.runs.iter().map(WatchedRun::steps).sum();
    let left: u64 = watched.runs.iter().map(WatchedRun::left).sum();
    let share = if total > 0 { 1.0 - left as f64 / total as f64 } else { 0.0 };
    let left = watched.seconds_left().map_or(String::new(), |s| format!("  {} left", human_time(s)));
    let runs = if count == 1 { "run" } else { "runs" };
    format!("{count} {runs}: {}  {}{left}", states.join(", "), bar(share))
}

fn bar(share: f64) -> String {
    let full = ((BAR as f64 * share) as usize).min(BAR);
    format!("[{}{}] {:.0} %", "#".repeat(full), "-".repeat(BAR - full), (100.0 * share).floor())
}

fn table(runs: &[&WatchedRun]) -> Vec<String> {
    let head = ["run", "state", "steps", "loss", "steps/s", "left", "result"].map(str::to_owned);
    let rows = runs.iter().map(|run| row(run));
    let text = super::super::print::aligned(head, rows.collect());
    text.lines().map(str::to_owned).collect()
}

fn row(run: &WatchedRun) -> [String; 7] {
    let none = || "-".to_owned();
    let steps = if run.steps() > 0 { format!("{}/{}", run.live.step, run.steps()) } else { none() };
    let loss = run.live.losses.last().map_or_else(none, |x| short(*x));
    let pace = run.pace().map_or_else(none, short);
    let left = run.pace().map_or_else(none, |pace| human_time(run.left() as f64 / pace));
    let reason = run.live.standing.reason();
    let result = if run.result.is_empty() { reason } else { run.result.clone() };
    [run.name.clone(), run.state().to_string(), steps, loss, pace, left, result]
}

/// The loss of the last rows as a curve of letters.
fn loss(run: &WatchedRun, columns: usize) -> Option<String> {
    let room = columns.min(BAR * 5).saturating_sub(10).max(8);
    let losses: Vec<f64> = run.live.losses.iter().copied().filter(|x| x.is_finite()).collect();
    let shown = &losses[losses.len().saturating_sub(room)..];
    let (low, high) = (shown.iter().copied().reduce(f64::min)?, shown.iter().copied().reduce(f64::max)?);
    let height = |x: &f64| {
        let share = if high > low { (x - low) / (high - low) } else { 0.0 };
        HEIGHTS[((share * 7.0).round() as usize).min(7)]
    };
    (shown.len() > 1).then(|| format!("  loss {}", shown.iter().map(height).collect::<String>()))
}

fn cut(line: &str, columns: usize) -> String {
    if line.chars().count() <= columns {
        return line.into();
    }
    line.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_and_lines_are_short() {
        assert_eq!(bar(0.5), "[##########----------] 50 %");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
