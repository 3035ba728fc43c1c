//! Experiment files as users write them: what is accepted, what is refused and with which words.

mod components;
mod mistakes;
mod schema;
mod sections;

use ijepa_run::{
    config::{self, DataFacts, Device, Experiment},
    registry::kinds::{Factor, Survey},
};
use serde_json::json;

/// A valid experiment.
pub const BASE: &str = "\
name: quickstart
seed: 7
dataset: { kind: test_images, size: 32, train: 1000 }
augmentation: [test_flip]
encoder: { kind: test_vit, dim: 16 }
predictor: test_narrow
masking: test_half
loss: test_none
optimizer: test_still
learning_rate: { kind: test_line, start: 1e-3, end: 0 }
weight_decay: { kind: test_line, start: 0.05, end: 0.05 }
ema: { kind: test_line, start: 0.996, end: 1 }
train: { epochs: 2, batch_size: 100 }
probes:
  - { kind: test_knn, name: near, every: 1, k: 5, controls: [pixels] }
  - test_knn
";

/// Loads `text`; `extends` finds [`BASE`] under the name `dir/base.yaml`.
pub fn load(text: &str, overrides: &[&str]) -> Result<Experiment, String> {
    let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
    let read = |name: &str| match name {
        "dir/base.yaml" => Ok(BASE.to_owned()),
        "dir/deep.yaml" => Ok("extends: base.yaml\nencoder: { dim: 24 }\n".to_owned()),
        "dir/round.yaml" => Ok("extends: ../dir/ring.yaml\n".to_owned()),
        "dir/ring.yaml" => Ok("extends: ./round.yaml\n".to_owned()),
        "dir/watched.yaml" => Ok(format!("{BASE}collapse: [{{ metric: near/target/top1, below: 2 }}]\n")),
        _ => Err("there is no such file".to_owned()),
    };
    config::load("dir/a.yaml", text, &overrides, &read).map_err(|e| e.to_string())
}

fn loaded(text: &str, overrides: &[&str]) -> Experiment {
    load(text, overrides).unwrap_or_else(|e| panic!("{e}"))
}

fn identity(text: &str, overrides: &[&str]) -> String {
    loaded(text, overrides).identity()
}

#[test]
fn a_file_becomes_an_experiment() {
    let e = loaded(BASE, &[]);
    assert_eq!((e.name.as_str(), e.seed, e.device), ("quickstart", 7, Device::Auto));
    assert_eq!(e.encoder.object.dim(), 16);
    assert_eq!(e.encoder.settings["positions"], "sin_cos");
    assert_eq!((e.train.log_every, e.train.checkpoint_every), (10, 1));
    assert_eq!((e.probes[0].name.as_str(), e.probes[0].every), ("near", 1));
    assert_eq!((e.probes[1].name.as_str(), e.probes[1].every), ("test_knn", 0));
    assert_eq!(e.horizon(1000).steps, 20);
    assert_eq!(e.run_folder_name(), format!("quickstart-s7-{}", e.identity()));
    let _: &(dyn std::any::Any + Send + Sync) = &e;
}

#[test]
fn the_name_defaults_to_the_file() {
    assert_eq!(loaded(&BASE.replace("name: quickstart\n", ""), &[]).name, "a");
}

#[test]
fn the_resolved_form_is_explicit_and_loads_again() {
    let e = loaded(BASE, &["train.epochs=3", "device=cuda"]);
    let resolved = e.resolved();
    assert_eq!(resolved["version"], 1);
    assert_eq!(resolved["device"], "cuda:0");
    assert_eq!(resolved["masking"], json!({"kind": "test_half", "gap": 0, "scale": [0.0, 0.0]}));
    let again = loaded(&e.to_yaml(), &[]);
    assert_eq!(again.resolved(), resolved);
    assert_eq!(again.run_folder_name(), e.run_folder_name());
}

#[test]
fn awkward_text_survives_the_round_trip() {
    for text in
        ["no", "1e-3", "", " x ", "a: b", "#c", "0x10", "~", "'", "\"", "é\n\tz", "- a", "1_000", ".5", "0o7"]
    {
        let folder = format!("dataset.folder={}", serde_json::to_string(text).expect("JSON"));
        let e = loaded(BASE, &[&folder]);
        assert_eq!(e.dataset.settings["folder"], text);
        assert_eq!(loaded(&e.to_yaml(), &[]).dataset.settings["folder"], text);
    }
    for value in ["1e-12", "0.1", "1e300", "123456789.123", "-0.0", "3"] {
        let e = loaded(BASE, &[&format!("learning_rate.start={value}")]);
        assert_eq!(loaded(&e.to_yaml(), &[]).identity(), e.identity(), "{value}");
    }
}

