//! HyperQueue: task arrays by `hq submit`, and what `hq job list` says of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::Value;

use super::{
    EngineSweep, ranges,
    standing::{Engine, Standing},
};
use crate::run::launcher::tool::{call, words};

/// The HyperQueue whose command is on the path.
pub struct HyperQueue;

impl Engine for HyperQueue {
    fn name(&self) -> &'static str {
        "hyperqueue"
    }

    /// It takes any number of tasks.
    fn arrays(&self, tasks: &BTreeSet<usize>) -> Vec<(usize, BTreeSet<usize>)> {
        vec![(0, tasks.clone())]
    }

    fn submit(
        &self,
        sweep: &EngineSweep,
        _: &Path,
        _: usize,
        tasks: &BTreeSet<usize>,
    ) -> Result<String, String> {
        let answer = call(&command(sweep, tasks))?;
        let parsed: Value = serde_json::from_str(&answer).unwrap_or_default();
        match &parsed["id"] {
            Value::Number(id) => Ok(id.to_string()),
            _ => Err(format!("hq answers `{answer}`, no number of a job")),
        }
    }

    fn standings(&self, job: &str) -> Result<BTreeMap<usize, Standing>, Standing> {
        let answer = call(&words(&["hq", "--output-mode=json", "job", "list", "--all"]));
        Err(answer.map_or_else(Standing::Unknown, |answer| of_list(&answer, job)))
    }

    fn cancel(&self, job: &str) -> Result<(), String> {
        call(&words(&["hq", "job", "cancel", job])).map(|_| ())
    }
}

/// The command line that submits these tasks.
pub fn command(sweep: &EngineSweep, tasks: &BTreeSet<usize>) -> Vec<String> {
    let engine = sweep.engine_folder();
    let mut all = words(&["hq", "--output-mode=json", "submit"]);
    all.push(format!("--array={}", ranges(tasks)));
    all.push(format!("--name={}", sweep.name));
    all.push(format!("--cwd={}", sweep.folder.display()));
    // A task says everything on stderr.
    all.push("--stdout=none".into());
    all.push(format!("--stderr={}", engine.join("hq-%{JOB_ID}-%{TASK_ID}.out").display()));
    all.push(format!("--cpus={}", sweep.cpus()));
    if sweep.gpus() > 0 {
        all.extend(["--resource".to_owned(), format!("gpus/nvidia={}", sweep.gpus())]);
    }
    if let Some(limit) = sweep.settings.time_limit {
        all.push(format!("--time-limit={}s", limit.as_secs()));
        // A worker with less time left would only stop the task again.
        all.push(format!("--time-request={}s", limit.as_secs()));
    }
    all.extend(sweep.settings.options.iter().cloned());
    all.push("--".into());
    all.extend(sweep.command());
    all
}

/// How all tasks of a job stand together: it counts them, and does not say which they are.
fn of_list(answer: &str, job: &str) -> Standing {
    let parsed: Value = serde_json::from_str(answer).unwrap_or_default();
    let jobs = parsed.as_array().map_or(&[][..], Vec::as_slice);
    let Some(found) = jobs.iter().find(|entry| entry["id"].as_u64().is_some_and(|id| job.parse() == Ok(id)))
    else {
        return Standing::Unknown(format!("hq lists no job {job}"));
    };
    let count = |state: &str| found["task_stats"][state].as_u64();
    match (count("running"), count("waiting")) {
        (Some(0), Some(0)) => Standing::Gone("all tasks have ended".into()),
        (Some(running), Some(_)) => Standing::Alive(running > 0),
        _ => Standing::Unknown("hq says not how the tasks stand".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::tests::sweep, *};

    #[test]
    fn a_command_line_is_as_the_documentation_of_hyperqueue_says() {
        let mut sweep = sweep(10, 2);
        sweep.gpu = true;
        sweep.settings.time_limit = Some(Duration::from_secs(60));
        sweep.settings.options = vec!["--priority=5".into()];
        let line = command(&sweep, &[0, 1, 2, 4].into()).join(" ");
        let expected = "hq --output-mode=json submit --array=0-2,4 --name=tiny --cwd=/shared/results/sweeps/tiny-1 \
                        --stdout=none --stderr=/shared/results/sweeps/tiny-1/engine/hq-%{JOB_ID}-%{TASK_ID}.out --cpus=2 \
                        --resource gpus/nvidia=1 --time-limit=60s --time-request=60s --priority=5 -- \
                        /shared/bin/ijepa-run exec";
        assert!(line.starts_with(expected), "{line}");
    }

    #[test]
    fn what_is_not_said_is_unknown() {
        let list = r#"[{"id": 3, "task_stats": {"running": 0, "finished": 2, "failed": 1, "waiting": 0}},
                       {"id": 4, "task_stats": {"running": 1, "finished": 2, "failed": 1, "waiting": 3}},
                       {"id": 5}]"#;
        assert!(matches!(of_list(list, "3"), Standing::Gone(_)));
        assert_eq!(of_list(list, "4"), Standing::Alive(true));
        for (list, job) in [(list, "5"), (list, "6"), ("", "3"), ("[]", "3"), ("error", "3")] {
            assert!(matches!(of_list(list, job), Standing::Unknown(_)), "{list} {job}");
        }
    }
}
