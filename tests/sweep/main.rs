//! Sweeps: what is planned, what is refused and where, what a finished sweep leaves.

mod damage;
mod named;
#[allow(dead_code)]
#[path = "../runner/program.rs"]
mod program;
mod watch;

use std::{fs, path::PathBuf};

use ijepa_run::{
    bench::CostMemory,
    config::Surroundings,
    registry::metric::Direction,
    sweep::{Plan, PlannedRun, multirun, plan},
};
use program::{Folder, Output};

const BASE: &str = "
version: 1
name: tiny
dataset: { kind: shapes, image_size: 16, train: 64, test: 20 }
encoder: { kind: vit, dim: 16, depth: 2, heads: 2 }
predictor: { kind: vit, dim: 8, depth: 1, heads: 2 }
masking: { kind: multiblock, min_context: 2 }
loss: l2
optimizer: adamw
learning_rate: { kind: constant, value: 1.0e-3 }
weight_decay: { kind: constant, value: 0.05 }
ema: { kind: linear, start: 0.9, end: 1.0 }
train: { epochs: 3, batch_size: 16 }
probes: [{ kind: knn, k: 5 }]
";

fn read(name: &str) -> Result<String, String> {
    if name == "dir/tiny.yaml" { Ok(BASE.into()) } else { Err("there is no such file".into()) }
}

fn planned(text: &str) -> Result<Plan, String> {
    let text = format!("base: tiny.yaml\n{text}");
    plan("dir/s.yaml", &text, &[], &Surroundings::files(&read), &CostMemory::default())
        .map_err(|e| e.to_string())
}

fn arms(text: &str) -> Vec<String> {
    let plan = planned(text).expect(text);
    plan.runs.iter().map(|r| format!("{} s{}", r.arm, r.seed)).collect()
}

#[test]
fn a_grid_crosses_its_axes_and_seeds_replicate() {
    let text = "parameters:\n  masking.targets: { values: [1, 2] }\n  ema.start: [0.8, 0.95]\nseeds: 2\n";
    let expected = ["1,ema.start=0.8", "1,ema.start=0.95", "2,ema.start=0.8", "2,ema.start=0.95"]
        .iter()
        .flat_map(|p| [format!("masking.targets={p} s0"), format!("masking.targets={p} s1")]);
    assert_eq!(arms(text), expected.collect::<Vec<_>>());
    let plan = planned(text).expect("valid");
    assert_eq!(plan.parameters, ["masking.targets", "ema.start"]);
    assert_eq!(plan.runs[7].experiment.resolved()["masking"]["targets"], 2);
}

#[test]
fn exclusions_take_points_away_also_by_what_the_base_says() {
    let axes = "parameters:\n  masking.targets: [1, 2]\n  loss: [l2, cosine]\n";
    let left = arms(&format!("{axes}exclude: [{{ masking.targets: 2, loss: cosine, encoder.depth: 2 }}]\n"));
    assert_eq!(
        left,
        ["masking.targets=1,loss=l2 s0", "masking.targets=1,loss=cosine s0", "masking.targets=2,loss=l2 s0"]
    );
    assert_eq!(arms(&format!("{axes}exclude: [{{ masking.targets: 2, encoder.depth: 9 }}]\n")).len(), 4);
}

/// What is standard in a block is not written into an experiment: its value is the default all the same.
#[test]
fn a_setting_that_is_not_written_has_its_default_in_tables_and_exclusions() {
    let axes = "parameters: { encoder.norm: [rms_norm], encoder.drop_path: [0.1] }\nmethod: one_at_a_time\n";
    let plan = planned(axes).expect("valid");
    assert_eq!(plan.parameters, ["encoder.norm", "encoder.drop_path"]);
    let row =
        |run: &PlannedRun| plan.parameters.iter().map(|p| run.parameter(p)).collect::<Vec<_>>().join(" ");
    let rows: Vec<String> = plan.runs.iter().map(row).collect();
    assert_eq!(rows, ["layer_norm 0", "rms_norm 0", "layer_norm 0.1"]);
    let axes = "parameters: { masking.targets: [1, 2] }\n";
    assert_eq!(
        arms(&format!("{axes}exclude: [{{ masking.targets: 2, encoder.norm: layer_norm }}]\n")).len(),
        1
    );
    assert_eq!(
        arms(&format!("{axes}exclude: [{{ masking.targets: 2, encoder.norm: rms_norm }}]\n")).len(),
        2
    );
}

