//! Damaged, lost and changed files: named, never continued or counted, and nothing of them is lost.

use std::fs;

use crate::program::{Folder, Output};

pub fn stopped() -> Folder {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", "--until-epoch", "2"]).code, 75);
    folder
}

pub fn done() -> Folder {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml"]).code, 0);
    folder
}

pub fn tables(folder: &Folder) -> [String; 3] {
    ["metrics.csv", "epochs.csv", "probes.csv"].map(|f| folder.read(f))
}

pub fn refused(run: &Output, words: &[&str]) {
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(words.iter().all(|word| run.stderr.contains(word)), "{words:?} in {}", run.stderr);
}

/// Every byte of the tables of a stopped run counts: 0.1.0 looked at their lengths.
#[test]
fn a_changed_table_is_not_continued_and_can_be_accepted() {
    let expected = tables(&done());
    for file in ["metrics.csv", "epochs.csv", "probes.csv"] {
        let folder = stopped();
        let path = folder.run_folder().join(file);
        // As a spreadsheet saves it.
        let saved = folder.read(file).replace('\n', "\r\n");
        fs::write(&path, &saved).unwrap();
        let run = folder.run(&["tiny.yaml"]);
        refused(&run, &[file, "verify --accept", "--force"]);
        assert_eq!(folder.read(file), saved);
        let verified = folder.run(&["verify", "results"]);
        assert!(verified.code == 1 && verified.stdout.contains(file), "{}", verified.stdout);
        let accepted = folder.run(&["verify", "--accept", "results"]);
        assert_eq!(accepted.code, 0, "{}", accepted.stderr);
        assert_eq!(folder.run(&["tiny.yaml"]).code, 0);
        assert_eq!(tables(&folder), expected);
        assert!(folder.read("run.json").contains("accepted_at"));
    }
}

#[test]
fn a_deleted_table_is_missed_and_can_be_done_without() {
    let folder = stopped();
    fs::remove_file(folder.run_folder().join("metrics.csv")).unwrap();
    refused(&folder.run(&["tiny.yaml"]), &["metrics.csv: is gone", "--accept", "--force"]);
    assert_eq!(folder.run(&["verify", "--accept", "results"]).code, 0);
    assert_eq!(folder.run(&["tiny.yaml"]).code, 0);
    assert_eq!(folder.table("metrics.csv").len(), 1 + 4, "the rows of the last epoch");
}

#[test]
fn nothing_of_a_finished_run_changes_unnoticed() {
    for file in
        ["metrics.csv", "epochs.csv", "probes.csv", "timing.csv", "weights.safetensors", "experiment.yaml"]
    {
        let folder = done();
        let path = folder.run_folder().join(file);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let run = folder.run(&["tiny.yaml"]);
        refused(&run, &[file, "was changed after the run wrote it"]);
        let verified = folder.run(&["verify", folder.run_folder().to_str().unwrap()]);
        assert!(verified.code == 1 && verified.stdout.contains(file), "{}", verified.stdout);
        fs::write(&path, b"").unwrap();
        let listed = folder.run(&["ls"]);
        assert!(listed.stdout.contains("unreadable"), "{}", listed.stdout);
    }
}

