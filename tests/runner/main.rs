//! The program as a user meets it: runs, resumes, refuses. One temporary folder per test.

mod clean;
mod damage;
mod data;
mod diagnostics;
mod export;
mod extend;
mod features;
mod formats;
mod initial;
mod lost;
mod middle;
mod old;
mod probes;
#[allow(dead_code)]
mod program;
mod refusals;
mod resume;
mod signals;
mod words;

use program::Folder;

#[test]
fn a_run_leaves_its_tables_card_status_and_weights() {
    let folder = Folder::new();
    let run = folder.run(&["tiny.yaml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("knn") && run.stdout.contains("random_init"), "{}", run.stdout);
    let metrics = folder.table("metrics.csv");
    assert_eq!(metrics.len(), 1 + 12, "one row per step");
    assert_eq!(folder.table("epochs.csv").len(), 1 + 3);
    let probes = folder.table("probes.csv");
    let value = probes[0].iter().position(|name| name == "value").unwrap();
    let values: Vec<f64> = probes[1..].iter().map(|row| row[value].parse().unwrap()).collect();
    assert!(values.iter().all(|v| v.is_finite()));
    assert_eq!(probes[1..].iter().filter(|r| r[3] == "random_init").count(), 7, "controls once, at the end");
    let status = folder.read("status.json");
    assert!(status.contains("\"done\""), "{status}");
    let meanings: serde_json::Value = serde_json::from_str(&folder.read("metrics.json")).unwrap();
    let all = meanings["metrics"].as_array().unwrap();
    let of = |name: &str| all.iter().find(|m| m["name"] == name).unwrap_or_else(|| panic!("{name}"));
    // 20 test images: an accuracy moves in steps of 5 %.
    assert_eq!(
        (&of("knn/target/class/top1")["step"], &of("knn/random_init/class/top1")["direction"]),
        (&5.0.into(), &"higher".into())
    );
    assert_eq!(
        (&of("loss")["direction"], &of("metrics/loss")["direction"]),
        (&"lower".into(), &"lower".into())
    );
    assert_eq!(of("rankme/target/feature_std")["direction"], "neither");
    for file in ["experiment.yaml", "run.json", "weights.safetensors", "checkpoints/latest.safetensors"] {
        assert!(folder.run_folder().join(file).is_file(), "{file}");
    }
}

#[test]
fn a_probe_says_what_it_measures() {
    let folder = Folder::new();
    let told = folder.run(&["components", "probe", "linear"]).stdout;
    let line =
        |name: &str| told.lines().find(|l| l.trim_start().starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("test_nll").contains("nats") && line("test_nll").contains("lower"), "{told}");
    assert!(line("top1").contains("higher") && line("top1").contains("accuracy on test"), "{told}");
    assert!(!folder.run(&["components", "masking", "random"]).stdout.contains("metrics"));
}

#[test]
fn a_finished_run_is_reused_and_force_keeps_it() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml"]).code, 0);
    let before = folder.read("metrics.csv");
    let again = folder.run(&["tiny.yaml", "name=tiny"]);
    assert_eq!(again.code, 0);
    assert!(again.stderr.contains("already done"), "{}", again.stderr);
    let forced = folder.run(&["tiny.yaml", "--force"]);
    assert_eq!(forced.code, 0, "{}", forced.stderr);
    assert_eq!(folder.read("metrics.csv"), before);
    assert_eq!(folder.read("attempt-1/metrics.csv"), before);
}

#[test]
fn the_resolved_experiment_runs_to_the_same_bytes() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml"]).code, 0);
    let resolved = folder.run_folder().join("experiment.yaml");
    let run = folder.run(&[resolved.to_str().unwrap(), "--output", "again"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let again = folder.path().join("again").join(folder.run_folder().file_name().unwrap());
    let read = |name: &str| std::fs::read_to_string(again.join(name)).unwrap();
    assert_eq!(read("metrics.csv"), folder.read("metrics.csv"));
    assert_eq!(read("probes.csv"), folder.read("probes.csv"));
}

#[test]
fn a_diverging_run_says_so_and_exits_with_3() {
    let folder = Folder::new();
    let rate = "learning_rate={ kind: constant, value: 1.0e30 }";
    let run = folder.run(&["tiny.yaml", rate]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("diverged"), "{}", run.stderr);
    assert!(folder.read("status.json").contains("\"diverged\""));
    assert_eq!(folder.run(&["tiny.yaml", rate]).code, 3, "and again without computing");
}

#[test]
fn dry_run_and_print_config_write_nothing() {
    let folder = Folder::new();
    let plan = folder.run(&["tiny.yaml", "--dry-run"]);
    assert_eq!(plan.code, 0);
    assert!(plan.stdout.contains("12 steps"), "{}", plan.stdout);
    let printed = folder.run(&["tiny.yaml", "--print-config"]);
    assert!(printed.stdout.contains("mlp_ratio"), "{}", printed.stdout);
    assert!(!folder.path().join("results").exists());
}

#[test]
fn bench_measures_without_leaving_anything() {
    let folder = Folder::new();
    let bench = folder.run(&["bench", "tiny.yaml", "--steps", "2"]);
    assert_eq!(bench.code, 0, "{}", bench.stderr);
    for row in ["matrix product", "training step", "images/s", "GFLOP per step", "12 steps of 16"] {
        assert!(bench.stdout.contains(row), "{row} is not in\n{}", bench.stdout);
    }
    assert!(!bench.stdout.contains("unknown"), "{}", bench.stdout);
    let sizes = "encoder={ kind: vit, dim: 16, depth: 1, heads: 2 }";
    let bench = folder.run(&["bench", sizes, "train.batch_size=8", "--steps", "2", "--threads", "1"]);
    assert_eq!(bench.code, 0, "{}", bench.stderr);
    assert!(
        bench.stdout.contains("625000 steps of 8") && bench.stdout.contains("1 thread"),
        "{}",
        bench.stdout
    );
    assert_eq!(folder.run(&["bench", "tiny.yaml", "encoder.dept=1"]).code, 2);
    assert!(!folder.path().join("results").exists());
}

#[test]
fn a_run_says_how_much_lies_ahead() {
    let folder = Folder::new();
    let run = folder.run(&["tiny.yaml"]);
    assert!(run.stderr.contains("12 steps of 16 images, about 0."), "{}", run.stderr);
    assert!(!folder.run(&["tiny.yaml", "--force", "--quiet"]).stderr.contains("GFLOP"));
}
