//! Slurm: job arrays by `sbatch`, and what `squeue` says of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    thread,
    time::Duration,
};

use super::{
    EngineSweep, ranges,
    script::tasks_at_a_time,
    standing::{Engine, Standing},
};
use crate::run::launcher::tool::{call, words};

/// What a controller allows that says nothing else: the default of Slurm.
const MAX_ARRAY_SIZE: usize = 1001;

/// Words of a refusal that time may cure.
const BUSY: [&str; 4] = [
    "Socket timed out",
    "Unable to contact slurm controller",
    "Resource temporarily unavailable",
    "Zero Bytes",
];

/// States in which a task is not over, or may come back.
const ALIVE: [&str; 16] = [
    "PENDING",
    "RUNNING",
    "SUSPENDED",
    "COMPLETING",
    "CONFIGURING",
    "REQUEUED",
    "REQUEUE_HOLD",
    "REQUEUE_FED",
    "RESIZING",
    "RESV_DEL_HOLD",
    "SIGNALING",
    "SPECIAL_EXIT",
    "STAGE_OUT",
    "STOPPED",
    "PREEMPTED",
    "POWER_UP_NODE",
];

/// States that are an end.
const OVER: [&str; 9] = [
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "BOOT_FAIL",
    "DEADLINE",
    "REVOKED",
];

/// The Slurm whose commands are on the path.
pub struct Slurm;

impl Engine for Slurm {
    fn name(&self) -> &'static str {
        "slurm"
    }

    /// Arrays have a greatest size, which is also above every number in them: tasks with higher ones get an offset.
    fn arrays(&self, tasks: &BTreeSet<usize>) -> Vec<(usize, BTreeSet<usize>)> {
        let config = call(&words(&["scontrol", "show", "config"])).unwrap_or_default();
        chunks(tasks, max_array_size(&config).unwrap_or(MAX_ARRAY_SIZE))
    }

    fn submit(
        &self,
        sweep: &EngineSweep,
        script: &Path,
        offset: usize,
        tasks: &BTreeSet<usize>,
    ) -> Result<String, String> {
        let numbers: BTreeSet<usize> = tasks.iter().map(|task| task - offset).collect();
        let limit = tasks_at_a_time(sweep).map_or(String::new(), |n| format!("%{n}"));
        let array = format!("--array={}{limit}", ranges(&numbers));
        let command =
            words(&["sbatch", "--parsable", &array, &script.to_string_lossy(), &offset.to_string()]);
        let answer = patiently(&|| call(&command))?;
        // `123`, or `123;cluster`.
        let job = answer.lines().last().and_then(|line| line.split(';').next()).unwrap_or_default().trim();
        let is_job = !job.is_empty() && job.chars().all(|c| c.is_ascii_digit());
        if is_job {
            Ok(job.to_owned())
        } else {
            Err(format!("sbatch answers `{answer}`, no number of a job"))
        }
    }

    fn standings(&self, job: &str) -> Result<BTreeMap<usize, Standing>, Standing> {
        let command =
            words(&["squeue", "--noheader", "--array", "--states=all", "--format=%K %T", "--jobs", job]);
        match call(&command) {
            Ok(answer) => of_queue(&answer),
            // The controller knows no such job any more.
            Err(reason) if reason.contains("Invalid job id") => {
                Err(Standing::Gone("no longer in the queue".into()))
            }
            Err(reason) => Err(Standing::Unknown(reason)),
        }
    }

    fn cancel(&self, job: &str) -> Result<(), String> {
        match call(&words(&["scancel", job])) {
            Err(reason) if !reason.contains("Invalid job id") => Err(reason),
            _ => Ok(()),
        }
    }
}

/// Calls again after 1, 2 and 4 s where the controller has no time.
fn patiently(call: &dyn Fn() -> Result<String, String>) -> Result<String, String> {
    for seconds in [1, 2, 4] {
        match call() {
            Err(reason) if BUSY.iter().any(|word| reason.contains(word)) => {
                thread::sleep(Duration::from_secs(seconds));
            }
            answer => return answer,
        }
    }
    call()
}

/// `MaxArraySize = 1001` in what `scontrol show config` prints.
fn max_array_size(config: &str) -> Option<usize> {
    let value = config.lines().find_map(|line| line.trim().strip_prefix("MaxArraySize"))?;
    value.trim().strip_prefix('=')?.trim().parse().ok().filter(|size| *size > 0)
}

/// Arrays of numbers below `size`, each with its offset.
fn chunks(tasks: &BTreeSet<usize>, size: usize) -> Vec<(usize, BTreeSet<usize>)> {
    let mut all: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for &task in tasks {
        all.entry(task / size * size).or_default().insert(task);
    }
    all.into_iter().collect()
}

/// `7 RUNNING` per line. No line at all says nothing: a queue that has just been asked to take a job, or that lost its
/// accounting, answers like that.
fn of_queue(answer: &str) -> Result<BTreeMap<usize, Standing>, Standing> {
    let one = |line: &str| -> Option<(usize, Standing)> {
        let (number, state) = line.trim().split_once(' ')?;
        let state = state.trim();
        let standing = match state {
            state if ALIVE.contains(&state) => Standing::Alive(state == "RUNNING"),
            state if OVER.contains(&state) => Standing::Gone(state.to_lowercase()),
            state => Standing::Unknown(format!("squeue says `{state}`")),
        };
        Some((number.parse().ok()?, standing))
    };
    let all: BTreeMap<usize, Standing> = answer.lines().filter_map(one).collect();
    if all.is_empty() { Err(Standing::Unknown("squeue says nothing".into())) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_cut_by_the_value_of_their_numbers() {
        let tasks = [0, 3, 999, 1000, 1001, 2500].into();
        let cut = chunks(&tasks, 1001);
        let offsets: Vec<usize> = cut.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, [0, 1001, 2002]);
        assert!(cut.iter().all(|(offset, tasks)| tasks.iter().all(|task| task - offset < 1001)));
        assert_eq!(max_array_size("MaxArraySize            = 1001\nMaxJobCount = 10000"), Some(1001));
        assert_eq!(max_array_size(""), None);
    }

    #[test]
    fn an_empty_answer_is_no_end() {
        assert!(matches!(of_queue(""), Err(Standing::Unknown(_))));
        assert!(matches!(of_queue("slurm_load_jobs error\n"), Err(Standing::Unknown(_))));
        let all = of_queue("0 RUNNING\n1 PENDING\n2 FAILED\n3 PREEMPTED\n4 ODD\n").unwrap();
        assert_eq!((&all[&0], &all[&1]), (&Standing::Alive(true), &Standing::Alive(false)));
        assert_eq!((&all[&2], &all[&3]), (&Standing::Gone("failed".into()), &Standing::Alive(false)));
        assert!(matches!(all[&4], Standing::Unknown(_)) && !all.contains_key(&5));
    }
}
