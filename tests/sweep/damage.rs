//! Runs of a sweep whose files were damaged after they came to their end: named, not counted as done, and no
//! number of theirs is used.

use std::{fs, path::PathBuf};

use crate::{
    folder,
    program::{Folder, Output},
    runs, succeed, sweep_folder,
};

const PAIR: &str = "parameters: { masking.targets: [1, 2] }\n";

/// The folder of the run of an arm.
fn run_of(folder: &Folder, arm: &str) -> PathBuf {
    let table = runs(folder);
    let row = table.lines().find(|line| line.contains(&format!(",{arm},0,"))).unwrap();
    folder.path().join("results").join(row.split(',').next().unwrap())
}

/// One byte is another; the length stays.
fn change(path: &PathBuf) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    let mut other = bytes.clone();
    let last = other.len() - 2;
    other[last] ^= 1;
    fs::write(path, other).unwrap();
    bytes
}

fn refused(run: &Output, file: &str) {
    assert_eq!(run.code, 1, "{file}: {}", run.stderr);
    let line = run.stderr.lines().find(|line| line.contains("failed: ")).unwrap_or_default();
    assert!(line.contains(file) && line.contains("verify --accept"), "{file}: {}", run.stderr);
}

/// Every file that a finished run leaves, so that a new one is tried too.
fn files(run: &PathBuf) -> Vec<String> {
    let names = fs::read_dir(run).unwrap().map(|e| e.unwrap());
    let names = names.filter(|e| e.path().is_file()).map(|e| e.file_name().into_string().unwrap());
    names.filter(|name| !["lock", "run.json"].contains(&name.as_str())).collect()
}

#[test]
fn a_damaged_run_is_named_and_not_taken_as_done() {
    let folder = folder(PAIR);
    succeed(&folder.run(&["s.yaml", "-q"]));
    let (whole, run) = (runs(&folder), run_of(&folder, "masking.targets=2"));
    assert!(files(&run).len() >= 8, "{:?}", files(&run));
    for file in files(&run) {
        let bytes = change(&run.join(&file));
        refused(&folder.run(&["s.yaml", "-q"]), &file);
        let row = runs(&folder);
        let row = row.lines().find(|line| line.contains(",masking.targets=2,0,")).unwrap().to_owned();
        assert!(row.contains(",failed,") && row.contains(&file), "{file}: {row}");
        let status = folder.run(&["status", "s"]);
        // Weights say no number; they are read before a run is reused.
        let noticed = status.stdout.contains("1 done, 1 unreadable") && status.stderr.contains(&file);
        assert!(noticed || file == "weights.safetensors", "{file}: {}{}", status.stdout, status.stderr);
        fs::write(run.join(&file), bytes).unwrap();
    }
    succeed(&folder.run(&["s.yaml"]));
    assert_eq!(runs(&folder), whole, "put back, it is what it was");
}

#[test]
fn a_damaged_run_can_be_started_over_or_taken_as_it_is() {
    let folder = folder(PAIR);
    succeed(&folder.run(&["s.yaml"]));
    let (whole, run) = (runs(&folder), run_of(&folder, "masking.targets=2"));
    let bytes = change(&run.join("epochs.csv"));
    succeed(&folder.run(&["s.yaml", "--force"]));
    assert_eq!((runs(&folder), fs::read(run.join("epochs.csv")).unwrap()), (whole, bytes));
    change(&run.join("epochs.csv"));
    assert_eq!(folder.run(&["verify", "--accept", run.to_str().unwrap()]).code, 0);
    succeed(&folder.run(&["s.yaml"]));
}

/// What can be put right is: weights from the checkpoint, a status from the run that goes on.
#[test]
fn weights_and_status_that_are_gone_are_made_again() {
    let folder = folder(PAIR);
    succeed(&folder.run(&["s.yaml"]));
    let (whole, run) = (runs(&folder), run_of(&folder, "masking.targets=2"));
    for file in ["weights.safetensors", "status.json"] {
        let bytes = fs::read(run.join(file)).unwrap();
        fs::remove_file(run.join(file)).unwrap();
        let again = folder.run(&["s.yaml"]);
        succeed(&again);
        assert!(again.stderr.contains("1 finished before, 1 to do"), "{file}: {}", again.stderr);
        assert_eq!((runs(&folder), fs::read(run.join(file)).unwrap()), (whole.clone(), bytes), "{file}");
    }
}

/// Neither from its folder nor from the table of the sweep.
#[test]
fn compare_and_report_use_no_number_of_a_damaged_run() {
    let folder = folder(&format!("{PAIR}seeds: 2\nmetric: {{ name: knn/target/class/top1 }}\n"));
    succeed(&folder.run(&["s.yaml"]));
    let run = run_of(&folder, "masking.targets=2");
    for (file, gone) in [("experiment.yaml", true), ("status.json", true), ("epochs.csv", false)] {
        let bytes = change(&run.join(file));
        if gone {
            fs::remove_file(run.join(file)).unwrap();
        }
        let compared = folder.run(&["compare", "s"]);
        succeed(&compared);
        assert!(compared.stdout.contains("1/2 (1 unreadable)"), "{file}: {}", compared.stdout);
        let line = compared.stdout.lines().find(|line| line.contains("left out: ")).unwrap_or_default();
        assert!(line.contains(file) && line.contains("ijepa-run verify"), "{file}: {}", compared.stdout);
        let report = folder.run(&["report", "s", "--no-images"]);
        succeed(&report);
        assert!(report.stderr.contains("left out: ") && report.stderr.contains(file), "{}", report.stderr);
        let page = fs::read_to_string(sweep_folder(&folder).join("report.html")).unwrap();
        assert!(page.contains("left out: "), "{file}");
        fs::write(run.join(file), bytes).unwrap();
    }
}

/// Arms that ended early have stopped runs, and their numbers decide again at every start.
#[test]
fn early_termination_decides_by_no_changed_number() {
    let folder = folder(crate::RACE);
    succeed(&folder.run(&["s.yaml"]));
    let decisions = || fs::read_to_string(sweep_folder(&folder).join("decisions.csv")).unwrap();
    let whole = decisions();
    let stopped = whole.lines().find(|line| line.contains(",stop,")).unwrap();
    let arm = stopped.split(',').nth(3).unwrap();
    let probes = run_of(&folder, arm).join("probes.csv");
    let bytes = change(&probes);
    refused(&folder.run(&["s.yaml"]), "probes.csv");
    assert!(!decisions().contains(&format!(",{arm},")), "neither judged nor counted: {}", decisions());
    fs::write(probes, bytes).unwrap();
    succeed(&folder.run(&["s.yaml"]));
    assert_eq!(decisions(), whole);
}
