//! MLflow: a file store, one experiment per name, one run per run.

use std::path::Path;

use serde_json::{Value, json};

use super::{ExportedFile, history::History};
use crate::results::RunState;

/// Longest value of a parameter that MLflow takes.
const LONGEST: usize = 6000;

/// Files of a store that will lie in `folder`.
pub(super) fn files(histories: &[History], folder: &Path) -> Vec<ExportedFile> {
    let root = std::path::absolute(folder).unwrap_or_else(|_| folder.into());
    let root = format!("file://{}", root.display());
    let mut experiments: Vec<&str> = Vec::new();
    let mut all = Vec::new();
    for history in histories {
        if !experiments.contains(&history.experiment.as_str()) {
            experiments.push(&history.experiment);
            all.push(experiment(history, histories, &root));
        }
        all.extend(run(history, &root));
    }
    all
}

/// Numbers that are the same every time: a second export replaces the first.
fn digits(name: &str) -> String {
    let hash = blake3::hash(name.as_bytes());
    let number = hash.as_bytes()[..7].iter().fold(0u64, |all, byte| all << 8 | u64::from(*byte));
    format!("{:018}", 1 + number % 899_999_999_999_999_999 + 100_000_000_000_000_000)
}

fn run_id(name: &str) -> String {
    blake3::hash(name.as_bytes()).to_hex()[..32].to_owned()
}

fn milliseconds(seconds: f64) -> i64 {
    (1000.0 * seconds).round() as i64
}

fn yaml(path: String, value: &Value) -> ExportedFile {
    ExportedFile::new(path, serde_yaml::to_string(value).unwrap_or_default())
}

fn experiment(history: &History, all: &[History], root: &str) -> ExportedFile {
    let id = digits(&history.experiment);
    let own = || all.iter().filter(|h| h.experiment == history.experiment);
    let first = own().map(|h| milliseconds(h.clock.start)).min();
    let last = own().map(|h| milliseconds(h.clock.end())).max();
    let meta = json!({
        "artifact_location": format!("{root}/{id}"),
        "creation_time": first,
        "experiment_id": id,
        "last_update_time": last,
        "lifecycle_stage": "active",
        "name": history.experiment,
    });
    yaml(format!("{id}/meta.yaml"), &meta)
}

fn run(history: &History, root: &str) -> Vec<ExportedFile> {
    let (experiment, id) = (digits(&history.experiment), run_id(&history.name));
    let own = format!("{experiment}/{id}");
    let is_over = status(history.state) != 1;
    let meta = json!({
        "artifact_uri": format!("{root}/{own}/artifacts"),
        "end_time": is_over.then(|| milliseconds(history.clock.end())),
        "entry_point_name": "",
        "experiment_id": experiment,
        "lifecycle_stage": "active",
        "run_id": id,
        "run_name": history.name,
        "run_uuid": id,
        "source_name": "ijepa-run",
        "source_type": 4,
        "source_version": "",
        "start_time": milliseconds(history.clock.start),
        "status": status(history.state),
        "tags": [],
        "user_id": "ijepa-run",
    });
    let mut files = vec![yaml(format!("{own}/meta.yaml"), &meta)];
    for (path, value) in &history.settings {
        let short: String = value.chars().take(LONGEST).collect();
        files.push(ExportedFile::new(format!("{own}/params/{}", key(path)), short));
    }
    for series in &history.series {
        let line = |(step, value): &(u64, f64)| {
            format!("{} {value} {step}\n", milliseconds(history.clock.at(*step)))
        };
        let lines: String = series.points.iter().map(line).collect();
        files.push(ExportedFile::new(format!("{own}/metrics/{}", key(&series.tag)), lines));
    }
    let tags = [
        ("mlflow.runName", &history.name),
        ("mlflow.user", &"ijepa-run".to_owned()),
        ("arm", &history.arm),
        ("identity", &history.identity),
        ("seed", &history.seed),
    ];
    files.extend(tags.map(|(tag, value)| ExportedFile::new(format!("{own}/tags/{tag}"), value.as_str())));
    files.push(ExportedFile::new(format!("{own}/artifacts/experiment.yaml"), history.file.as_str()));
    files
}

/// `RunStatus`: 1 running, 3 finished, 4 failed.
fn status(state: RunState) -> u64 {
    match state {
        RunState::Done | RunState::Collapsed => 3,
        RunState::Failed | RunState::Diverged | RunState::Unreadable => 4,
        _ => 1,
    }
}

/// A name of a metric or parameter that MLflow takes: letters, digits and `_-. /` are.
fn key(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || "_-. /".contains(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_what_mlflow_takes() {
        assert_eq!(key("linear/target/class/top1@validation"), "linear/target/class/top1_validation");
        let id = digits("baseline");
        assert!(id.len() == 18 && id.bytes().all(|b| b.is_ascii_digit()) && !id.starts_with('0'), "{id}");
        assert_eq!(run_id("a").len(), 32);
    }
}