#[test]
fn an_identity_ignores_form() {
    let id = identity(BASE, &[]);
    let mut lines: Vec<&str> = BASE.lines().take(13).collect();
    lines.reverse();
    let probes = BASE.lines().skip(13).collect::<Vec<_>>().join("\n");
    assert_eq!(identity(&format!("# a comment\n{}\n{probes}\n", lines.join("\n")), &[]), id);
    for same in [
        "name=other",
        "device=cpu",
        "train.log_every=1",
        "train.checkpoint_every=5",
        "dataset.folder=elsewhere",
        "ema.end=1.0",
        "train.epochs=2.0",
        "encoder.drop_path=-0.0",
        "predictor={kind: test_narrow, dim: 0}",
    ] {
        assert_eq!(identity(BASE, &[same]), id, "{same}");
    }
}

#[test]
fn an_identity_changes_with_every_key_that_matters() {
    let mut seen = vec![identity(BASE, &[])];
    for other in [
        "seed=8",
        "dataset.size=64",
        "augmentation=[]",
        "encoder.depth=3",
        "encoder.positions=learned",
        "predictor.dim=8",
        "masking.gap=1",
        "masking={kind: test_ratio, ratio: 0.5}",
        "learning_rate.start=0.002",
        "weight_decay.end=0.4",
        "ema.start=0.99",
        "train.epochs=3",
        "train.batch_size=50",
    ] {
        let id = identity(BASE, &[other]);
        assert!(!seen.contains(&id), "{other}");
        seen.push(id);
    }
}

#[test]
fn a_file_extends_another() {
    let text = "extends: base.yaml\nname: deeper\nencoder: { depth: 8 }\nmasking: { kind: test_ratio, ratio: 0.5 }\nprobes: []\n";
    let e = loaded(text, &["encoder.dim=32"]);
    assert_eq!((e.name.as_str(), e.seed, e.probes.len()), ("deeper", 7, 0));
    assert_eq!((&e.encoder.settings["depth"], &e.encoder.settings["dim"]), (&json!(8), &json!(32)));
    assert_eq!(e.masking.settings, json!({"ratio": 0.5}));
    assert_eq!(identity("extends: base.yaml\n", &[]), identity(BASE, &[]));
}

#[test]
fn a_file_extends_one_that_extends_another() {
    let e = loaded("extends: deep.yaml\nencoder: { depth: 8 }\n", &[]);
    assert_eq!((&e.encoder.settings["depth"], &e.encoder.settings["dim"]), (&json!(8), &json!(24)));
    let last = loaded("extends: deep.yaml\nencoder: { depth: 8, dim: null }\n", &[]);
    assert_ne!(last.encoder.settings["dim"], 24, "null takes the default, not what is inherited");
}

#[test]
fn numbers_null_anchors_and_merge_keys() {
    let id = identity(&BASE.replace("ema: { kind: test_line, start: 0.996, end: 1 }", "ema: 0.9"), &[]);
    assert_eq!(id, identity(BASE, &["ema=0.9"]));
    assert_eq!(id, identity(BASE, &["ema={ kind: constant, value: 0.9 }"]));
    assert_eq!(
        identity(BASE, &["train.log_every=null", "collapse=null", "predictor.dim=null"]),
        identity(BASE, &[])
    );
    let line = "learning_rate: { kind: test_line, start: 1e-3, end: 0 }";
    let anchored = BASE.replace(
        line,
        "x-line: &line { kind: test_line, start: 1e-3 }\nlearning_rate: { <<: *line, end: 0 }",
    );
    assert_eq!(identity(&anchored, &[]), identity(BASE, &[]));
}

