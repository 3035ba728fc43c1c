//! Run folders of version 0.1.0, which had no seals: `tests/fixtures/run-0.1.0`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::program::Folder;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/run-0.1.0");

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            drop(fs::copy(entry.path(), target))
        }
    }
}

/// The fixture as `results`, and its experiment as `tiny.yaml`.
fn old() -> (Folder, [PathBuf; 2]) {
    let folder = Folder::new();
    let results = folder.path().join("results");
    let run = |seed: &str| {
        let runs = fs::read_dir(FIXTURE).unwrap().map(|e| e.unwrap().path());
        let name = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().into_owned();
        let run = runs.into_iter().find(|p| name(p).starts_with(&format!("tiny-s{seed}-"))).unwrap();
        copy(&run, &results.join(name(&run)));
        results.join(name(&run))
    };
    let runs = ["0", "1"].map(run);
    fs::copy(Path::new(FIXTURE).join("tiny.yaml"), folder.path().join("tiny.yaml")).unwrap();
    (folder, runs)
}

#[test]
fn a_finished_run_is_reused_shown_and_compared() {
    let (folder, [done, _]) = old();
    let before = fs::read(done.join("probes.csv")).unwrap();
    let run = folder.run(&["tiny.yaml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("already done") && run.stderr.contains("unsealed"), "{}", run.stderr);
    assert_eq!(fs::read(done.join("probes.csv")).unwrap(), before);
    let shown = folder.run(&["show", done.to_str().unwrap()]);
    assert!(shown.stdout.contains("unsealed") && shown.stdout.contains("9.38"), "{}", shown.stdout);
    let listed = folder.run(&["ls"]);
    assert_eq!(listed.stdout.matches("done, unsealed").count(), 1, "{}", listed.stdout);
    assert_eq!(folder.run(&["ls", "--state", "done"]).stdout.matches("unsealed").count(), 1);
    let compared = folder.run(&["compare", "results", "--metric", "knn/target/class/top1"]);
    assert_eq!(compared.code, 0, "{}", compared.stderr);
    assert!(compared.stdout.contains("unsealed") && compared.stdout.contains("9.375"), "{}", compared.stdout);
}

#[test]
fn a_stopped_run_goes_on_to_the_bytes_of_its_own_version() {
    let (folder, [_, stopped]) = old();
    let run = folder.run(&["tiny.yaml", "seed=1"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("unsealed"), "{}", run.stderr);
    let expected = fs::read_to_string(Path::new(FIXTURE).join("finished-s1-epochs.csv")).unwrap();
    assert_eq!(fs::read_to_string(stopped.join("epochs.csv")).unwrap(), expected);
    let verified = folder.run(&["verify", stopped.to_str().unwrap()]);
    assert_eq!((verified.code, verified.stdout.split(':').next()), (0, Some("ok")), "{}", verified.stdout);
}

#[test]
fn accepting_seals_it() {
    let (folder, [done, _]) = old();
    let run = done.to_str().unwrap();
    assert!(folder.run(&["verify", run]).stdout.starts_with("unsealed: "));
    assert_eq!(folder.run(&["verify", "--accept", run]).code, 0);
    assert!(folder.run(&["verify", run]).stdout.starts_with("ok: "));
    assert!(!folder.run(&["ls"]).stdout.contains("unsealed"));
    fs::write(done.join("probes.csv"), "").unwrap();
    let damaged = folder.run(&["tiny.yaml"]);
    assert!(damaged.code == 1 && damaged.stderr.contains("probes.csv"), "{}", damaged.stderr);
}
