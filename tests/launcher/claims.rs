//! Claims where there are no locks.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use ijepa_run::results::RunFolder;

use crate::program::{Folder, Process};

const RUNS: usize = 200;
const PLACE: &str = "IJEPA_TEST_CLAIMS";

/// What one of two processes does: it claims all folders that it can, and keeps them.
#[test]
#[ignore = "a part of `two_processes_claim_200_runs_without_one_double`, which starts it"]
fn claimant() {
    let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) else { return };
    fs::write(place.join(format!("ready-{}", std::process::id())), "").unwrap();
    wait_until(|| place.join("go").exists());
    let mut held = Vec::new();
    for run in 0..RUNS {
        if let Ok(folder) = RunFolder::open(&place.join(format!("run-{run}"))) {
            fs::write(folder.path().join(format!("winner-{}", std::process::id())), "").unwrap();
            held.push(folder);
        }
    }
    fs::write(place.join(format!("over-{}", std::process::id())), "").unwrap();
    wait_until(|| count(&place, "over-") == 2);
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn count(folder: &Path, start: &str) -> usize {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(start)).count()
}

#[test]
fn two_processes_claim_200_runs_without_one_double() {
    for locking in ["claim", "lock"] {
        let place = tempfile::tempdir().unwrap();
        let start = || {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "claims::claimant", "--ignored"]).env(PLACE, place.path());
            command.env("IJEPA_RUN_LOCK", locking).stdout(std::process::Stdio::null()).spawn().unwrap()
        };
        let mut both = [start(), start()];
        wait_until(|| count(place.path(), "ready-") == 2);
        fs::write(place.path().join("go"), "").unwrap();
        assert!(both.iter_mut().all(|process| process.wait().unwrap().success()));
        for run in 0..RUNS {
            let folder = place.path().join(format!("run-{run}"));
            assert_eq!(count(&folder, "winner-"), 1, "run {run}, by {locking}");
        }
    }
}

/// An attempt that is believed to be gone goes on while another one works: only the bytes of the second one are
/// there in the end, and the first one says that it was superseded.
#[test]
fn an_orphan_writes_nothing_once_its_run_is_taken_over() {
    let expected = Folder::new();
    let long = "train.epochs=40";
    assert_eq!(expected.run(&["tiny.yaml", long, "--threads", "1", "-q"]).code, 0);
    let folder = Folder::new();
    let arguments = ["tiny.yaml", long, "--threads", "1", "-q"];
    let start = || Process::start(folder.command(&arguments).env("IJEPA_RUN_LOCK", "claim"));
    let mut orphan = start();
    let results = folder.path().join("results");
    wait_until(|| results.is_dir() && checkpoint(&results).is_some());
    orphan.signal("-STOP");
    // To whoever comes next its machine looks as if it had been started again.
    let owner = folder.run_folder().join("claim/owner.json");
    let text = fs::read_to_string(&owner).unwrap();
    let began = text.lines().find(|line| line.contains("\"start\"")).unwrap();
    let pretended = text.replace(began, "\"start\": 1");
    fs::write(&owner, &pretended).unwrap();
    let mut heir = start();
    wait_until(|| heir.has_ended() || fs::read_to_string(&owner).is_ok_and(|text| text != pretended));
    orphan.signal("-CONT");
    let orphan = orphan.end();
    assert_eq!(orphan.code, 5, "{}", orphan.stderr);
    assert!(orphan.stderr.contains("has taken over this run"), "{}", orphan.stderr);
    let heir = heir.end();
    assert_eq!(heir.code, 0, "{}", heir.stderr);
    for table in ["metrics.csv", "epochs.csv", "probes.csv"] {
        assert!(folder.read(table) == expected.read(table), "{table}");
    }
    assert_eq!(folder.run(&["verify", &folder.run_folder().to_string_lossy()]).code, 0);
    assert!(!folder.run_folder().join("claim").exists());
}

/// The first checkpoint below a results folder.
fn checkpoint(results: &Path) -> Option<PathBuf> {
    let runs = fs::read_dir(results).ok()?.flatten();
    runs.map(|run| run.path().join("checkpoints/latest.safetensors")).find(|path| path.exists())
}
