//! Wrong inputs: a clear error, the right exit code, and nothing lost.

use crate::program::{Folder, finish};

#[test]
fn configuration_errors_are_listed_together_with_their_places() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(folder.path().join("tiny.yaml")).unwrap();
    let text = text.replace("heads: 2 }\npredictor", "heads: 3 }\npredictor").replace("loss: l2", "loss: l3");
    std::fs::write(folder.path().join("bad.yaml"), text.replace("seed", "sede")).unwrap();
    let run = folder.run(&["bad.yaml", "encoder.dept=4"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("override `encoder.dept=4`"), "{}", run.stderr);
    let run = folder.run(&["bad.yaml"]);
    assert_eq!(run.code, 2);
    for expected in ["bad.yaml:6:", "heads", "bad.yaml:9:", "l3", "smooth_l1"] {
        assert!(run.stderr.contains(expected), "{expected} in {}", run.stderr);
    }
    assert!(!folder.path().join("results").exists());
}

#[test]
fn infeasible_masks_are_refused_with_the_reachable_blocks() {
    let folder = Folder::new();
    let run = folder.run(&[
        "tiny.yaml",
        "masking={ kind: multiblock, target_scale: [0.98, 1.0], target_aspect: [1, 1] }",
    ]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("4x4"), "{}", run.stderr);
}

#[test]
fn missing_data_names_the_files_and_what_to_do() {
    let folder = Folder::new();
    let run = folder.run(&["tiny.yaml", "dataset={ kind: cifar10, path: nowhere }"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("nowhere") && run.stderr.contains("download"), "{}", run.stderr);
}

#[test]
fn labels_and_batches_are_checked_against_the_data() {
    let folder = Folder::new();
    let run = folder.run(&["tiny.yaml", "probes.0.labels=[classes]"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("classes") && run.stderr.contains("colour"), "{}", run.stderr);
    let run = folder.run(&["tiny.yaml", "train.batch_size=65"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("65") && run.stderr.contains("64"), "{}", run.stderr);
}

#[test]
fn a_damaged_checkpoint_is_refused_and_left_alone() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml"]).code, 0);
    let run_folder = folder.run_folder();
    std::fs::remove_file(run_folder.join("status.json")).unwrap();
    let checkpoint = run_folder.join("checkpoints/latest.safetensors");
    let whole = std::fs::read(&checkpoint).unwrap();
    std::fs::write(&checkpoint, &whole[..whole.len() / 2]).unwrap();
    let (metrics, run) = (folder.read("metrics.csv"), folder.run(&["tiny.yaml"]));
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("latest.safetensors") && run.stderr.contains("--force"), "{}", run.stderr);
    assert_eq!(folder.read("metrics.csv"), metrics);
    assert_eq!(folder.run(&["tiny.yaml", "--force"]).code, 0, "as the error advises");
    assert_eq!(folder.read("attempt-1/metrics.csv"), metrics);
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", "--until-epoch", "1"]).code, 75);
    let lock = std::fs::File::open(folder.run_folder().join("lock")).unwrap();
    lock.lock().unwrap();
    let run = folder.run(&["tiny.yaml"]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains("in use"), "{}", run.stderr);
}

#[test]
fn an_output_that_is_no_folder_is_refused() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("results"), "a file").unwrap();
    let run = folder.run(&["tiny.yaml"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("results"), "{}", run.stderr);
}

/// A limit on file size stands for a full disk: the write fails in the same way.
#[cfg(unix)]
#[test]
fn a_full_disk_ends_the_run_and_loses_nothing() {
    let expected = {
        let folder = Folder::new();
        assert_eq!(folder.run(&["tiny.yaml"]).code, 0);
        folder.read("metrics.csv")
    };
    let folder = Folder::new();
    let script = r#"trap "" XFSZ; ulimit -f 64; exec "$0" "$@""#;
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", script, env!("CARGO_BIN_EXE_ijepa-run"), "tiny.yaml"]).current_dir(folder.path());
    let run = finish(limited.output().unwrap());
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("latest.safetensors"), "{}", run.stderr);
    assert_eq!(folder.run(&["tiny.yaml"]).code, 0);
    assert_eq!(folder.read("metrics.csv"), expected);
}

/// What cannot fit is refused with its numbers before it is allocated, instead of an abort.
#[cfg(target_os = "linux")]
#[test]
fn a_run_that_does_not_fit_into_memory_is_refused() {
    for settings in [
        "dataset.train=1000000 dataset.image_size=32",
        "encoder.dim=4096 encoder.depth=64",
        "dataset.image_size=256 encoder.patch=1 dataset.train=32 train.batch_size=8 masking=random",
    ] {
        let folder = Folder::new();
        let script = format!(r#"ulimit -v 1200000; exec "$0" tiny.yaml --threads 2 {settings}"#);
        let mut limited = std::process::Command::new("sh");
        limited.args(["-c", &script, env!("CARGO_BIN_EXE_ijepa-run")]).current_dir(folder.path());
        let run = finish(limited.output().unwrap());
        assert_eq!(run.code, 2, "{settings}: {}", run.stderr);
        assert!(run.stderr.contains("MiB") && run.stderr.contains("ulimit -v"), "{settings}: {}", run.stderr);
    }
}

#[test]
fn the_length_of_a_run_is_bounded() {
    let folder = Folder::new();
    for epochs in ["2305843009213693952", "18446744073709551615", "1000001"] {
        let run = folder.run(&["tiny.yaml", &format!("train.epochs={epochs}")]);
        assert!(run.code == 2 && run.stderr.contains("1000000"), "{}", run.stderr);
    }
}
