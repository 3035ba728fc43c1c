//! Probes that look at the model, at tokens and at numbers, on a run from the command line.

use std::{collections::BTreeMap, fs};

use crate::program::Folder;

const KNN: &str = "{ kind: knn, k: 5, every: 1, encoders: [target, context], controls: [random_init] }";
const RANKME: &str = "{ kind: rankme, every: 2, encoders: [target], controls: [random_init] }";
const MORE: [&str; 9] = [
    "{ kind: ema_lag, every: 1, encoders: [target, context] }",
    "{ kind: cka, every: 1, controls: [random_init] }",
    "{ kind: lidar, images: 20, views: 3, every: 1, controls: [random_init] }",
    "{ kind: fine_tune, epochs: 2, batch_size: 16, predictions: true, controls: [random_init] }",
    "{ kind: few_shot, shots: 2, draws: 3, labels: [class, colour], controls: [pixels, pca] }",
    "{ kind: retrieval, controls: [random_init, pixels, pca] }",
    "{ kind: patch_position, controls: [random_init, pixels, pca] }",
    "{ kind: token_variance, every: 1, controls: [random_init, pixels, pca] }",
    "{ kind: regression, labels: [x, y, radius, count], controls: [pixels, pca] }",
];

/// Values at the end by `probe/encoder/labels/metric`.
fn values(folder: &Folder) -> BTreeMap<String, f64> {
    let rows = folder.table("probes.csv");
    let place = |name: &str| rows[0].iter().position(|cell| cell == name).unwrap();
    let [probe, encoder, labels, metric, value] =
        ["probe", "encoder", "labels", "metric", "value"].map(place);
    let last = rows[1..].iter().filter(|row| row[0] == "3");
    last.map(|row| {
        let name = [probe, encoder, labels, metric].map(|at| row[at].as_str());
        let name = name.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        (name, row[value].parse().unwrap())
    })
    .collect()
}

/// They add to a finished run the bytes of one that had them from the start, on one thread or three, and the weights
/// are those of a run without them: what is fine-tuned is a copy.
#[test]
fn diagnostics_are_the_same_later_and_on_any_number_of_threads_and_move_nothing() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", "train.keep_every=1", "-q"]).code, 0);
    let run = folder.run_folder();
    let weights = fs::read(run.join("weights.safetensors")).unwrap();
    let mut call = vec!["probe", run.to_str().unwrap(), "-q", "--threads", "1"];
    call.extend(MORE);
    let added = folder.run(&call);
    assert_eq!(added.code, 0, "{}", added.stderr);
    let all = format!("probes=[{KNN}, {RANKME}, {}]", MORE.join(", "));
    let call = ["tiny.yaml", "train.keep_every=1", &all, "--output", "fresh", "-q", "--threads", "3"];
    let fresh = folder.run(&call);
    assert_eq!(fresh.code, 0, "{}", fresh.stderr);
    let from_start = folder.path().join("fresh").join(run.file_name().unwrap());
    for file in ["probes.csv", "metrics.json", "probes/fine_tune-target-class-test-epoch3.predictions.csv"] {
        assert_eq!(folder.read(file), fs::read_to_string(from_start.join(file)).unwrap(), "{file}");
    }
    assert!(fs::read(from_start.join("weights.safetensors")).unwrap() == weights, "weights moved");
    assert!(fs::read(run.join("weights.safetensors")).unwrap() == weights, "weights moved");

    let found = values(&folder);
    let at = |name: &str| *found.get(name).unwrap_or_else(|| panic!("no {name} in {found:?}"));
    assert!(at("ema_lag/target/lag") > 0.0 && at("ema_lag/context/lag") == 0.0);
    assert!(at("ema_lag/context/from_start") > at("ema_lag/target/from_start"));
    let same = at("cka/random_init/initial");
    assert!((same - 1.0).abs() < 1e-9 && at("cka/target/initial") < 1.0, "{same}");
    // The teacher stands between the start and the student.
    assert!(at("cka/target/context") <= 1.0 && at("lidar/target/lidar") > 1.0);
    let shares = ["position", "image", "rest"].map(|part| at(&format!("token_variance/target/{part}")));
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{shares:?}");
    // An encoder adds positions to its patches; pixels say nothing of them.
    let place = |of: &str| at(&format!("patch_position/{of}/r2"));
    assert!(place("random_init") > place("pixels") && place("pixels") < 0.1, "{found:?}");
    assert!(at("few_shot/pca/colour/top1_std") >= 0.0 && at("retrieval/pca/class/map") > 0.0);
    assert!(at("regression/target/count/mae") > 0.0 && at("regression/pixels/x/mae") < 1.0);
}

