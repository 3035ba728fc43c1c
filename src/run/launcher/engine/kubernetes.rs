//! A Kubernetes Indexed Job as YAML.

use std::path::Path;

use serde_json::{Value, json};

use super::EngineSweep;

/// Seconds between the request to stop and the end: a step and a checkpoint have to fit.
const GRACE: u64 = 120;

/// How often a task is started again after it crashed, or stopped by itself.
const RETRIES: u64 = 3;

/// The job. Its number of completions is that of the whole plan, since Kubernetes knows no list of numbers: tasks
/// whose runs are done end at once.
///
/// An eviction does not count (`Ignore`); a refused experiment and a broken run are never tried again (`FailIndex`);
/// two pods never work on one task (`podReplacementPolicy`).
pub fn job(sweep: &EngineSweep) -> Result<String, String> {
    let settings = &sweep.settings.kubernetes;
    let name = dns_name(&sweep.name);
    let folder = sweep.folder.file_name().unwrap_or_default();
    let folder = Path::new(&settings.mount).join("sweeps").join(folder);
    let mut resources = json!({ "cpu": sweep.cpus().to_string() });
    if sweep.gpus() > 0 {
        resources["nvidia.com/gpu"] = json!(sweep.gpus().to_string());
    }
    let exit = |action: &str, codes: &[u8]| json!({ "action": action, "onExitCodes": { "containerName": "run", "operator": "In", "values": codes } });
    let evicted = json!({
        "action": "Ignore",
        "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }],
    });
    let container = json!({
        "name": "run",
        "image": settings.image,
        "command": sweep.command_of("ijepa-run", &folder),
        // Names the job, so that a pod knows whose successor it is.
        "env": [{ "name": "IJEPA_RUN_JOB", "value": name }],
        "resources": { "requests": resources, "limits": resources },
        "volumeMounts": [{ "name": "results", "mountPath": settings.mount }],
    });
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": name },
        "spec": {
            "completionMode": "Indexed",
            "completions": sweep.tasks(),
            "parallelism": super::script::tasks_at_a_time(sweep).unwrap_or(sweep.tasks()).min(sweep.tasks()),
            "backoffLimitPerIndex": RETRIES,
            "maxFailedIndexes": sweep.tasks(),
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": { "rules": [evicted, exit("FailIndex", &[2, 3]), exit("Count", &[1, 75])] },
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": GRACE,
                    "containers": [container],
                    "volumes": [{ "name": "results", "persistentVolumeClaim": { "claimName": settings.claim } }],
                },
            },
        },
    });
    yaml(&job)
}

fn yaml(value: &Value) -> Result<String, String> {
    serde_yaml::to_string(value).map_err(|e| e.to_string())
}

/// A name as Kubernetes allows it: at most 63 of a-z, 0-9 and -, letters or digits at both ends.
fn dns_name(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let all: String = name.chars().map(allowed).take(50).collect();
    format!("ijepa-{}", all.trim_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::sweep, *};

    #[test]
    fn a_job_has_an_index_per_task_and_the_paths_of_its_containers() {
        let mut sweep = sweep(10, 4);
        sweep.name = "Mask_count".into();
        let job: Value = serde_yaml::from_str(&job(&sweep).unwrap()).unwrap();
        assert_eq!(job["metadata"]["name"], "ijepa-mask-count");
        assert_eq!((&job["spec"]["completions"], &job["spec"]["parallelism"]), (&json!(3), &json!(3)));
        let container = &job["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["command"][2], "/results/sweeps/tiny-1");
        assert_eq!(container["resources"]["limits"], json!({ "cpu": "2" }));
    }
}
