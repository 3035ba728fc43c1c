//! What a person reads of a sweep: what would run, and what came out.

use super::{Exit, RunOptions, out::aligned};
use crate::{
    results::{Standing, State},
    sweep::{Plan, PlannedRun},
};

/// The planned runs with what would be done with each, and counts.
pub(crate) fn dry_run(plan: &Plan, standings: &[Standing], options: &RunOptions) -> String {
    let rows = plan.runs.iter().zip(standings).map(|(run, standing)| {
        let reason = reason(standing, options.force);
        [
            run.index.to_string(),
            run.arm.clone(),
            run.seed.to_string(),
            run.experiment.run_folder_name(),
            reason,
        ]
    });
    let table = aligned(["run", "arm", "seed", "folder", "reason"].map(String::from), rows.collect());
    let over = |s: &&Standing| s.is_over() && !options.force;
    let finished = standings.iter().filter(over).count();
    let new = standings.iter().filter(|s| s.status.is_none()).count();
    let left = plan.runs.len() - finished;
    format!(
        "{table}\n{} runs: {new} new, {} to continue, {finished} finished; {}\nsweep folder: {}\n",
        plan.runs.len(),
        left - new,
        steps(plan, standings, options),
        options.output.join("sweeps").join(plan.folder_name()).display()
    )
}

/// Steps that are left in all runs.
fn steps(plan: &Plan, standings: &[Standing], options: &RunOptions) -> String {
    let left = |(run, standing): (&PlannedRun, &Standing)| {
        let done = match &standing.status {
            _ if options.force => 0,
            Some(_) if standing.is_over() => return Some(0),
            Some(status) => status.step,
            None => 0,
        };
        Some(run.steps()?.saturating_sub(done))
    };
    let all: Option<u64> = plan.runs.iter().zip(standings).map(left).sum();
    all.map_or("the number of steps depends on the data".into(), |steps| format!("{steps} steps to do"))
}

/// What would be done with a run, and why.
fn reason(standing: &Standing, force: bool) -> String {
    let Some(status) = &standing.status else { return "new".into() };
    let at = format!("step {} of {}", status.step, status.steps);
    match status.state {
        _ if force => "starts over (--force), earlier files are kept".into(),
        State::Done => "done: reused".into(),
        State::Diverged => format!("diverged: kept ({})", status.reason),
        State::Stopped => format!("stopped: continues at {at}"),
        State::Running => format!("interrupted or running: continues at {at}"),
        State::Failed => format!("failed ({}): continues at {at}", status.reason),
    }
}

/// One line per arm: how many runs, and the metric's mean and spread over seeds.
pub(crate) fn arms(plan: &Plan, standings: &[&Standing]) -> String {
    let Some(metric) = metric(plan, standings) else { return String::new() };
    let mut names: Vec<&str> = plan.runs.iter().map(|r| r.arm.as_str()).collect();
    names.dedup();
    let rows = names.iter().map(|name| {
        let of_arm = plan.runs.iter().zip(standings).filter(|(r, _)| r.arm == **name);
        let of_arm: Vec<&Standing> = of_arm.map(|(_, s)| *s).collect();
        let done = of_arm.iter().filter(|s| s.word() == "done");
        let values: Vec<f64> = done.filter_map(|s| s.metric(&metric)).collect();
        [(*name).to_owned(), counts(&of_arm, values.len()), mean(&values), deviation(&values)]
    });
    let head = ["arm".to_owned(), "n".to_owned(), "mean".to_owned(), "std".to_owned()];
    format!("{metric}\n{}", aligned(head, rows.collect()))
}

/// The sweep's metric, else the first that is measured on the target encoder, else the first.
fn metric(plan: &Plan, standings: &[&Standing]) -> Option<String> {
    if let Some(metric) = &plan.metric {
        return Some(metric.name.clone());
    }
    let names = || standings.iter().flat_map(|s| &s.metrics).map(|(name, _)| name);
    names().find(|n| n.contains("/target/")).or_else(|| names().next()).cloned()
}

/// `3`, or `2/3 (1 diverged)`.
fn counts(runs: &[&Standing], measured: usize) -> String {
    if measured == runs.len() {
        return measured.to_string();
    }
    let count = |word: &str| runs.iter().filter(|s| s.word() == word).count();
    let words = ["failed", "diverged", "stopped", "running", "pending"].map(|w| (w, count(w)));
    let parts: Vec<String> =
        words.iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!("{n} {word}")).collect();
    let why = if parts.is_empty() { "not measured".to_owned() } else { parts.join(", ") };
    format!("{measured}/{} ({why})", runs.len())
}

fn mean(values: &[f64]) -> String {
    if values.is_empty() {
        return "-".into();
    }
    format!("{:.3}", values.iter().sum::<f64>() / values.len() as f64)
}

/// Over seeds, with n - 1.
fn deviation(values: &[f64]) -> String {
    if values.len() < 2 {
        return "-".into();
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    format!("{:.3}", (squares / (n - 1.0)).sqrt())
}

/// How a sweep ended, in a few words.
pub(crate) fn outcome(exit: Exit, standings: &[&Standing]) -> String {
    let count = |word: &str| standings.iter().filter(|s| s.word() == word).count();
    let words = ["done", "diverged", "failed", "stopped", "running", "pending"].map(|w| (w, count(w)));
    let parts: Vec<String> =
        words.iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!("{n} {word}")).collect();
    let again = if exit == Exit::Requeue { "; run again to continue" } else { "" };
    format!("{}{again}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_needs_two_values() {
        assert_eq!((mean(&[]), deviation(&[1.0])), ("-".into(), "-".into()));
        assert_eq!((mean(&[1.0, 2.0, 3.0]), deviation(&[1.0, 2.0, 3.0])), ("2.000".into(), "1.000".into()));
    }
}
