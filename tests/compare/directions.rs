//! Which direction of a metric is good: declared, never guessed from a name.

use crate::lab::Lab;

const BASE: [f64; 6] = [61.2, 60.4, 62.1, 59.8, 61.7, 60.9];

/// Two arms in a file of another program; the second one has the larger values.
fn foreign(column: &str) -> Lab {
    let lab = Lab::new();
    let rows = |arm: &str, shift: f64| -> String {
        let row = |(seed, value): (usize, &f64)| {
            format!("{arm},{seed},{}\n", value + shift * (1.0 + 0.05 * (seed % 2) as f64))
        };
        BASE.iter().enumerate().map(row).collect()
    };
    lab.write("runs.csv", &format!("arm,seed,{column}\n{}{}", rows("a", 0.0), rows("b", 2.0)));
    lab
}

fn compared(lab: &Lab, column: &str, more: &[&str]) -> (i32, String) {
    let map = format!("metric={column}");
    let found = lab.compare(&[&["runs.csv", "--map", &map, "seed=seed", "group=arm"], more].concat());
    (found.code, found.stdout + &found.stderr)
}

#[test]
fn an_unknown_name_gets_no_verdict_until_somebody_says_what_is_good() {
    for column in ["val-loss", "valLoss", "test.loss", "rmse", "fid", "ppl", "ece", "seconds", "acc"] {
        let lab = foreign(column);
        let (code, text) = compared(&lab, column, &[]);
        assert!(code == 0 && text.contains(&format!("metric {column} at last, no verdicts")), "{text}");
        assert!(text.contains("say --goal higher or --goal lower"), "{text}");
        assert!(
            text.contains("  no verdict  ") && !text.contains("b: better") && !text.contains("b: worse"),
            "{text}"
        );
        assert!(text.contains("+2.050"), "the difference is told all the same: {text}");
        let (code, text) = compared(&lab, column, &["--fail-on", "worse"]);
        assert!(code == 2 && text.contains("nothing says which direction"), "{text}");
        assert!(compared(&lab, column, &["--goal", "higher"]).1.contains("b: better"));
        assert_eq!(compared(&lab, column, &["--goal", "lower", "--fail-on", "worse"]).0, 4);
        let (code, text) = compared(&lab, column, &["--at", "best"]);
        assert!(code == 2 && text.contains("there is no best measurement"), "{text}");
    }
}

#[test]
fn the_name_of_a_known_metric_has_its_direction() {
    assert!(compared(&foreign("loss"), "loss", &[]).1.contains("b: worse"));
    assert!(compared(&foreign("val/loss"), "val/loss", &[]).1.contains("b: worse"));
    assert!(compared(&foreign("top1"), "top1", &[]).1.contains("b: better"));
    assert!(compared(&foreign("feature_std"), "feature_std", &[]).1.contains("is a diagnostic"));
}

/// A run folder says what its metrics mean, also those of a probe that this program does not have.
#[test]
fn a_run_folder_declares_its_metrics() {
    let lab = Lab::new();
    lab.arm("a", "depth: 4", &BASE);
    lab.arm("b", "depth: 6", &BASE.map(|x| x + 2.0 + 0.1 * (x - 61.0)));
    let name = "fidelity/target/class/fid";
    for (arm, seed) in ["a", "b"].iter().flat_map(|a| (0..6).map(move |s| (a, s))) {
        let at = |file: &str| format!("results/{arm}-s{seed}/{file}");
        let probes =
            lab.read(&at("probes.csv")).replace("linear,target,class,top1", "fidelity,target,class,fid");
        lab.write(&at("probes.csv"), &probes);
        let declared = format!(
            "{{\"metrics\": [{{\"name\": \"{name}\", \"unit\": \"%\", \"direction\": \"lower\", \"meaning\": \"\", \"step\": null}}]}}"
        );
        lab.write(&at("metrics.json"), &declared);
    }
    let found = lab.compare(&["results", "--metric", name]);
    assert!(
        found.stdout.contains(&format!("\nmetric {name} at last, lower is better\n")),
        "{}",
        found.stdout
    );
    assert!(found.stdout.contains("b: worse"), "{}", found.stdout);
    let found = lab.compare(&["results", "--metric", name, "--goal", "higher"]);
    let sentence =
        "--goal: `higher` contradicts what the runs declare: of `fidelity/target/class/fid` lower is better";
    assert!(found.code == 2 && found.stderr.contains(sentence), "{}", found.stderr);
    let one = lab.read("results/b-s0/metrics.json").replace("lower", "higher");
    lab.write("results/b-s0/metrics.json", &one);
    let found = lab.compare(&["results", "--metric", name]);
    assert!(found.code == 2 && found.stderr.contains("means two things"), "{}", found.stderr);
}

/// Folders without `metrics.json`: the probes of `experiment.yaml` declare.
#[test]
fn an_older_run_folder_is_judged_by_its_probes() {
    let lab = Lab::new();
    lab.arm("a", "depth: 4", &BASE);
    lab.arm("b", "depth: 6", &BASE.map(|x| x + 2.0 + 0.1 * (x - 61.0)));
    let found = lab.compare(&["results", "--goal", "lower"]);
    assert!(found.code == 2 && found.stderr.contains("contradicts"), "{}", found.stderr);
    let found = lab.compare(&["results", "--metric", "rankme/target/feature_std"]);
    assert!(found.stdout.contains("`rankme/target/feature_std` is a diagnostic"), "{}", found.stdout);
    let found = lab.compare(&["results", "--metric", "rankme/target/feature_std", "--goal", "lower"]);
    assert!(found.stdout.contains("lower is better"), "{}", found.stdout);
}