#[test]
fn what_they_cannot_look_at_is_refused_before_anything_runs() {
    let folder = Folder::new();
    let refused = |probe: &str, words: &[&str]| {
        let run = folder.run(&["tiny.yaml", &format!("probes=[{probe}]"), "collapse=[]"]);
        let said = words.iter().all(|word| run.stderr.contains(word));
        assert!(run.code == 2 && said, "{probe}: {}: {}", run.code, run.stderr);
    };
    refused("{ kind: cka, controls: [pixels] }", &["`pixels` and `pca` have none", "random_init"]);
    refused("{ kind: fine_tune, controls: [pca] }", &["allowed: [random_init]"]);
    let numbers = ["asks for a number `class`", "x, y, radius, count", "labels: [x]"];
    refused("{ kind: regression }", &numbers);
    refused("{ kind: few_shot, shots: 50 }", &["is 50; class 0 has 7 training image(s)", "at most 6 here"]);
    assert!(!folder.path().join("results").exists(), "nothing was trained");
}

/// The contexts that `lidar` compares are those that training sees, with what the options of the section make of them.
#[test]
fn contexts_of_a_probe_follow_the_options_of_the_masks() {
    let folder = Folder::new();
    let within = |masking: &str, output: &str| -> f64 {
        let probes = "probes=[{ kind: lidar, images: 20, views: 3, controls: [random_init] }]";
        let call = ["tiny.yaml", masking, probes, "train.epochs=3", "collapse=[]", "-q", "--output", output];
        let run = folder.run(&call);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let folder = fs::read_dir(folder.path().join(output)).unwrap().next().unwrap().unwrap().path();
        let text = fs::read_to_string(folder.join("probes.csv")).unwrap();
        let row =
            text.lines().find(|line| line.contains(",random_init,") && line.contains(",within,")).unwrap();
        row.split(',').nth(8).unwrap().parse().unwrap()
    };
    // The encoder before training is the same; contexts of two patches differ more from each other than larger ones.
    let (large, small) = (within("masking.draws=1", "large"), within("masking.context_count=2", "small"));
    assert!(small > large, "{small} and {large}");
}

/// On pictures of one plain object: fine-tuning learns its colour, and diagnostics move as training does.
#[test]
fn they_say_something_sensible_of_a_run_that_learns() {
    let folder = Folder::new();
    let probes = "probes=[{ kind: fine_tune, epochs: 8, batch_size: 32, learning_rate: 3.0e-3, labels: [colour], controls: [random_init] }, \
                  { kind: few_shot, shots: 4, labels: [colour], controls: [random_init] }, \
                  { kind: ema_lag, every: 1 }, { kind: cka, every: 1 }, \
                  { kind: regression, labels: [radius], controls: [pixels] }]";
    let data = "dataset={ kind: shapes, image_size: 16, train: 512, test: 128, textures: false, noise: 0.0, radius: [0.25, 0.39], max_objects: 1 }";
    let call = ["tiny.yaml", data, probes, "train.epochs=3", "collapse=[]", "-q"];
    let run = folder.run(&call);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let found = values(&folder);
    let at = |name: &str| *found.get(name).unwrap_or_else(|| panic!("no {name} in {found:?}"));
    // Six colours: chance is about 17 %.
    assert!(at("fine_tune/target/colour/top1") > 50.0, "{found:?}");
    assert!(at("few_shot/target/colour/top1") > 20.0, "{found:?}");
    let rows = folder.table("probes.csv");
    let of = |probe: &str, metric: &str| -> Vec<f64> {
        let value = rows[0].iter().position(|cell| cell == "value").unwrap();
        let rows = rows[1..].iter().filter(|row| row[2] == probe && row.contains(&metric.to_owned()));
        rows.map(|row| row[value].parse().unwrap()).collect()
    };
    let moved = of("ema_lag", "from_start");
    assert!(moved.len() == 3 && moved.is_sorted(), "{moved:?}");
    assert!(of("cka", "initial").is_sorted_by(|a, b| a >= b));
}
