//! Whatever is wrong with the inputs: exit code 2, and a sentence that says what and where.

use crate::lab::Lab;

fn refused(lab: &Lab, args: &[&str], sentences: &[&str]) {
    let found = lab.compare(args);
    assert_eq!(found.code, 2, "{}", found.stdout);
    for sentence in sentences {
        assert!(found.stderr.contains(sentence), "{sentence:?} is not in:\n{}", found.stderr);
    }
}

fn one_run() -> Lab {
    let lab = Lab::new();
    lab.arm("a", "depth: 4", &[61.0]);
    lab
}

#[test]
fn unknown_names_get_the_nearest_spelling() {
    let lab = one_run();
    let metric = "linear/target/clas/top1";
    refused(
        &lab,
        &["results", "--metric", metric],
        &[
            "there is no metric `linear/target/clas/top1`",
            "did you mean linear/target/class/top1?",
            "metrics/loss, explained_variance",
        ],
    );
    refused(&lab, &["results", "--baseline", "b"], &["there is no arm `b`", "there are: a"]);
    refused(&lab, &["results", "--at", "15"], &["at step 15", "nearest steps with a value: 10, 20"]);
    refused(&lab, &["results", "--margin", "-1"], &["--margin must be a positive number"]);
}

#[test]
fn inputs_that_hold_no_runs_are_named() {
    let lab = Lab::new();
    refused(&lab, &["results"], &["results: no runs", "experiment.yaml"]);
    refused(&lab, &["nowhere"], &["nowhere: there is no such file or folder"]);
    lab.write("notes.txt", "");
    refused(&lab, &["notes.txt"], &["notes.txt: is neither a run folder"]);
}

#[test]
fn rows_of_different_settings_of_a_probe_are_not_compared() {
    let lab = one_run();
    lab.arm("b", "depth: 4", &[62.0]);
    let text = lab.read("results/b-s0/experiment.yaml");
    lab.write(
        "results/b-s0/experiment.yaml",
        &text.replace("name: linear\n", "name: linear\n  protocol: tuned\n"),
    );
    refused(
        &lab,
        &["results"],
        &[
            "`linear/target/class/top1` was measured with different settings of its probe",
            "ijepa-run probe RUN",
        ],
    );
    assert_eq!(lab.compare(&["results", "--metric", "loss"]).code, 0);
}

#[test]
fn unreadable_files_are_named_with_the_line() {
    let lab = one_run();
    lab.write(
        "results/a-s0/probes.csv",
        "epoch,step,probe,encoder,labels,metric,unit,value\n1,10,linear,target,class,top1,%,x\n",
    );
    refused(&lab, &["results"], &["results/a-s0/probes.csv:2: column `value`: `x` is not a number"]);
    lab.write("results/a-s0/probes.csv", "epoch,step\n1,10\n1,2,3\n");
    refused(&lab, &["results"], &["results/a-s0/probes.csv:3: 3 cells in a row under a header of 2"]);
    lab.write("results/a-s0/experiment.yaml", "name: a\nencoder: [\n");
    refused(&lab, &["results"], &["results/a-s0/experiment.yaml:", "is not YAML"]);
}

#[test]
fn mistakes_in_foreign_files_are_named() {
    let lab = Lab::new();
    lab.write("a.csv", "seed,accuracy\n0,1\n0,2\n");
    refused(&lab, &["a.csv"], &["a.csv: which column is compared?", "there are: seed, accuracy"]);
    refused(
        &lab,
        &["a.csv", "--metric", "acuracy"],
        &["a.csv:1: there is no column `acuracy`", "did you mean accuracy?"],
    );
    refused(&lab, &["a.csv", "--map", "metric=accuracy", "seed=seed"], &["a.csv:3: a second row of seed 0"]);
    refused(&lab, &["a.csv", "--map", "sed=seed"], &["there is no key of --map `sed`", "did you mean seed?"]);
    refused(&lab, &["a.csv", "--map", "seed"], &["--map: `seed` is not key=COLUMN"]);
}

#[test]
fn a_seed_with_two_results_is_refused() {
    let lab = one_run();
    lab.run("a-s0-other", "a", 0, "depth: 4", 50.0);
    refused(&lab, &["results"], &["arm `a` has two different runs of seed 0", "results/a-s0-other"]);
}
