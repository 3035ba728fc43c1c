//! Arms that were trained or are judged on different images.

use crate::lab::Lab;

const BASE: [f64; 8] = [61.2, 60.4, 62.1, 59.8, 61.7, 60.9, 61.1, 60.2];
const SEEDS: usize = BASE.len();

/// Arms `base`, `more` and `less`, five points apart.
fn arms() -> Lab {
    let lab = Lab::new();
    for (name, depth, up) in [("base", 4, 0.0), ("more", 6, 5.0), ("less", 2, -5.0)] {
        let values: Vec<f64> = BASE.iter().map(|x| x + up + 0.01 * up * (x - 61.0)).collect();
        lab.arm(name, &format!("depth: {depth}"), &values);
    }
    lab
}

fn compared(lab: &Lab, metric: &str) -> String {
    let found = lab.compare(&["results", "--baseline", "base", "--metric", metric]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    found.stdout
}

const TOP1: &str = "linear/target/class/top1";
const OTHER: &str = "no verdict: it is judged on other data";

#[test]
fn arms_trained_on_other_images_are_judged_on_equal_test_images() {
    let lab = arms();
    for (name, all) in [("base", "aaaa"), ("more", "bbbb"), ("less", "cccc")] {
        lab.images(name, SEEDS, all, "tttt");
    }
    let found = compared(&lab, TOP1);
    assert!(found.contains("more: better") && found.contains("less: worse"), "{found}");
    assert!(found.contains("trained on different images") && !found.contains("warning"), "{found}");
    assert!(found.contains("base: aaaa; less: cccc; more: bbbb"), "{found}");
    // A loss is measured on the training images: those of the arms are not the same.
    let loss = compared(&lab, "loss");
    assert!(loss.contains(&format!("more: {OTHER}")) && loss.contains("warning"), "{loss}");
}

#[test]
fn arms_judged_on_other_test_images_show_numbers_only() {
    let lab = arms();
    for (name, all, test) in [("base", "aaaa", "tttt"), ("more", "bbbb", "uuuu"), ("less", "cccc", "tttt")] {
        lab.images(name, SEEDS, all, test);
    }
    let found = compared(&lab, TOP1);
    assert!(found.contains(&format!("more: {OTHER}")) && found.contains("+4.996"), "{found}");
    assert!(found.contains("less: worse"), "the others are judged: {found}");
    assert!(found.contains("base: tttt; less: tttt; more: uuuu"), "{found}");
}

/// Version 0.1.0 knew the fingerprint of everything alone.
#[test]
fn arms_of_an_older_version_are_judged_if_everything_is_equal() {
    let lab = arms();
    for (name, all, test) in [("base", "aaaa", "tttt"), ("more", "aaaa", ""), ("less", "cccc", "")] {
        lab.images(name, SEEDS, all, test);
    }
    let found = compared(&lab, TOP1);
    assert!(found.contains("more: better") && found.contains(&format!("less: {OTHER}")), "{found}");
}

#[test]
fn runs_of_one_arm_have_equal_training_images_too() {
    let lab = arms();
    lab.images("base", SEEDS, "aaaa", "tttt");
    lab.images("base", 1, "bbbb", "tttt");
    let found = lab.compare(&["results"]);
    assert_eq!(found.code, 2, "{}", found.stdout);
    assert!(found.stderr.contains("arm `base` mixes runs on different data"), "{}", found.stderr);
}
