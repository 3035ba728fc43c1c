//! The same bytes, stopped or not, for any number of threads.

use crate::program::{Folder, Output};

/// Long enough to be caught in the middle.
const LONG: [&str; 2] = ["tiny.yaml", "train.epochs=60"];

fn long(extra: &[&'static str]) -> Vec<&'static str> {
    LONG.iter().chain(extra).copied().collect()
}

fn tables(folder: &Folder) -> [String; 3] {
    ["metrics.csv", "epochs.csv", "probes.csv"].map(|f| folder.read(f))
}

fn uninterrupted() -> [String; 3] {
    let folder = Folder::new();
    assert_eq!(folder.run(&long(&[])).code, 0);
    tables(&folder)
}

/// Starts a run, waits until `metrics.csv` has some rows and sends a signal.
fn interrupt(folder: &Folder, rows: usize, signal: &str) -> Output {
    let mut child = folder.start(&long(&[]));
    folder.wait_for_rows(rows);
    child.signal(signal);
    child.end()
}

#[test]
fn thread_counts_do_not_change_a_byte() {
    let one = Folder::new();
    assert_eq!(one.run(&["tiny.yaml", "--threads", "1"]).code, 0);
    for threads in ["2", "3"] {
        let other = Folder::new();
        assert_eq!(other.run(&["tiny.yaml", "--threads", threads]).code, 0);
        assert_eq!(tables(&other), tables(&one), "{threads} threads");
    }
}

#[cfg(unix)]
#[test]
fn stopped_runs_continue_to_the_same_bytes() {
    let expected = uninterrupted();
    for rows in [1, 30, 101] {
        let folder = Folder::new();
        let stopped = interrupt(&folder, rows, "-TERM");
        assert_eq!(stopped.code, 75, "{}", stopped.stderr);
        assert!(folder.read("status.json").contains("\"stopped\""));
        let resumed = folder.run(&long(&[]));
        assert_eq!(resumed.code, 0, "{}", resumed.stderr);
        assert_eq!(tables(&folder), expected, "stopped after {rows} rows");
        assert_eq!(folder.read("run.json").matches("started_at").count(), 2);
    }
}

#[cfg(unix)]
#[test]
fn killed_runs_continue_from_their_checkpoint_to_the_same_bytes() {
    let expected = uninterrupted();
    let folder = Folder::new();
    assert_eq!(interrupt(&folder, 60, "-KILL").code, -1);
    // A torn last row, as a crash of the machine leaves it.
    let path = folder.run_folder().join("metrics.csv");
    let torn = std::fs::read_to_string(&path).unwrap() + "9999,3,";
    std::fs::write(&path, torn).unwrap();
    let resumed = folder.run(&long(&[]));
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    assert_eq!(tables(&folder), expected);
}