#[test]
fn variables_are_replaced_in_paths_only() {
    let read = |_: &str| Err("nothing".to_owned());
    let pairs = [("HOME", "/home-of-a-test"), ("DATA", "/d")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let outside = config::Surroundings {
        variables: config::Variables::new(pairs.into()),
        ..config::Surroundings::files(&read)
    };
    let folder = |path: &str| {
        let text = BASE
            .replace("dataset: { kind: test_images, size: 32, train: 1000 }", "dataset: { kind: shapes }");
        let over = [format!("dataset={{ kind: image_folder, path: \"{path}\" }}")];
        config::load_in(&outside, "a.yaml", &text, &over).map(|e| e.dataset.settings["path"].clone())
    };
    assert_eq!(folder("~/pets").ok(), Some(json!("/home-of-a-test/pets")));
    assert_eq!(folder("${DATA}/pets").ok(), Some(json!("/d/pets")));
    let error = folder("${NOWHERE}/pets").map(|_| ()).expect_err("not set").to_string();
    assert!(error.contains("dataset.path: is `${NOWHERE}/pets`") && error.contains("not set"), "{error}");
}

#[test]
fn what_is_allowed_and_seldom_meant_is_noted() {
    let note = |over: &str| loaded(BASE, &[over]).notes.join("\n");
    assert!(note("ema.start=1.0").is_empty(), "it stays");
    let falls = note("ema={ kind: linear, start: 0.999, end: 0.9 }");
    assert!(falls.contains("the momentum falls from 0.999 to 0.9"), "{falls}");
    let rises = note("learning_rate={ kind: linear, start: 1e-5, end: 1e-3 }");
    assert!(rises.contains("rises to its last step"), "{rises}");
}

#[test]
fn an_override_that_takes_another_component_says_so() {
    let text = BASE.replace("masking: test_half", "masking: { kind: test_half, gap: 2 }");
    let e = loaded(&text, &["masking.ratio=0.25", "masking=test_ratio"]);
    assert_eq!(e.masking.settings, json!({"ratio": 0.25}));
    let note = "override `masking=test_ratio`: `test_ratio` replaces `test_half`, with the defaults of `test_ratio` (dropped: gap)";
    assert_eq!(e.notes, [note]);
}

#[test]
fn data_can_be_checked_later() {
    let e = loaded(BASE, &["dataset.train=null", "ema.wait=2"]);
    let labels = vec![Factor { name: "class".into(), values: 2, train: None }];
    let of = |train| Survey { train, test: 10, labels: labels.clone(), ..Survey::default() };
    let late = e.check_data(&of(1000)).expect_err("waits too long").to_string();
    assert_eq!(late, "override `ema.wait=2`: ema.wait: is 2, as long as the run");
    let batch = e.check_data(&of(50)).expect_err("batch").to_string();
    assert!(batch.contains("more than the 50 training images"));
}

#[test]
fn the_content_of_files_is_part_of_the_folder_but_not_of_the_identity() {
    let facts = |content: &str| {
        let labels = vec![Factor { name: "class".into(), values: 2, train: None }];
        let survey = Survey { train: 1000, test: 10, labels, ..Survey::default() };
        DataFacts { survey, content: Some(content.into()) }
    };
    let name = |content| {
        loaded(BASE, &["dataset.on_disk=true"]).with_data(facts(content)).unwrap().run_folder_name()
    };
    let e = loaded(BASE, &["dataset.on_disk=true"]);
    assert_eq!(e.run_folder_name(), format!("quickstart-s7-{}", e.identity()), "not known yet");
    assert_eq!(name("0123456789abcdef"), format!("quickstart-s7-{}-01234567", e.identity()));
    let drawn = loaded(BASE, &[]).with_data(facts("0123456789abcdef")).unwrap();
    assert_eq!(drawn.run_folder_name(), drawn.stem());
}

#[test]
fn held_out_images_are_part_of_the_identity_where_there_are_any() {
    let e = loaded(BASE, &["dataset.validation=100"]);
    assert_ne!(e.identity(), loaded(BASE, &[]).identity());
    assert_eq!(loaded(BASE, &["dataset.validation=0"]).identity(), loaded(BASE, &[]).identity());
    assert_eq!((e.train_images(), &e.resolved()["dataset"]["validation"]), (Some(900), &json!(100)));
    let error = load(BASE, &["dataset.validation=1000"]).expect_err("nothing left");
    assert!(error.contains("dataset.validation: is 1000; there are 1000 training images"), "{error}");
    let error = load(BASE, &["dataset.validaton=10"]).expect_err("misspelt");
    assert!(error.contains("did you mean `validation`?"), "{error}");
}

#[test]
fn the_schema_accepts_what_loads() {
    let schema = config::schema();
    let validator = jsonschema::draft202012::new(&schema).expect("valid schema");
    let resolved = loaded(BASE, &[]).resolved();
    let errors: Vec<String> = validator.iter_errors(&resolved).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let mut short = resolved.clone();
    short["masking"] = json!("test_half");
    assert!(validator.is_valid(&short));
    for (path, value) in
        [("encoder", json!({"kind": "test_vit", "dept": 1})), ("masking", json!("test_ratio"))]
    {
        let mut wrong = resolved.clone();
        wrong[path] = value;
        assert!(!validator.is_valid(&wrong), "{path}");
    }
}