#[test]
fn zip_walks_axes_together_and_one_at_a_time_starts_from_the_base() {
    let axes = "parameters:\n  masking.targets: [1, 2]\n  ema.start: { min: 0.8, max: 0.95, points: 2 }\n";
    let zipped = arms(&format!("method: zip\n{axes}"));
    assert_eq!(zipped, ["masking.targets=1,ema.start=0.8 s0", "masking.targets=2,ema.start=0.95 s0"]);
    let single = arms(&format!("method: one_at_a_time\n{axes}"));
    let expected = ["baseline", "masking.targets=1", "masking.targets=2", "ema.start=0.8", "ema.start=0.95"];
    assert_eq!(single, expected.map(|a| format!("{a} s0")));
}

#[test]
fn random_points_are_the_same_every_time_and_the_first_of_more() {
    let text = |n| {
        format!(
            "method: random\nsamples: {n}\nparameters:\n  masking.targets: {{ min: 1, max: 4 }}\n  ema.start: {{ min: 0.9, max: 0.999, distribution: log_one_minus }}\n"
        )
    };
    let (few, more) = (arms(&text(3)), arms(&text(6)));
    assert_eq!((few.len(), more.len()), (3, 6));
    assert_eq!(few, more[..3]);
}

#[test]
fn sobol_points_fill_the_space_and_the_first_are_those_of_fewer() {
    let text = |n: usize| {
        format!(
            "method: sobol\nsamples: {n}\nparameters:\n  masking.targets: [1, 2, 3, 4]\n  encoder.depth: {{ min: 1, max: 4 }}\n"
        )
    };
    let (few, more) = (arms(&text(4)), arms(&text(16)));
    assert_eq!(few, more[..4]);
    // A 4 x 4 grid of equal cells gets one point each: a property of the sequence.
    let distinct: std::collections::BTreeSet<&String> = more.iter().collect();
    assert_eq!(distinct.len(), 16, "{more:?}");
}

#[test]
fn arms_come_by_name_and_equal_experiments_run_once() {
    let text = "arms:\n- { name: baseline, set: {} }\n- { name: random, set: { masking: random } }\nparameters:\n  masking.targets: [2, 4]\nseeds: [5]\n";
    assert_eq!(arms(text), ["baseline s5", "random s5", "masking.targets=2 s5"]);
    let plan = planned(text).expect("valid");
    assert_eq!(plan.notes, ["`masking.targets=4` is the same experiment as `baseline`; it is run once"]);
    assert_eq!(plan.runs[0].parameter("masking.targets"), "4");
    assert_eq!(plan.runs[1].parameter("masking.targets"), "", "this masking has no such setting");
    assert_eq!(plan.runs[1].parameter("masking"), "random");
}

#[test]
fn a_mistake_of_the_sweep_is_not_said_to_be_inherited() {
    let error = planned("parameters: { epochs: [1, 2] }\n").map(|_| ()).expect_err("no such section");
    assert!(error.contains("did you mean `train.epochs`?") && !error.contains("inherits"), "{error}");
}

#[test]
fn a_grid_can_be_typed() {
    let typed = ["masking.targets=1,2".to_owned(), "seed=3,4".to_owned(), "train.epochs=2".to_owned()];
    let plan = multirun("dir/tiny.yaml", BASE, &typed, &Surroundings::files(&read), &CostMemory::default())
        .expect("valid");
    let runs: Vec<String> = plan.runs.iter().map(|r| r.experiment.run_folder_name()).collect();
    assert_eq!(runs.len(), 4);
    assert!(runs[1].starts_with("tiny-s4-") && plan.runs[3].arm == "masking.targets=2");
    assert!(plan.runs.iter().all(|r| r.experiment.train.epochs == 2));
    let error = multirun(
        "dir/tiny.yaml",
        BASE,
        &["masking.targetz=1,2".to_owned()],
        &Surroundings::files(&read),
        &CostMemory::default(),
    )
    .expect_err("wrong");
    let expected =
        "override `masking.targetz=1,2`: masking.targetz: masking `multiblock` has no setting `targetz`";
    assert!(error.to_string().starts_with(expected), "{error}");
}

