//! `clean` frees what a finished run no longer needs, and the run still counts as done everywhere.

use std::{fs, path::PathBuf};

use super::program::Folder;

const CHECKPOINT: &str = "checkpoints/latest.safetensors";

fn run_folder(folder: &Folder) -> PathBuf {
    let runs = fs::read_dir(folder.path().join("results")).unwrap().map(|e| e.unwrap().path());
    runs.into_iter().find(|p| p.join("experiment.yaml").is_file()).unwrap()
}

#[test]
fn a_cleaned_run_is_still_done() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", "-q"]).code, 0);
    let run = run_folder(&folder);
    let size = fs::metadata(run.join(CHECKPOINT)).unwrap().len();
    let shown = folder.run(&["clean"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stdout.contains("nothing was deleted: add --yes"), "{}", shown.stdout);
    assert!(run.join(CHECKPOINT).is_file(), "shown only");
    let freed = folder.run(&["clean", "--yes"]);
    assert_eq!(freed.code, 0, "{}", freed.stderr);
    assert!(freed.stdout.ends_with("MiB of 1 runs\n"), "{}", freed.stdout);
    assert!(!run.join(CHECKPOINT).exists());
    let status = fs::read_to_string(run.join("status.json")).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["freed"][CHECKPOINT]["bytes"], size);
    assert!(status["files"].get(CHECKPOINT).is_none());
    assert!(fs::read_to_string(run.join("run.json")).unwrap().contains("cleaned_at"));

    let verified = folder.run(&["verify", "results"]);
    assert!(
        verified.code == 0 && verified.stdout.starts_with("ok: "),
        "{}{}",
        verified.stdout,
        verified.stderr
    );
    assert!(folder.run(&["ls"]).stdout.contains(" done "));
    let again = folder.run(&["tiny.yaml"]);
    assert!(again.code == 0 && again.stderr.contains("already done"), "{}{}", again.stdout, again.stderr);
    let sweep = folder.run(&["tiny.yaml", "-m", "seed=0,1", "--dry-run"]);
    assert!(sweep.stdout.contains("1 new, 0 to continue, 1 finished"), "{}", sweep.stdout);
    // It cannot be trained further: that is said, and changes nothing.
    let longer = folder.run(&["tiny.yaml", "ema=0.95", "-q"]);
    assert_eq!(longer.code, 0, "{}", longer.stderr);
    assert_eq!(folder.run(&["clean", "--yes"]).code, 0);
    let extended = folder.run(&["tiny.yaml", "ema=0.95", "train.epochs=5", "--extend"]);
    assert!(
        extended.code == 2 && extended.stderr.contains("the checkpoint of results/tiny-"),
        "{}",
        extended.stderr
    );
    assert_eq!(folder.run(&["verify", "results"]).code, 0);
    assert_eq!(folder.run(&["verify", "--accept", "results"]).code, 0);
    let nothing = folder.run(&["clean", "--yes"]);
    assert!(nothing.code == 0 && nothing.stderr.contains("nothing to free"), "{}", nothing.stderr);
}

/// Probes that come after `clean` find the same as they would have before.
#[test]
fn a_cleaned_run_takes_probes_on_its_weights() {
    let folder = Folder::new();
    let keep = "train.keep_every=1";
    assert_eq!(folder.run(&["tiny.yaml", keep, "-q"]).code, 0);
    assert_eq!(folder.run(&["tiny.yaml", keep, "--output", "whole", "-q"]).code, 0);
    assert_eq!(folder.run(&["clean", "--yes"]).code, 0);
    let run = run_folder(&folder);
    let probe =
        "[{ kind: knn, name: near, k: 3, every: 1 }, { kind: linear, controls: [random_init, pixels] }]";
    let table = |results: &str| {
        let told = folder.run(&["probe", "tiny", probe, "--results", results, "-q"]);
        assert_eq!(told.code, 0, "{}{}", told.stdout, told.stderr);
        let name = run.file_name().unwrap();
        fs::read_to_string(folder.path().join(results).join(name).join("probes.csv")).unwrap()
    };
    let (cleaned, whole) = (table("results"), table("whole"));
    assert!(cleaned == whole && cleaned.contains("1,4,near"), "{cleaned}");
    assert!(!run.join(CHECKPOINT).exists());
    assert_eq!(folder.run(&["verify", "results"]).code, 0);
    let status = fs::read_to_string(run.join("status.json")).unwrap();
    assert!(status.contains("\"freed\""), "{status}");
    assert_eq!(folder.run(&["features", "tiny", "-o", "f.npy", "-q"]).code, 0);
}

#[test]
fn what_is_damaged_or_unfinished_is_left_alone() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", "-q"]).code, 0);
    let run = run_folder(&folder);
    let weights = run.join("weights.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&weights, bytes).unwrap();
    let refused = folder.run(&["clean", "--yes"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("left alone: "),
        "{}{}",
        refused.stdout,
        refused.stderr
    );
    assert!(run.join(CHECKPOINT).is_file(), "the weights could be made again from it");
    let wrong = folder.run(&["clean", "nothing"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("there is no run `nothing`"), "{}", wrong.stderr);

    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", "-q", "--until-epoch", "1"]).code, 75);
    let stopped = folder.run(&["clean", "--yes"]);
    assert!(stopped.stderr.contains("nothing to free"), "{}", stopped.stderr);
    assert!(run_folder(&folder).join(CHECKPOINT).is_file());
}