#[test]
fn compare_takes_no_damaged_table() {
    let folder = done();
    let metric = ["compare", "results", "--metric", "knn/target/class/top1"];
    assert_eq!(folder.run(&metric).code, 0);
    let path = folder.run_folder().join("probes.csv");
    let text = folder.read("probes.csv");
    // Rows that were cut away would make an earlier epoch the last one.
    fs::write(&path, text.lines().take(3).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let compared = folder.run(&metric);
    assert!(format!("{}{}", compared.stdout, compared.stderr).contains("probes.csv"), "{}", compared.stderr);
    assert!(!compared.stdout.contains("last, higher is better") || compared.stdout.contains("probes.csv"));
}

/// A metric that nobody has may be in the file that cannot be read.
#[test]
fn compare_names_the_damaged_file_where_a_metric_is_missing_and_beside_csv() {
    let folder = done();
    let metric = ["compare", "results", "--format", "csv", "--metric", "knn/target/class/top1"];
    let path = folder.run_folder().join("metrics.json");
    let whole = folder.read("metrics.json");
    fs::write(&path, whole.replacen("knn", "knm", 1)).unwrap();
    let alone = folder.run(&metric);
    assert!(alone.code == 2 && alone.stderr.contains("metrics.json"), "{}", alone.stderr);
    assert_eq!(folder.run(&["tiny.yaml", "seed=1"]).code, 0);
    let beside = folder.run(&metric);
    assert!(beside.code == 0 && beside.stderr.contains("metrics.json"), "{}", beside.stderr);
}

#[test]
fn a_lost_checkpoint_is_not_a_new_run() {
    for reason in ["deleted", "link to nowhere"] {
        let folder = stopped();
        let before = tables(&folder);
        let checkpoint = folder.run_folder().join("checkpoints/latest.safetensors");
        fs::remove_file(&checkpoint).unwrap();
        #[cfg(unix)]
        if reason != "deleted" {
            std::os::unix::fs::symlink("nowhere", &checkpoint).unwrap();
        }
        let run = folder.run(&["tiny.yaml"]);
        refused(&run, &["latest.safetensors", "--force"]);
        assert_eq!(tables(&folder), before, "{reason}");
        let verified = folder.run(&["verify", "results"]);
        assert!(verified.code == 1 && verified.stdout.contains("latest.safetensors"), "{}", verified.stdout);
        assert_eq!(folder.run(&["tiny.yaml", "--force"]).code, 0);
        assert_eq!(folder.read("attempt-1/metrics.csv"), before[0]);
    }
}

#[test]
fn a_checkpoint_of_another_run_is_not_continued() {
    let (folder, other) = (stopped(), Folder::new());
    assert_eq!(other.run(&["tiny.yaml", "seed=1", "--until-epoch", "2"]).code, 75);
    let checkpoint = |of: &Folder| of.run_folder().join("checkpoints/latest.safetensors");
    fs::copy(checkpoint(&other), checkpoint(&folder)).unwrap();
    refused(&folder.run(&["tiny.yaml"]), &["latest.safetensors", "another configuration", "--force"]);
}

#[test]
fn weights_that_are_gone_are_made_again() {
    let folder = done();
    let path = folder.run_folder().join("weights.safetensors");
    let (weights, status) = (fs::read(&path).unwrap(), folder.read("status.json"));
    fs::remove_file(&path).unwrap();
    assert_eq!(folder.run(&["tiny.yaml"]).code, 0);
    assert_eq!((fs::read(&path).unwrap(), folder.read("status.json")), (weights, status));
}

#[test]
fn history_that_cannot_be_read_is_kept() {
    let folder = stopped();
    fs::write(folder.run_folder().join("run.json"), "[{\"started_at\":").unwrap();
    let run = folder.run(&["tiny.yaml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("run.json.damaged"), "{}", run.stderr);
    assert_eq!(folder.read("run.json.damaged"), "[{\"started_at\":");
}

#[test]
fn a_damaged_status_is_named_and_made_again_from_the_checkpoint() {
    let folder = stopped();
    fs::write(folder.run_folder().join("status.json"), "{").unwrap();
    refused(&folder.run(&["tiny.yaml"]), &["status.json:1: is no status", "--accept"]);
    let listed = folder.run(&["ls"]);
    assert!(listed.stdout.contains("unreadable"), "{}", listed.stdout);
    assert_eq!(folder.run(&["verify", "--accept", "results"]).code, 0);
    assert_eq!(folder.run(&["tiny.yaml"]).code, 0);
    assert_eq!(folder.read("status.json.damaged"), "{");
}

#[cfg(unix)]
#[test]
fn nothing_is_written_through_links_and_pipes_do_not_hang() {
    let folder = stopped();
    let precious = folder.path().join("precious");
    fs::write(&precious, "kept").unwrap();
    for name in ["lock", "metrics.csv"] {
        let path = folder.run_folder().join(name);
        let old = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        refused(&folder.run(&["tiny.yaml"]), &[name]);
        assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
        fs::remove_file(&path).unwrap();
        fs::write(&path, old).unwrap();
    }
    let status = folder.run_folder().join("status.json");
    fs::remove_file(&status).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&status).status().unwrap().success());
    refused(&folder.run(&["tiny.yaml"]), &["status.json: is no regular file"]);
    assert!(folder.run(&["ls"]).stdout.contains("unreadable"));
    assert!(folder.run(&["show", folder.run_folder().to_str().unwrap()]).stdout.contains("no regular file"));
    let stopped = stopped();
    let experiment = stopped.run_folder().join("experiment.yaml");
    fs::remove_file(&experiment).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&experiment).status().unwrap().success());
    // Another run of the name: what sets the two apart would be read from their files.
    assert_eq!(stopped.run(&["tiny.yaml", "encoder.dim=8"]).code, 0);
    assert!(stopped.run(&["ls"]).stdout.contains("stopped"));
    let pipe = folder.path().join("pipe.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let run = folder.run(&["check", "pipe.yaml"]);
    assert!(run.code == 2 && run.stderr.contains("no regular file but a pipe or a device"), "{}", run.stderr);
    assert_eq!(folder.run(&["check", "/dev/zero"]).code, 2);
}

#[test]
fn remains_of_killed_writes_are_taken_away() {
    let folder = stopped();
    let remains = ["", "checkpoints/"].map(|sub| folder.run_folder().join(format!("{sub}.ijepa-run-a1b2c3")));
    remains.iter().for_each(|path| fs::write(path, "half a file").unwrap());
    assert_eq!(folder.run(&["tiny.yaml"]).code, 0);
    assert!(remains.iter().all(|path| !path.exists()));
}

/// A run that is killed before its first checkpoint starts again; the rows it had stay until a checkpoint
/// vouches for the new ones.
#[test]
fn a_run_killed_before_its_first_checkpoint_starts_again() {
    let expected = tables(&done());
    let folder = stopped();
    let run = folder.run_folder();
    fs::remove_file(run.join("checkpoints/latest.safetensors")).unwrap();
    // As version 0.1.0 wrote it at the start.
    fs::write(run.join("status.json"), r#"{"state": "running", "step": 0, "steps": 12}"#).unwrap();
    let listed = folder.run(&["ls"]);
    assert!(listed.stdout.contains("interrupted"), "{}", listed.stdout);
    assert_eq!(folder.run(&["tiny.yaml"]).code, 0);
    assert_eq!(tables(&folder), expected);
    assert!(!run.join("metrics.csv.before").exists());
}
