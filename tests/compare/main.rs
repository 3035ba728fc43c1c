//! `ijepa-run compare` as a user runs it: folders and files in, text and exit codes out.

mod directions;
mod edges;
mod foreign;
mod held_out;
mod images;
mod lab;
mod mistakes;
mod published;

use lab::Lab;
use serde_json::Value;

/// Six seeds of a baseline, and of an arm that is about a point better on each.
const BASE: [f64; 6] = [61.2, 60.4, 62.1, 59.8, 61.7, 60.9];
const MORE: [f64; 6] = [62.0, 61.5, 62.9, 61.1, 62.9, 61.8];

fn two_arms() -> Lab {
    let lab = Lab::new();
    lab.arm("baseline", "depth: 4", &BASE);
    lab.arm("deeper", "depth: 6", &MORE);
    lab
}

#[test]
fn a_table_shows_what_differs_the_arms_and_the_verdict() {
    let found = two_arms().compare(&["results"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    let lines: Vec<Vec<&str>> = found.stdout.lines().map(|l| l.split_whitespace().collect()).collect();
    let line = |words: &[&str]| lines.iter().any(|l| l.starts_with(words));
    let opening = "Compared with `baseline`: better `deeper` (+1.017, 95 % interval ";
    assert!(found.stdout.starts_with(opening), "{}", found.stdout);
    assert!(line(&["metric", "linear/target/class/top1", "at", "last,", "higher", "is", "better"]));
    assert!(line(&["arm", "encoder.depth"]) && line(&["deeper", "6"]), "{}", found.stdout);
    assert!(line(&["baseline", "6", "61.02", "60.13", "to", "61.90", "0.8424"]), "{}", found.stdout);
    assert!(line(&["deeper", "6", "62.03", "*"]), "{}", found.stdout);
    assert!(line(&["deeper", "6", "pairs", "+1.017"]), "{}", found.stdout);
    assert!(found.stdout.contains("deeper: better: paired t, p < 0.0001 after Holm; "), "{}", found.stdout);
    assert!(found.stdout.contains("% of the variance of the difference"), "{}", found.stdout);
}

#[test]
fn csv_has_the_declared_columns() {
    let lab = two_arms();
    let found = lab.compare(&["results", "--format", "csv", "--output", "tables"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    let (arms, comparisons) = (lab.read("tables/arms.csv"), lab.read("tables/comparisons.csv"));
    assert_eq!(found.stdout, format!("{arms}\n{comparisons}"));
    assert_eq!(
        arms.lines().next(),
        Some(
            "arm,param.encoder.depth,metric,n,n_failed,n_diverged,n_collapsed,mean,std,stderr,median,iqm,ci_lo,ci_hi,min,max,test_stderr"
        )
    );
    assert_eq!(
        comparisons.lines().next(),
        Some(
            "baseline,arm,metric,role,goal,design,n_pairs,n_baseline,n_arm,diff,diff_ci_lo,diff_ci_hi,rel_diff_pct,test,p,p_holm,p_exact,p_equivalence,p_improve,effect_size,detectable_diff,verdict,remark,reason"
        )
    );
    assert!(arms.contains("deeper,6,linear/target/class/top1,6,0,0,0,62.0333333,"), "{arms}");
    assert!(
        comparisons
            .contains("baseline,deeper,linear/target/class/top1,primary,higher,paired,6,6,6,1.01666667,")
    );
    assert!(
        comparisons.contains(",0.03125,,1,") && comparisons.contains(",better,,\"paired t, p < 0.0001"),
        "{comparisons}"
    );
}

#[test]
fn other_forms_hold_the_same_numbers() {
    let lab = two_arms();
    let json: Value = serde_json::from_str(&lab.compare(&["results", "--format", "json"]).stdout).unwrap();
    assert_eq!(json["arms"][0]["runs"][1]["value"], 60.4);
    assert_eq!(json["comparisons"][0]["verdict"], "better");
    assert_eq!(json["comparisons"][0]["p_exact"], 0.03125);
    let markdown = lab.compare(&["results", "--format", "md"]).stdout;
    assert!(markdown.contains("| arm | encoder.depth |\n|---|---|\n| baseline | 4 |\n| deeper | 6 |\n"));
    let latex = lab.compare(&["results", "--format", "latex"]).stdout;
    assert!(latex.contains("baseline & 4 \\\\\ndeeper & 6 \\\\\n\\bottomrule\n\\end{tabular}"), "{latex}");
}

#[test]
fn a_worse_arm_fails_only_on_request() {
    let lab = two_arms();
    assert_eq!(lab.compare(&["results", "--baseline", "deeper"]).code, 0);
    assert_eq!(lab.compare(&["results", "--baseline", "deeper", "--fail-on", "worse"]).code, 4);
    assert_eq!(lab.compare(&["results", "--fail-on", "worse"]).code, 0);
}

#[test]
fn runs_that_ended_badly_are_counted() {
    let lab = two_arms();
    lab.state("deeper", 2, "diverged");
    lab.state("deeper", 4, "running");
    let found = lab.compare(&["results"]);
    assert!(found.stdout.contains("4/6 (1 diverged, 1 unfinished)"), "{}", found.stdout);
    // The broken run counts as the worst; the unfinished one is missing.
    assert!(found.stdout.contains("5 pairs"), "{}", found.stdout);
    assert!(
        found.stdout.contains("unstable: 1 of 5 broke; incomplete: 1 of 6 unfinished"),
        "{}",
        found.stdout
    );
    assert!(found.stdout.contains("1 of 6 runs diverged"), "{}", found.stdout);
    // What a run measured before it stopped stands.
    let early = lab.compare(&["results", "--at", "10"]);
    assert!(early.stdout.contains("6 pairs"), "{}", early.stdout);
}

#[test]
fn three_seeds_are_told_what_they_cannot_show() {
    let lab = Lab::new();
    lab.arm("a", "depth: 4", &[61.2, 60.4, 62.1]);
    lab.arm("b", "depth: 6", &[61.9, 60.1, 62.6]);
    let found = lab.compare(&["results"]).stdout;
    let sentence = "b: underpowered: with 3 paired seeds an exact sign-flip test cannot go below p = 0.25; \
                    6 seeds are needed";
    assert!(found.contains(sentence), "{found}");
    assert!(found.contains("61.20 (seed 0), 60.40 (seed 1), 62.10 (seed 2)"), "{found}");
    let within = lab.compare(&["results", "--margin", "5"]).stdout;
    assert!(within.contains("equivalent: the difference is within ±5"), "{within}");
}

#[test]
fn arms_of_one_name_are_told_apart_by_their_settings() {
    let lab = Lab::new();
    lab.run("x-s0-a", "x", 0, "depth: 4", 60.0);
    lab.run("x-s0-b", "x", 0, "depth: 6", 61.0);
    let found = lab.compare(&["results", "--baseline", "x encoder.depth=6"]);
    assert!(found.stdout.contains("  x encoder.depth=4 "), "{}", found.stdout);
    assert_eq!(found.code, 0, "{}", found.stderr);
    assert_eq!(lab.compare(&["results", "--baseline", "x"]).code, 2);
}

#[test]
fn the_same_experiments_of_two_programs_are_two_arms() {
    let lab = two_arms();
    let found = lab.compare(&["results/baseline-s0", "results/baseline-s1", "results/baseline-s0"]);
    assert!(found.stdout.contains("there is one arm only"), "{}", found.stdout);
    lab.copy("results", "again");
    let found = lab.compare(&["results", "again", "--fail-on", "worse"]).stdout;
    assert!(found.contains("baseline input=again"), "{found}");
}

#[test]
fn other_metrics_have_a_place_in_the_run() {
    let lab = two_arms();
    for (metric, head) in [
        ("loss", "metric loss at last, lower"),
        ("metrics/loss", "metric metrics/loss at last, lower"),
        ("explained_variance", "metric explained_variance at last, higher"),
        ("rankme/target/rankme", "metric rankme/target/rankme at last, higher"),
        ("rankme/target/feature_std", "metric rankme/target/feature_std at last, no verdicts"),
    ] {
        let found = lab.compare(&["results", "--metric", metric]);
        assert!(
            found.stdout.lines().nth(1).is_some_and(|line| line.starts_with(head)),
            "{}{}",
            found.stdout,
            found.stderr
        );
        assert!(found.stdout.contains("exploratory: the primary metric is `linear/target/class/top1`"));
    }
    let best = lab.compare(&["results", "--at", "best"]).stdout;
    assert!(best.contains("flatters noisy arms"), "{best}");
}

#[test]
fn files_of_other_programs_are_compared() {
    let lab = Lab::new();
    lab.write("old.csv", "run,acc\n1,60.1\n2,61.0\n3,60.4\n4,60.9\n");
    lab.write("new.csv", "run,acc\n1,63.2\n2,64.1\n3,63.0\n4,64.2\n");
    let found = lab.compare(&["old.csv", "new.csv", "--map", "metric=acc", "seed=run", "--goal", "higher"]);
    assert!(found.stdout.contains("new: better: paired t"), "{}{}", found.stdout, found.stderr);
    // Without a seed the rows of a file are one run's steps, never replicates.
    let found = lab.compare(&["old.csv", "new.csv", "--metric", "acc", "--goal", "higher"]);
    assert!(found.stdout.contains("one run per arm shows no spread"), "{}{}", found.stdout, found.stderr);
    lab.write(
        "all.csv",
        "arm,seed,it,acc\na,0,1,5\na,0,2,6\na,1,1,5.5\na,1,2,6.5\nb,7,1,8\nb,7,2,9\nb,8,2,9.5\n",
    );
    let map = ["group=arm", "seed=seed", "step=it", "metric=acc"];
    let found = lab.compare(&[&["all.csv", "--map"], &map[..]].concat());
    assert!(found.stdout.contains("fewer than three seeds in common"), "{}{}", found.stdout, found.stderr);
    assert!(found.stdout.contains("+3.000"), "{}", found.stdout);
}

/// Prints the time; a busy machine must not fail the test.
#[test]
fn a_thousand_runs_take_a_moment() {
    let lab = Lab::new();
    for arm in 0..100 {
        let values: Vec<f64> = (0..10).map(|seed| 60.0 + f64::from((seed * 7 + arm) % 11) / 5.0).collect();
        lab.arm(&format!("arm{arm:02}"), &format!("depth: {}", arm + 1), &values);
    }
    let start = std::time::Instant::now();
    let found = lab.compare(&["results"]);
    println!("1,000 run folders in {:.2} s", start.elapsed().as_secs_f64());
    assert_eq!(found.code, 0, "{}", found.stderr);
    assert_eq!(found.stdout.matches("  10 pairs  ").count(), 99);
    // A hundred arms stand below each other, their one setting beside them.
    assert!(found.stdout.contains("  arm    encoder.depth\n  arm00  1\n"), "{}", &found.stdout[..400]);
}