/// Lines of a sweep after `base: tiny.yaml` and the start of the error.
const MISTAKES: &[(&str, &str)] = &[
    (
        "method: gird\narms: [{ name: a }]\n",
        "dir/s.yaml:2:9: method: is the text `gird`\n  help: did you mean `grid`?",
    ),
    (
        "arm: []\nparameters: { loss: [l2] }\n",
        "dir/s.yaml:2:1: arm: a sweep has no `arm`\n  help: did you mean `arms`?",
    ),
    (
        "parameters: { masking.targets: { values: [] } }\n",
        "dir/s.yaml:2:34: parameters.masking.targets.values: is empty",
    ),
    (
        "parameters: { masking.targets: { value: [1] } }\n",
        "dir/s.yaml:2:15: parameters.masking.targets: has neither `values` nor `min` and `max`",
    ),
    (
        "parameters: { seed: [0, 1] }\n",
        "dir/s.yaml:2:15: parameters.seed: a seed is a replication, not a parameter\n  help: write `seeds: 3`",
    ),
    ("arms: [{ name: a }, { name: a }]\n", "dir/s.yaml:2:29: arms.1.name: an arm above is named `a` too"),
    ("arms: [{ name: a, set: { seed: 3 } }]\n", "dir/s.yaml:2:32: arms.0.set.seed: a seed is a replication"),
    (
        "method: zip\nparameters:\n  masking.targets: [1, 2]\n  ema.start: [0.9]\n",
        "dir/s.yaml:5:3: parameters.ema.start: has 1 values, but `masking.targets` has 2",
    ),
    (
        "parameters: { ema.start: { min: 0.9, max: 1.0, points: 3, distribution: log_one_minus } }\n",
        "dir/s.yaml:2:43: parameters.ema.start.max: is 1; a log_one_minus range ends below 1",
    ),
    (
        "parameters: { ema.start: { min: 0.9, max: 0.99 } }\n",
        "dir/s.yaml:2:15: parameters.ema.start: is a range without `points`",
    ),
    ("seeds: 0\narms: [{ name: a }]\n", "dir/s.yaml:2:8: seeds: is 0; allowed: whole numbers, 1 to 10000"),
    ("samples: 3\narms: [{ name: a }]\n", "dir/s.yaml:2:10: samples: belongs to `method: random`"),
    (
        "method: sobol\nparameters: { ema.start: { min: 0.9, max: 0.99 } }\n",
        "dir/s.yaml:1:1: samples: is missing: how many points `method: sobol` draws",
    ),
    (
        "metric: { name: knn/target/class/top1, at: first }\narms: [{ name: a }]\n",
        "dir/s.yaml:2:44: metric.at: is the text `first`\n  help: write `last`, `best` or a step",
    ),
    (
        "early_terminate: { kind: successive_halving }\narms: [{ name: a }]\n",
        "dir/s.yaml:2:1: early_terminate: has no metric to judge by",
    ),
    (
        "early_terminate: { kind: successive_halving, eta: 1, metric: { name: knn/target/class/top1 } }\narms: [{ name: a }]\n",
        "dir/s.yaml:2:51: early_terminate.eta: is 1; one arm in eta goes on, so it is more than 1",
    ),
    (
        "early_terminate: { kind: asha, metric: { name: knn/target/class/top1 } }\narms: [{ name: a }]\n",
        "dir/s.yaml:2:26: early_terminate.kind: is the text `asha`\n  help: it is called `successive_halving` now\n        allowed: successive_halving, median",
    ),
    (
        "early_terminate: { kind: median, eta: 2, metric: { name: knn/target/class/top1 } }\narms: [{ name: a }]\n",
        "dir/s.yaml:2:39: early_terminate.eta: has no meaning for `median`",
    ),
    (
        "early_terminate: { kind: successive_halving, metric: { name: knn/target/class/top1 } }\narms: [{ name: a }]\n",
        "dir/s.yaml:2:1: early_terminate: arms are judged at the epochs 1, but `knn/target/class/top1` is measured at the end only",
    ),
    (
        "early_terminate: { kind: successive_halving, min_epochs: 3, metric: { name: knn/target/class/top1 } }\narms: [{ name: a }]\n",
        "dir/s.yaml:2:1: early_terminate.min_epochs: is 3, and the runs have 3 epochs: nothing is ever judged",
    ),
    (
        "early_terminate: { kind: successive_halving, metric: { name: knn/target/class/top1 } }\narms: [{ name: a }, { name: b, set: { train.epochs: 5 } }]\n",
        "dir/s.yaml:2:1: early_terminate: runs of `a` take 3 epochs, those of `b` 5",
    ),
    (
        "exclude: [{ masking.targets: 1 }]\nparameters: { masking.targets: [1] }\n",
        "dir/s.yaml:2:11: exclude: the exclusions leave no point",
    ),
    (
        "exclude: [{ masking.targetz: 1 }]\nparameters: { masking.targets: [1] }\n",
        "dir/s.yaml:2:13: masking.targetz: neither the base nor a parameter has this setting\n  help: did you mean `masking.targets`?",
    ),
    (
        "metric: { name: knn/target/class/top1, goal: minimize }\narms: [{ name: a }]\n",
        "dir/s.yaml:2:46: metric.goal: contradicts the probe: of `knn/target/class/top1` higher is better\n  help: leave `goal` out",
    ),
    (
        "metric: { name: knn/target/class/top2 }\narms: [{ name: a }]\n",
        "dir/s.yaml:2:17: metric.name: the base measures no `knn/target/class/top2`\n  help: did you mean `knn/target/class/top1`",
    ),
    (
        "metric: { name: knn/target/class/top1@validation }\narms: [{ name: a }]\n",
        "dir/s.yaml:2:17: metric.name: the base measures no `knn/target/class/top1@validation`\n  help: the base holds no images out",
    ),
    (
        "run_cap: 3\nparameters: { masking.targets: [1, 2] }\nseeds: 2\n",
        "dir/s.yaml:2:10: run_cap: 4 runs are planned (2 arms, seeds: 2); at most 3 are allowed",
    ),
    ("budget: { equal: time }\narms: [{ name: a }]\n", "dir/s.yaml:2:18: budget.equal: is the text `time`"),
    (
        "budget: { equal: steps }\narms: [{ name: a, set: { train.epochs: 5 } }]\n",
        "dir/s.yaml:3:40: train.epochs: the budget, equal steps, decides how many epochs an arm takes",
    ),
    ("gpus: { slots: 2 }\narms: [{ name: a }]\n", "dir/s.yaml:2:1: gpus: names no device"),
    (
        "gpus: { devices: [0, 0] }\narms: [{ name: a }]\n",
        "dir/s.yaml:2:22: gpus.devices.1: the device 0 is there twice",
    ),
    // Found by building the points.
    (
        "parameters: { masking.targetz: [1, 2] }\n",
        "dir/s.yaml:2:15: masking.targetz: masking `multiblock` has no setting `targetz`\n  help: did you mean `targets`?",
    ),
    (
        "parameters: { maskin.targets: [1, 2] }\n",
        "dir/s.yaml:2:15: maskin.targets: there is no section `maskin`\n  help: did you mean `masking`?",
    ),
    (
        "parameters: { masking.targets: [1, x] }\n",
        "dir/s.yaml:2:36: masking.targets: is the text `x`; expected a whole number",
    ),
    (
        "arms: [{ name: a, set: { masking: { kind: random, rato: 1 } } }]\n",
        "dir/s.yaml:2:51: masking.rato: masking `random` has no setting `rato`",
    ),
    (
        "parameters: { encoder.patch: [4, 5] }\n",
        "dir/s.yaml:2:34: encoder.patch: 5 does not divide the image size 16 x 16",
    ),
];

