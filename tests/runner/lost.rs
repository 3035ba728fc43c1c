//! Files of a finished or stopped run that are gone, another run's, or changed without a trace in their length.

use std::fs;

use crate::{
    damage::{done, refused, stopped, tables},
    program::Folder,
};

/// Whichever file of a finished run is gone: every reader names it, or the run that it was.
#[test]
fn a_finished_run_misses_every_file_of_its_own() {
    let folder = done();
    let run = folder.run_folder();
    let id = run.file_name().unwrap().to_str().unwrap();
    for file in ["experiment.yaml", "status.json", "metrics.json", "metrics.csv", "epochs.csv", "probes.csv"]
        .into_iter()
        .chain(["timing.csv", "weights.safetensors", "checkpoints/latest.safetensors"])
    {
        let bytes = fs::read(run.join(file)).unwrap();
        fs::remove_file(run.join(file)).unwrap();
        let verified = folder.run(&["verify", "results"]);
        assert!(verified.code == 1 && verified.stdout.contains(&format!("{file}: is gone")), "{file}");
        assert!(verified.stderr.contains("verify --accept"), "{}", verified.stderr);
        assert_eq!(folder.run(&["verify", run.to_str().unwrap()]).code, 1, "{file}");
        let compared = folder.run(&["compare", "results", "--metric", "knn/target/class/top1"]);
        assert_eq!(compared.code, 2, "{file}: no run is left: {}", compared.stdout);
        assert!(compared.stderr.contains(&format!("{file}: is gone")), "{file}: {}", compared.stderr);
        let listed = folder.run(&["ls"]).stdout;
        assert!(listed.contains("unreadable") && listed.contains(&id[id.len() - 12..]), "{file}: {listed}");
        assert!(folder.run(&["show", id]).stdout.contains(&format!("{file}: is gone")), "{file}");
        fs::write(run.join(file), bytes).unwrap();
    }
    assert_eq!(folder.run(&["verify", "results"]).code, 0);
}

/// What version 0.1.0 left has no seals, but as many files.
#[test]
fn weights_of_a_run_without_seals_are_missed_too() {
    let folder = done();
    let status = folder.run_folder().join("status.json");
    fs::write(status, r#"{"state": "done", "step": 12, "steps": 12}"#).unwrap();
    assert!(folder.run(&["verify", "results"]).stdout.starts_with("unsealed: "));
    fs::remove_file(folder.run_folder().join("weights.safetensors")).unwrap();
    let verified = folder.run(&["verify", "results"]);
    assert!(verified.code == 1 && verified.stdout.contains("weights.safetensors: is gone"));
}

#[test]
fn a_checkpoint_of_another_run_is_noticed_beside_a_finished_one() {
    let (folder, other) = (done(), Folder::new());
    assert_eq!(other.run(&["tiny.yaml", "seed=1"]).code, 0);
    let file = "checkpoints/latest.safetensors";
    fs::copy(other.run_folder().join(file), folder.run_folder().join(file)).unwrap();
    let verified = folder.run(&["verify", "results"]);
    assert!(verified.code == 1 && verified.stdout.contains(file), "{}", verified.stdout);
}

#[test]
fn a_status_of_another_run_is_named_before_the_files_that_it_does_not_know() {
    let (folder, other) = (done(), Folder::new());
    assert_eq!(other.run(&["tiny.yaml", "seed=1"]).code, 0);
    fs::copy(other.run_folder().join("status.json"), folder.run_folder().join("status.json")).unwrap();
    refused(&folder.run(&["tiny.yaml"]), &["status.json: is of another run, or these files are:"]);
}

/// Without its status nobody knows how a run stands; its checkpoint does.
#[test]
fn a_run_without_its_status_goes_on_from_its_checkpoint() {
    let expected = tables(&done());
    for (folder, accepts) in [(stopped(), false), (done(), false), (stopped(), true), (done(), true)] {
        fs::remove_file(folder.run_folder().join("status.json")).unwrap();
        if accepts {
            let accepted = folder.run(&["verify", "--accept", "results"]);
            assert_eq!(accepted.code, 0, "{}", accepted.stderr);
            assert!(folder.run(&["ls"]).stdout.contains("stopped"));
        }
        let run = folder.run(&["tiny.yaml"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(tables(&folder), expected);
        assert_eq!(folder.run(&["verify", "results"]).code, 0);
    }
}

/// Nothing is written to a stopped run until it goes on: its tables are what they were.
#[test]
fn numbers_of_a_stopped_run_do_not_change_unnoticed() {
    let folder = stopped();
    let path = folder.run_folder().join("probes.csv");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    fs::write(path, bytes).unwrap();
    for reader in [&["compare", "results"][..], &["show", "tiny"], &["why", "tiny.yaml"]] {
        let said = folder.run(reader);
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(all.contains("probes.csv: was changed after the run wrote it"), "{reader:?}: {all}");
    }
}
