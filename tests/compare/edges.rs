//! Broken, missing and damaged runs, and what a verdict may rest on.

use std::fs;

use crate::lab::Lab;

const BASE: [f64; 8] = [61.2, 60.4, 62.1, 59.8, 61.7, 60.9, 61.1, 60.2];

fn two_arms(n: usize, up: f64) -> Lab {
    let lab = Lab::new();
    lab.arm("base", "depth: 4", &BASE[..n]);
    let more: Vec<f64> = BASE[..n].iter().map(|x| x + up + 0.1 * (x - 61.0)).collect();
    lab.arm("hot", "depth: 6", &more);
    lab
}

#[test]
fn an_arm_of_survivors_is_not_better() {
    let lab = two_arms(8, 10.0);
    for seed in [0, 1, 2, 4, 6, 7] {
        lab.state("hot", seed, if seed % 2 == 0 { "diverged" } else { "collapsed" });
    }
    let found = lab.compare(&["results", "--fail-on", "worse"]);
    assert_eq!(found.code, 4);
    assert!(found.stdout.contains("unstable: 6 of 8 broke"), "{}", found.stdout);
    assert!(
        found.stdout.contains("hot: worse: exact signed ranks, broken runs are worst"),
        "{}",
        found.stdout
    );
    let arms = found.stdout.split("\narms\n").nth(1).unwrap();
    let row = |name: &str| arms.lines().find(|l| l.trim_start().starts_with(name)).unwrap().to_owned();
    assert!(row("base").contains('*') && !row("hot").contains('*'), "{}", found.stdout);
    // The mirror image.
    let mirrored = lab.compare(&["results", "--baseline", "hot", "--fail-on", "worse"]);
    assert!(mirrored.code == 0 && mirrored.stdout.contains("base: better"), "{}", mirrored.stdout);
    // Broken down more often, without a verdict: still a failure for scripts.
    let lab = two_arms(3, 10.0);
    lab.state("hot", 1, "diverged");
    let found = lab.compare(&["results", "--fail-on", "worse"]);
    assert!(found.code == 4 && found.stdout.contains("hot: underpowered"), "{}", found.stdout);
}

#[test]
fn failed_runs_are_to_be_run_again() {
    let lab = two_arms(8, 1.0);
    lab.state("hot", 1, "failed");
    lab.state("hot", 2, "failed");
    let found = lab.compare(&["results", "--fail-on", "worse"]);
    assert!(found.code == 0 && found.stdout.contains("6 pairs"), "{}", found.stdout);
    assert!(found.stdout.contains("incomplete: 2 of 8 failed, run them again"), "{}", found.stdout);
}