#[test]
fn mistakes_are_refused_with_their_places() {
    for (text, expected) in MISTAKES {
        let error = planned(text).map(|p| p.runs.len()).expect_err(text);
        assert!(error.starts_with(expected), "{text}\n{error}\nexpected\n{expected}");
    }
}

#[test]
fn each_mistake_of_the_points_comes_once_with_an_arm_that_has_it() {
    let text = "parameters:\n  masking.targets: [1, 2]\n  encoder.patch: [4, 5, 3]\nseeds: 3\n";
    let error = planned(text).map(|_| ()).expect_err("wrong");
    let heads: Vec<&str> = error.lines().filter(|l| l.starts_with("dir/")).collect();
    assert_eq!(heads.len(), 2, "{error}");
    assert!(error.contains("in the arm `masking.targets=1,encoder.patch=5` and 1 more"), "{error}");
}

#[test]
fn what_a_change_breaks_elsewhere_is_blamed_on_the_change() {
    let error =
        planned("arms:\n- { name: coarse, set: { encoder.patch: 16 } }\n").map(|_| ()).expect_err("no mask");
    assert!(error.starts_with("dir/s.yaml:3:41: masking.min_context: "), "{error}");
    assert!(error.contains("encoder.patch=16 does not fit what stands at dir/tiny.yaml:"), "{error}");
    assert!(error.contains("in the arm `coarse`"), "{error}");
}

