//! Whatever is wrong with the sweep: exit code 2, and a sentence that says what.

use crate::lab::{Lab, SWEEP, runs};

fn refused(lab: &Lab, args: &[&str], sentences: &[&str]) {
    let found = lab.run(&[&["report"], args].concat());
    assert_eq!(found.code, 2, "{}", found.stdout);
    for sentence in sentences {
        assert!(found.stderr.contains(sentence), "{sentence:?} is not in:\n{}", found.stderr);
    }
}

#[test]
fn sweeps_are_found_by_name_or_named() {
    let lab = Lab::new();
    refused(&lab, &["gird"], &["there is no sweep `gird` in results/sweeps", "did you mean grid?"]);
    refused(&lab, &["results"], &["results: no runs.csv here"]);
    lab.write("results/sweeps/grid-ffff/runs.csv", "run_id,arm,seed,status\n");
    refused(&lab, &["grid"], &["`grid` means 2 sweeps", "grid-0123456789ab, grid-ffff"]);
    assert_eq!(lab.run(&["report", "grid-0123"]).code, 0);
}

#[test]
fn empty_and_unstarted_sweeps_are_said_to_be_so() {
    let lab = Lab::new();
    lab.write("results/sweeps/none-00/runs.csv", "run_id,arm,seed,status\n");
    refused(&lab, &["none"], &["results/sweeps/none-00: no runs"]);
    lab.write("results/sweeps/wrong-00/runs.csv", "run_id,arm,status\n");
    refused(&lab, &["wrong"], &["wrong-00/runs.csv:1: there is no column `seed`"]);
    lab.write_tables("pending");
    for run in runs() {
        std::fs::remove_dir_all(lab.path(&format!("results/{}", run.id()))).unwrap();
    }
    refused(&lab, &["grid"], &["no run of this sweep has started"]);
}

#[test]
fn unknown_metrics_and_baselines_get_the_nearest_spelling() {
    let lab = Lab::new();
    refused(
        &lab,
        &["grid", "--metric", "knn/target/class/top2"],
        &["there is no metric `knn/target/class/top2`", "did you mean knn/target/class/top1?"],
    );
    refused(&lab, &["grid", "--baseline", "masking.targets=3"], &["there is no arm `masking.targets=3`"]);
    refused(&lab, &["grid", "--margin", "-1"], &["--margin must be a positive number"]);
    lab.unmeasured(1);
    lab.unmeasured(2);
    refused(
        &lab,
        &["grid"],
        &["probes.csv: holds no measurement, and the run is done", "no run can be read"],
    );
}

#[test]
fn a_component_that_this_program_lacks_costs_the_masks_only() {
    let lab = Lab::new();
    for (index, run) in runs().iter().enumerate().filter(|(_, r)| r.targets == 2) {
        let file = format!("{SWEEP}/configs/{index}.yaml");
        lab.write(&file, &lab.read(&file).replace("kind: multiblock", "kind: elsewhere"));
        assert_eq!(run.targets, 2);
    }
    let found = lab.run(&["report", "grid"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    assert!(lab.read(found.stdout.trim()).contains("masks are not shown: "));
}