#[test]
fn a_comparison_of_broken_runs_alone_is_a_report() {
    let lab = two_arms(3, 1.0);
    for (arm, seed) in ["base", "hot"].iter().flat_map(|a| (0..3).map(move |s| (a, s))) {
        lab.state(arm, seed, "diverged");
        fs::remove_file(lab.path(&format!("results/{arm}-s{seed}/probes.csv"))).unwrap();
    }
    let found = lab.compare(&["results"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    assert!(found.stdout.contains("0/3 (3 diverged)"), "{}", found.stdout);
}

#[test]
fn equal_differences_of_few_pairs_are_no_proof() {
    for n in [2, 3] {
        let lab = Lab::new();
        lab.arm("base", "depth: 4", &BASE[..n]);
        lab.arm("hot", "depth: 6", &BASE[..n].iter().map(|x| x + 0.1).collect::<Vec<_>>());
        let found = lab.compare(&["results", "--margin", "0.5"]).stdout;
        assert!(found.contains("hot: underpowered"), "{found}");
    }
}

/// One damaged folder of six: named, counted, and the others are compared.
#[test]
fn a_damaged_run_is_left_out_named_and_counted() {
    let damages: [(&str, Option<&str>); 7] = [
        ("status.json", Some("{")),
        ("probes.csv", Some("")),
        (
            "probes.csv",
            Some("epoch,step,probe,encoder,labels,metric,unit,value\n1,10,linear,target,class,top1,%,41\n"),
        ),
        ("probes.csv", Some("epoch,step\n1,2,3\n")),
        ("probes.csv", None),
        ("metrics.json", Some("{")),
        ("experiment.yaml", Some("")),
    ];
    for (file, text) in damages {
        let lab = two_arms(3, 1.0);
        let path = format!("results/hot-s1/{file}");
        match text {
            Some(text) => lab.write(&path, text),
            None => fs::remove_file(lab.path(&path)).unwrap(),
        }
        let found = lab.compare(&["results"]);
        assert_eq!(found.code, 0, "{file}: {}", found.stderr);
        assert!(found.stdout.contains("left out: results/hot-s1/"), "{file}: {}", found.stdout);
        // Without its experiment nobody knows which arm and seed it was.
        let counted = found.stdout.contains("2/3 (1 unreadable)") && found.stdout.contains("2 pairs");
        assert!(counted || file == "experiment.yaml", "{file}: {}", found.stdout);
    }
}

#[test]
fn a_cut_or_missing_table_gives_no_earlier_value_as_the_last() {
    let lab = two_arms(3, 1.0);
    lab.write("results/hot-s0/epochs.csv", "epoch,step,images,loss\n1,10,640,0.5\n");
    fs::remove_file(lab.path("results/hot-s1/epochs.csv")).unwrap();
    let found = lab.compare(&["results", "--metric", "loss"]).stdout;
    assert!(found.contains("1/3 (2 unreadable)"), "{found}");
    assert!(found.contains("hot-s0/epochs.csv: ends at step 10, and the run is done at step 20"), "{found}");
    assert!(found.contains("hot-s1/epochs.csv: has no column `loss`"), "{found}");
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_does_not_hang() {
    let lab = two_arms(3, 1.0);
    let status = lab.path("results/hot-s1/status.json");
    fs::remove_file(&status).unwrap();
    std::os::unix::fs::symlink("status.json", &status).unwrap();
    let found = lab.compare(&["results"]).stdout;
    assert!(found.contains("left out: results/hot-s1/status.json"), "{found}");
    let probes = lab.path("results/hot-s0/probes.csv");
    fs::remove_file(&probes).unwrap();
    fs::create_dir(&probes).unwrap();
    let found = lab.compare(&["results"]).stdout;
    assert!(found.contains("hot-s0/probes.csv: is a folder"), "{found}");
}

#[test]
fn other_versions_of_the_program_are_told() {
    let lab = two_arms(3, 1.0);
    let card = |arm: &str, seed: u32, version: &str| {
        lab.write(&format!("results/{arm}-s{seed}/run.json"), &format!("[{{\"version\": \"{version}\"}}]"));
    };
    (0..3).for_each(|seed| card("base", seed, "0.2.0"));
    (0..3).for_each(|seed| card("hot", seed, "0.2.0"));
    assert!(!lab.compare(&["results"]).stdout.contains("versions"));
    (0..3).for_each(|seed| card("hot", seed, "0.1.0"));
    let found = lab.compare(&["results"]).stdout;
    assert!(
        found.contains("different versions of the program") && found.contains("base: 0.2.0; hot: 0.1.0"),
        "{found}"
    );
}

#[test]
fn other_data_get_numbers_and_no_verdict() {
    let lab = two_arms(8, 5.0);
    for seed in 0..8 {
        let path = format!("results/hot-s{seed}/status.json");
        lab.write(&path, &lab.read(&path).replace("0123456789abcdef", "fedcba9876543210"));
    }
    let found = lab.compare(&["results", "--fail-on", "worse", "--baseline", "hot"]);
    assert!(
        found.code == 0 && found.stdout.contains("base: no verdict: it is judged on other data"),
        "{}",
        found.stdout
    );
    assert!(found.stdout.contains("warning: the arms are judged on different data"), "{}", found.stdout);
}

/// A maximum over the epochs of a run flatters noisy arms: no verdict, unless other images chose the epoch.
#[test]
fn the_best_epoch_needs_other_images_to_be_judged() {
    let lab = two_arms(8, 5.0);
    let found = lab.compare(&["results", "--at", "best"]).stdout;
    assert!(
        found.contains("no verdicts: the best measurement of a run is chosen by its own value"),
        "{found}"
    );
    assert!(!found.contains("hot: better"), "{found}");
}

#[test]
fn a_damaged_sweep_file_is_no_other_metric() {
    let lab = two_arms(3, 1.0);
    fs::create_dir_all(lab.path("results/sweeps/s-0123")).unwrap();
    lab.write(
        "results/sweeps/s-0123/runs.csv",
        "run_id,arm,seed,status\nbase-s0,base,0,done\nhot-s0,hot,0,done\n",
    );
    lab.write("results/sweeps/s-0123/sweep.yaml", "metric: [\n");
    let found = lab.compare(&["results/sweeps/s-0123"]);
    assert!(
        found.code == 2 && found.stderr.contains("sweep.yaml") && found.stderr.contains("is not YAML"),
        "{}",
        found.stderr
    );
}