#[test]
fn a_budget_gives_cheap_arms_more_epochs() {
    let text = |equal: &str, extra: &str| {
        format!(
            "budget: {{ equal: {equal} }}\nparameters: {{ masking.targets: [1, 4] }}\narms: [{{ name: long, set: {{ {extra} }} }}]\n"
        )
    };
    let long = ["train.epochs=40".to_owned()];
    let plan = |equal: &str, extra: &str| {
        let text = format!("base: tiny.yaml\n{}", text(equal, extra));
        plan("dir/s.yaml", &text, &long, &Surroundings::files(&read), &CostMemory::default()).expect("valid")
    };
    let epochs = |equal: &str, extra: &str| -> Vec<u64> {
        let plan = plan(equal, extra);
        assert!(plan.parameters.contains(&"train.epochs".to_owned()));
        plan.runs.iter().map(|r| r.experiment.train.epochs).collect()
    };
    // Twice the batch: half the steps per epoch, so twice the epochs for as many steps.
    assert_eq!(epochs("steps", "train.batch_size: 32"), [80, 40, 40]);
    assert_eq!(epochs("images", "train.batch_size: 32"), [40, 40, 40]);
    let (tokens, flops) = (epochs("tokens", "encoder.depth: 8"), epochs("flops", "encoder.depth: 8"));
    assert!(tokens[0] == 40 && tokens[1] > 40 && tokens[2] == 40, "depth adds no token: {tokens:?}");
    assert!(flops[0] < 40 && flops[1] != tokens[1] && flops[2] == 40, "{flops:?} {tokens:?}");
    let plan = plan("images", "train.batch_size: 48");
    let note = "`long`: 53 epochs are 99 % of the budget";
    assert!(plan.notes.iter().all(|n| !n.starts_with(note)), "close enough: {:?}", plan.notes);
}

/// Its direction is what the probe declares; a diagnostic has one only if the file says so.
#[test]
fn a_metric_has_the_direction_that_its_probe_declares() {
    let base = BASE.replace("{ kind: knn, k: 5 }", "{ kind: linear, every: 1 }, { kind: rankme, every: 1 }");
    let read = |_: &str| Ok(base.clone());
    let planned = |text: &str| {
        let text = format!("base: tiny.yaml\n{text}\narms: [{{ name: a }}]\n");
        plan("dir/s.yaml", &text, &[], &Surroundings::files(&read), &CostMemory::default())
            .map_err(|e| e.to_string())
    };
    let goal = |text: &str| planned(text).map(|p| p.metric.expect("named").goal);
    assert_eq!(goal("metric: { name: linear/target/class/test_nll }"), Ok(Direction::Lower));
    assert_eq!(goal("metric: { name: linear/target/class/top1 }"), Ok(Direction::Higher));
    assert_eq!(goal("metric: { name: rankme/target/feature_std }"), Ok(Direction::Neither));
    assert_eq!(goal("metric: { name: rankme/target/feature_std, goal: minimize }"), Ok(Direction::Lower));
    let best = goal("metric: { name: rankme/target/feature_std, at: best }").expect_err("no best");
    assert!(best.contains("metric.goal: is missing: `rankme/target/feature_std` is a diagnostic"), "{best}");
    let early = "early_terminate: { kind: successive_halving, metric: { name: rankme/target/feature_std } }";
    let refused = planned(early).expect_err("nothing to judge by");
    assert!(refused.contains("early_terminate.metric.goal: is missing"), "{refused}");
    let early =
        "early_terminate: { kind: successive_halving, metric: { name: linear/target/class/test_nll } }";
    assert_eq!(planned(early).expect("judged").early.expect("named").metric.goal, Direction::Lower);
}

#[test]
fn a_million_points_are_counted_not_made() {
    let axes: String =
        (0..6).map(|i| format!("  probes.0.x{i}: {{ min: 0, max: 9, points: 10 }}\n")).collect();
    for extra in ["", "exclude: [{ probes.0.x1: 3 }]\n"] {
        let start = std::time::Instant::now();
        let error = planned(&format!("parameters:\n{axes}{extra}")).map(|_| ()).expect_err("too many");
        assert!(error.contains("1000000 runs are planned"), "{error}");
        assert!(start.elapsed().as_secs() < 5);
    }
}

/// A folder with `tiny.yaml` and a sweep of it.
fn folder(sweep: &str) -> Folder {
    let folder = Folder::new();
    fs::write(folder.path().join("s.yaml"), format!("base: tiny.yaml\n{sweep}")).unwrap();
    folder
}

const GRID: &str = "parameters: { masking.targets: [1, 2] }\nseeds: 2\n";

fn sweep_folder(folder: &Folder) -> PathBuf {
    let mut found = fs::read_dir(folder.path().join("results/sweeps")).unwrap().map(|e| e.unwrap().path());
    let path = found.next().unwrap();
    assert!(found.next().is_none(), "one sweep folder");
    path
}

fn runs(folder: &Folder) -> String {
    fs::read_to_string(sweep_folder(folder).join("runs.csv")).unwrap()
}

fn succeed(run: &Output) {
    assert_eq!(run.code, 0, "{}\n{}", run.stdout, run.stderr);
}

