//! How much time there is, and how many processors, where an engine or a person says so.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A stop begins so long before the end: a step and a checkpoint have to fit.
const AHEAD: Duration = Duration::from_secs(60);

/// What is left when Slurm says when the job ends.
pub(crate) fn of_engine(variable: &dyn Fn(&str) -> Option<String>) -> Option<Duration> {
    let end: u64 = variable("SLURM_JOB_END_TIME")?.trim().parse().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(Duration::from_secs(end).saturating_sub(now))
}

/// When to stop of so much time: a minute ahead, a tenth where that is less.
pub(crate) fn ahead_of(left: Duration) -> Duration {
    left.saturating_sub(AHEAD.min(left / 10))
}

/// Processors of the task that this process is, where its engine says.
pub(crate) fn processors_of_engine() -> Option<usize> {
    let number = |name: &str| std::env::var(name).ok()?.trim().parse().ok();
    // HyperQueue lists the numbers of its processors: `0,1,4`.
    let listed = || std::env::var("HQ_CPUS").ok().map(|list| list.split(',').count());
    number("SLURM_CPUS_PER_TASK").or_else(listed).filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_begins_a_minute_ahead_at_most_a_tenth() {
        assert_eq!(ahead_of(Duration::from_secs(3600)).as_secs(), 3540);
        assert_eq!(ahead_of(Duration::from_secs(100)).as_secs(), 90);
    }
}
