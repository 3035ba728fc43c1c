//! Which run of a plan a task of an engine is to carry out: what the engine says in the environment.

use serde::{Deserialize, Serialize};

/// An engine's variable, what it counts from, and the variables that together name the task.
struct Source {
    engine: &'static str,
    index: &'static str,
    first: usize,
    job: &'static str,
    /// Rises each time the engine starts the same task again.
    restart: &'static str,
}

const fn source(
    engine: &'static str,
    index: &'static str,
    first: usize,
    job: &'static str,
    restart: &'static str,
) -> Source {
    Source { engine, index, first, job, restart }
}

/// In the order in which they are looked at.
const SOURCES: [Source; 7] = [
    source("slurm", "SLURM_ARRAY_TASK_ID", 0, "SLURM_ARRAY_JOB_ID", "SLURM_RESTART_COUNT"),
    source("hyperqueue", "HQ_TASK_ID", 0, "HQ_JOB_ID", "HQ_INSTANCE_ID"),
    source("kubernetes", "JOB_COMPLETION_INDEX", 0, "IJEPA_RUN_JOB", ""),
    source("sge", "SGE_TASK_ID", 1, "JOB_ID", "RESTARTED"),
    source("pbs", "PBS_ARRAY_INDEX", 0, "PBS_ARRAY_ID", ""),
    // Indices of LSF start at 1; 0 means no array.
    source("lsf", "LSB_JOBINDEX", 1, "LSB_JOBID", ""),
    source("parallel", "PARALLEL_SEQ", 1, "PARALLEL_PID", ""),
];

/// Names of the variables that hold an index.
pub fn variables() -> Vec<&'static str> {
    SOURCES.iter().map(|source| source.index).collect()
}

/// A task of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineTask {
    /// Name of the engine.
    pub engine: String,
    /// Its job; empty where it does not say.
    pub job: String,
    /// Number of the task, counted from 0.
    pub index: usize,
    /// How often the engine has started this task before; none where it does not say.
    pub restart: Option<u64>,
}

impl EngineTask {
    /// The task that this process is, by its environment.
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        SOURCES.iter().find_map(|source| {
            // SGE says `undefined` outside an array.
            let number: usize = variable(source.index)?.trim().parse().ok()?;
            let count = |text: String| text.trim().parse().ok();
            Some(EngineTask {
                engine: source.engine.into(),
                job: variable(source.job).unwrap_or_default(),
                index: number.checked_sub(source.first)?,
                restart: variable(source.restart).and_then(count),
            })
        })
    }

    /// Such as `slurm 7_3`.
    pub fn name(&self) -> String {
        format!("{} {}_{}", self.engine, self.job, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(all: &[(&str, &str)]) -> Option<EngineTask> {
        let find = |name: &str| all.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        EngineTask::from_environment(&find)
    }

    #[test]
    fn every_engine_counts_from_its_own_number() {
        let index = |name: &str, value: &str| task(&[(name, value)]).map(|task| task.index);
        for (name, value, expected) in [
            ("SLURM_ARRAY_TASK_ID", "7", Some(7)),
            ("HQ_TASK_ID", "0", Some(0)),
            ("JOB_COMPLETION_INDEX", "3", Some(3)),
            ("SGE_TASK_ID", "1", Some(0)),
            ("SGE_TASK_ID", "undefined", None),
            ("PBS_ARRAY_INDEX", "2", Some(2)),
            ("LSB_JOBINDEX", "0", None),
            ("LSB_JOBINDEX", "2", Some(1)),
            ("PARALLEL_SEQ", "1", Some(0)),
            ("OTHER", "1", None),
        ] {
            assert_eq!(index(name, value), expected, "{name}={value}");
        }
    }

    #[test]
    fn a_task_has_a_name_and_knows_how_often_it_was_started() {
        let all = [("SLURM_ARRAY_JOB_ID", "7"), ("SLURM_ARRAY_TASK_ID", "3"), ("SLURM_RESTART_COUNT", "1")];
        let task = task(&all).unwrap();
        assert_eq!((task.name().as_str(), task.restart), ("slurm 7_3", Some(1)));
    }
}