#[test]
fn workers_do_not_change_a_byte_and_finished_runs_are_reused() {
    let (one, two) = (folder(GRID), folder(GRID));
    let plan = one.run(&["s.yaml", "--dry-run"]);
    assert!(
        plan.stdout.contains("4 runs: 4 new, 0 to continue, 0 finished; 48 steps to do"),
        "{}",
        plan.stdout
    );
    assert!(!one.path().join("results").exists());
    let run = one.run(&["s.yaml", "-j", "1"]);
    succeed(&run);
    assert!(run.stdout.starts_with("knn/target/class/top1\n"), "{}", run.stdout);
    succeed(&two.run(&["s.yaml", "-j", "2"]));
    assert_eq!(runs(&one), runs(&two));
    let table = runs(&one);
    assert!(
        table.starts_with(
            "run_id,arm,seed,status,reason,steps,param.masking.targets,metric.knn/target/class/top1.last,"
        ),
        "{table}"
    );
    assert_eq!(table.matches(",done,,12,").count(), 4, "{table}");
    for file in ["sweep.yaml", "plan.csv", "configs/3.yaml", "logs/3.log"] {
        assert!(sweep_folder(&one).join(file).is_file(), "{file}");
    }
    let again = one.run(&["s.yaml"]);
    succeed(&again);
    assert!(again.stderr.contains("4 runs, 4 finished before, 0 to do"), "{}", again.stderr);
    // Another sweep that shares half its runs, typed on the command line.
    let typed = one.run(&["tiny.yaml", "-m", "masking.targets=2,3", "--dry-run"]);
    assert!(typed.stdout.contains("2 runs: 1 new, 0 to continue, 1 finished"), "{}", typed.stdout);
    let forgotten = one.run(&["tiny.yaml", "masking.targets=2,3"]);
    assert!(forgotten.code == 2 && forgotten.stderr.contains("add -m"), "{}", forgotten.stderr);
    let listed = one.run(&["ls"]);
    assert_eq!(listed.stdout.matches("12/12").count(), 4, "{}", listed.stdout);
    assert!(one.run(&["check", "s.yaml"]).stdout.contains("runs: 4"));
}

/// The metric and the numbers of a sweep are those of `compare`: a linear probe comes before others.
#[test]
fn a_sweep_shows_what_compare_judges_it_by() {
    let folder = folder("arms: [{ name: baseline }, { name: flat, set: { encoder.depth: 1 } }]\nseeds: 2\n");
    let run = folder.run(&["s.yaml", "probes=[{ kind: knn, k: 5 }, linear]"]);
    succeed(&run);
    let sweep = sweep_folder(&folder);
    let judged = folder.run(&["compare", sweep.to_str().unwrap(), "--format", "json"]);
    succeed(&judged);
    let judged: serde_json::Value = serde_json::from_str(&judged.stdout).unwrap();
    assert_eq!((&judged["metric"], &judged["role"]), (&"linear/target/class/top1".into(), &"primary".into()));
    let mut lines = run.stdout.lines();
    assert_eq!(lines.next(), judged["metric"].as_str(), "{}", run.stdout);
    let number = |value: &serde_json::Value| format!("{:.3}", value.as_f64().unwrap());
    for (line, arm) in lines.skip(1).zip(judged["arms"].as_array().unwrap()) {
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells, [arm["arm"].as_str().unwrap(), "2", &number(&arm["mean"]), &number(&arm["std"])]);
    }
    assert_eq!(run.stdout.lines().count(), 2 + 2, "{}", run.stdout);
}

const RACE: &str = "
parameters: { masking.targets: [1, 2, 3] }
arms: [{ name: baseline }]
seeds: 2
metric: { name: rankme/target/rankme, at: best }
early_terminate: { kind: successive_halving, eta: 2, min_epochs: 2 }
";

#[test]
fn arms_end_early_whole_and_by_numbers_alone() {
    let (one, two) = (folder(RACE), folder(RACE));
    succeed(&one.run(&["s.yaml"]));
    succeed(&two.run(&["s.yaml", "-j", "2"]));
    let decisions = |f: &Folder| fs::read_to_string(sweep_folder(f).join("decisions.csv")).unwrap();
    assert_eq!(decisions(&one), decisions(&two));
    assert_eq!(runs(&one), runs(&two));
    let ended = decisions(&one).matches(",stop,").count();
    assert!(ended > 0 && !decisions(&one).contains(",baseline,0,stop,"), "{}", decisions(&one));
    assert_eq!(
        runs(&one).matches(",stopped,\"successive_halving at epoch ").count(),
        2 * ended,
        "{}",
        runs(&one)
    );
    let again = one.run(&["s.yaml"]);
    succeed(&again);
    assert!(again.stderr.contains("8 finished before, 0 to do"), "{}", again.stderr);
    let planned = one.run(&["s.yaml", "-n"]).stdout;
    assert_eq!(planned.matches("ended early: successive_halving at epoch").count(), 2 * ended, "{planned}");
    // Without the rule, the runs that ended early continue and the others are reused.
    fs::write(
        one.path().join("all.yaml"),
        format!("base: tiny.yaml\n{}", &RACE[..RACE.find("early").unwrap()]),
    )
    .unwrap();
    let all = one.run(&["all.yaml"]);
    succeed(&all);
    assert!(all.stderr.contains(&format!("{} to do", 2 * ended)), "{}", all.stderr);
}

