//! The best measurement of a run, chosen on held-out images.

use crate::lab::Lab;

const BASE: [f64; 6] = [61.2, 60.4, 62.1, 59.8, 61.7, 60.9];

const TOP1: &str = "linear/target/class/top1";
const VALIDATION: &str = "linear/target/class/top1@validation";

/// Arms `base` and `hot`. On test images every run is best at its last epoch, on held-out images at its first,
/// where the values on test are 20 points lower and those of `hot` three points above those of `base`.
fn arms() -> Lab {
    let lab = Lab::new();
    lab.arm("base", "depth: 4", &BASE);
    lab.arm("hot", "depth: 6", &BASE.map(|x| x + 3.0 + 0.1 * (x - 61.0)));
    for (arm, seed) in ["base", "hot"].iter().flat_map(|arm| (0..BASE.len()).map(move |seed| (arm, seed))) {
        let path = format!("results/{arm}-s{seed}/probes.csv");
        let text = lab.read(&path).replace("labels,metric", "labels,split,metric");
        let text = text.replace("class,top1", "class,test,top1").replace("target,,", "target,,test,");
        let row = |epoch: u32, value: u32| {
            format!("{epoch},{}0,linear,target,class,validation,top1,%,{value}\n", epoch)
        };
        lab.write(&path, &format!("{text}{}{}", row(1, 90), row(2, 50)));
    }
    lab
}

fn mean_of_base(lab: &Lab, args: &[&str]) -> f64 {
    let found = lab.compare(&[&["results", "--format", "json"], args].concat());
    assert_eq!(found.code, 0, "{}", found.stderr);
    let json: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    json["arms"][0]["mean"].as_f64().unwrap()
}

#[test]
fn held_out_images_choose_the_epoch_and_test_images_give_the_value() {
    let lab = arms();
    let mean = BASE.iter().sum::<f64>() / BASE.len() as f64;
    for metric in [&["--metric", VALIDATION][..], &["--metric", TOP1], &[]] {
        let args = [&["--at", "best"], metric].concat();
        let found = lab.compare(&[&["results"], &args[..]].concat());
        assert_eq!(found.code, 0, "{}", found.stderr);
        assert!(found.stdout.contains(&format!("\nmetric {TOP1} at best")), "{}", found.stdout);
        assert!(found.stdout.contains("hot: better"), "{}", found.stdout);
        assert!(!found.stdout.contains("exploratory"), "{}", found.stdout);
        assert!((mean_of_base(&lab, &args) - (mean - 20.0)).abs() < 1e-9, "{metric:?}");
    }
    // The last measurement is that of the metric that was named.
    assert_eq!(mean_of_base(&lab, &["--metric", VALIDATION]), 50.0);
}

#[test]
fn without_held_out_images_in_every_run_the_best_epoch_is_not_judged() {
    let lab = arms();
    let path = "results/hot-s2/probes.csv";
    let rows = lab.read(path);
    lab.write(
        path,
        &rows.lines().filter(|l| !l.contains("validation")).map(|l| format!("{l}\n")).collect::<String>(),
    );
    for metric in [TOP1, VALIDATION] {
        let found = lab.compare(&["results", "--at", "best", "--metric", metric]);
        assert_eq!(found.code, 0, "{}", found.stderr);
        assert!(found.stdout.contains("no verdicts: the best measurement of a run"), "{}", found.stdout);
        assert!(found.stdout.contains(&format!("or `{VALIDATION}` in the runs")), "{}", found.stdout);
        assert!(!found.stdout.contains("hot: better"), "{}", found.stdout);
    }
}