/// `asha` was the name of `successive_halving`.
#[test]
fn a_sweep_folder_of_an_earlier_version_is_read() {
    let folder = folder(RACE);
    succeed(&folder.run(&["s.yaml"]));
    let path = sweep_folder(&folder);
    for file in ["sweep.yaml", "decisions.csv"] {
        let text = fs::read_to_string(path.join(file)).unwrap();
        assert!(text.contains("successive_halving"), "{file}: {text}");
        fs::write(path.join(file), text.replace("successive_halving", "asha")).unwrap();
    }
    let status = folder.run(&["status", "s", "--runs"]);
    succeed(&status);
    assert!(status.stdout.contains("successive_halving at epoch 2"), "{}", status.stdout);
    succeed(&folder.run(&["compare", "s"]));
    succeed(&folder.run(&["report", "s"]));
    let page = fs::read_to_string(path.join("report.html")).unwrap();
    assert!(page.contains("<td>successive_halving</td>"));
}

#[cfg(not(feature = "cuda-base"))]
#[test]
fn a_sweep_for_gpus_is_refused_by_a_program_without_them() {
    let folder = folder("gpus: { devices: [0], slots: 2 }\narms: [{ name: a }]\n");
    let run = folder.run(&["s.yaml"]);
    assert!(run.code == 2 && run.stderr.contains("built without the feature `cuda`"), "{}", run.stderr);
    assert!(!folder.path().join("results").exists());
}

#[test]
fn equal_seconds_are_measured_once() {
    let text = "budget: { equal: seconds }\nparameters: { encoder.depth: [1, 6] }\n";
    let folder = folder(text);
    let plan = || folder.run(&["s.yaml", "train.epochs=40", "-n"]).stdout;
    let first = plan();
    let rates = fs::read_to_string(folder.path().join("results/sweeps/rates.csv")).unwrap();
    assert_eq!(rates.lines().count(), 1 + 3, "the base and two arms: {rates}");
    let steps = |text: &str| text.lines().find(|l| l.contains("steps to do")).unwrap().to_owned();
    assert_eq!(steps(&first), steps(&plan()), "the same plan again");
    assert!(folder.run(&["check", "s.yaml"]).stdout.contains("runs: 2"));
}

#[test]
fn status_and_why_read_files_only() {
    let folder = folder(GRID);
    succeed(&folder.run(&["s.yaml"]));
    let status = folder.run(&["status", "s", "--runs"]);
    succeed(&status);
    assert!(status.stdout.contains("4 runs: 4 done"), "{}", status.stdout);
    assert_eq!(status.stdout.matches("12/12").count(), 4, "{}", status.stdout);
    let unknown = folder.run(&["status", "t"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("there is no sweep `t` in"), "{}", unknown.stderr);
    let reused = folder.run(&["why", "tiny.yaml", "masking.targets=2", "train.log_every=7"]);
    assert!(reused.stdout.contains("done: reused, a run of this identity is there"), "{}", reused.stdout);
    assert!(reused.stdout.contains("train.log_every: 1 -> 7 (does not matter)"), "{}", reused.stdout);
    let new = folder.run(&["why", "tiny.yaml", "masking.targets=2", "train.epochs=2"]);
    assert!(new.stdout.contains("train.epochs: 3 -> 2 (decides results)"), "{}", new.stdout);
    let planned = folder.run(&["tiny.yaml", "-m", "masking.targets=2,5", "train.epochs=2", "-n"]);
    assert!(planned.stdout.contains("new: differs from tiny-s0-"), "{}", planned.stdout);
}

#[test]
fn a_collapsed_arm_is_counted_and_harms_nobody() {
    let rule = "collapse: [{ metric: target_std, below: 1000, patience: 2 }]";
    let folder = folder(&format!("arms: [{{ name: baseline }}, {{ name: flat, set: {{ {rule} }} }}]\n"));
    let run = folder.run(&["s.yaml"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("1 done, 1 collapsed"), "{}", run.stderr);
    assert!(runs(&folder).contains(",flat,0,collapsed,\"target_std is "), "{}", runs(&folder));
    assert!(runs(&folder).contains("at epoch 2, not at least 1000, 2 times in a row"), "{}", runs(&folder));
}

#[test]
fn one_diverging_arm_is_counted_and_harms_nobody() {
    let rate = "learning_rate: { kind: constant, value: 1.0e30 }";
    let folder =
        folder(&format!("arms: [{{ name: baseline }}, {{ name: hot, set: {{ {rate} }} }}]\nseeds: 2\n"));
    let run = folder.run(&["s.yaml", "-j", "2"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stdout.contains("0/2 (2 diverged)"), "{}", run.stdout);
    assert!(run.stderr.contains("2 done, 2 diverged"), "{}", run.stderr);
    assert_eq!(folder.run(&["s.yaml"]).code, 3, "and again without computing");
}

#[test]
fn a_failing_run_harms_nobody() {
    let text = "arms:\n- { name: gone, set: { encoder.depth: 1 } }\n- { name: baseline }\n";
    let (sound, folder) = (folder(text), folder(text));
    succeed(&sound.run(&["s.yaml"]));
    let table = runs(&sound);
    let gone = table.lines().find(|line| line.contains(",gone,")).unwrap().split(',').next().unwrap();
    // A file where the run wants its folder.
    fs::create_dir_all(folder.path().join("results")).unwrap();
    fs::write(folder.path().join("results").join(gone), "in the way").unwrap();
    let run = folder.run(&["s.yaml"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("1 done, 1 failed"), "{}", run.stderr);
    assert!(runs(&folder).contains(",gone,0,failed,"), "{}", runs(&folder));
}

#[cfg(unix)]
#[test]
fn a_stopped_sweep_continues_to_the_same_table() {
    let text = "parameters: { masking.targets: [1, 2] }\n";
    let (whole, stopped) = (folder(text), folder(text));
    let arguments = ["s.yaml", "-j", "2", "train.epochs=40"];
    succeed(&whole.run(&arguments));
    let mut child = stopped.start(&arguments);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while run_states(&stopped).iter().filter(|s| s.contains("running")).count() < 2 {
        assert!(std::time::Instant::now() < deadline, "no run has started");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.signal("-INT");
    let output = child.end();
    assert_eq!(output.code, 75, "{}", output.stderr);
    assert!(run_states(&stopped).iter().any(|s| s.contains("stopped")), "{}", output.stderr);
    assert!(stopped.run(&["s.yaml", "train.epochs=40", "-n"]).stdout.contains("stopped: continues at step"));
    succeed(&stopped.run(&arguments));
    assert_eq!(runs(&stopped), runs(&whole));
}

/// The runs of a sweep whose process is killed write their checkpoints and leave.
#[cfg(unix)]
#[test]
fn no_run_outlives_its_sweep() {
    let folder = folder("parameters: { masking.targets: [1, 2] }\n");
    let child = folder.start(&["s.yaml", "-j", "2", "train.epochs=400"]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let count = |word: &str| run_states(&folder).iter().filter(|s| s.contains(word)).count();
    while count("running") < 2 {
        assert!(std::time::Instant::now() < deadline, "no run has started");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    drop(child);
    while count("stopped") < 2 {
        assert!(std::time::Instant::now() < deadline, "{:?}", run_states(&folder));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// `status.json` of every run folder.
#[cfg(unix)]
fn run_states(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.path().join("results")).into_iter().flatten().flatten();
    entries.filter_map(|e| fs::read_to_string(e.path().join("status.json")).ok()).collect()
}

#[cfg(unix)]
#[test]
fn a_run_in_use_elsewhere_is_running_and_not_failed() {
    let folder = Folder::new();
    let elsewhere = folder.start(&["tiny.yaml", "train.epochs=3000"]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let listed = || folder.run(&["ls"]).stdout;
    while !listed().contains("running") {
        assert!(std::time::Instant::now() < deadline, "{}", listed());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let sweep = folder.run(&["tiny.yaml", "-m", "seed=0", "train.epochs=3000"]);
    assert_eq!(sweep.code, 5, "{}", sweep.stderr);
    let table = fs::read_dir(folder.path().join("results/sweeps")).unwrap().flatten().next().unwrap().path();
    let rows = fs::read_to_string(table.join("runs.csv")).unwrap();
    assert!(rows.contains(",running,") && !rows.contains("failed"), "{rows}");
    drop(elsewhere);
    assert!(listed().contains("interrupted"), "{}", listed());
}
