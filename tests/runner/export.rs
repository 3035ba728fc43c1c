//! Exports without the programs that open them: `tests/with_data` has those.

use std::{fs, path::Path};

use crate::program::Folder;

const LINEAR: &str =
    "probes=[{ kind: linear, weight_decays: [0.01], labels: [class, colour], controls: [pca] }]";

/// Name and content of every file below a folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<(String, Vec<u8>)> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.is_file())
        .map(|path| (path.strip_prefix(folder).unwrap().display().to_string(), fs::read(&path).unwrap()))
        .collect();
    found.sort();
    found
}

#[test]
fn models_are_the_same_bytes_for_any_number_of_threads_and_replaced_only_when_told_so() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", LINEAR, "-q"]).code, 0);
    for format in ["huggingface", "timm"] {
        let call = |threads: &str, more: &[&str]| {
            let own = ["export", format, "tiny", "--classifier", "--labels", "colour", "--threads", threads];
            folder.run(&[&own[..], more].concat())
        };
        let first = call("1", &["--output", "one"]);
        assert_eq!(first.code, 0, "{}", first.stderr);
        assert!(first.stderr.contains("--license"), "{}", first.stderr);
        assert_eq!(call("3", &["--output", "three"]).code, 0);
        let (one, three) = (files(&folder.path().join("one")), files(&folder.path().join("three")));
        assert!(one == three && one.len() >= 3, "{format}");
        let again = call("1", &["--output", "one"]);
        assert!(again.code == 2 && again.stderr.contains("--force"), "{}", again.stderr);
        assert_eq!(call("1", &["--output", "one", "--force", "--license", "mit"]).code, 0);
        let card = fs::read_to_string(folder.path().join("one/README.md")).unwrap();
        assert!(card.contains("license: mit") && card.contains("| metric | target | pca |"), "{card}");
        // The classifier is the probe that was measured.
        let rows = folder.table("probes.csv");
        let value = rows[0].iter().position(|name| name == "value").unwrap();
        let row = rows.iter().find(|r| r[2..7] == ["linear", "target", "colour", "test", "top1"]).unwrap();
        let sentence = format!("probe `linear` for `colour`: {} % of 20 test images", row[value]);
        assert!(card.contains(&sentence), "{sentence}: {card}");
        fs::remove_dir_all(folder.path().join("one")).unwrap();
        fs::remove_dir_all(folder.path().join("three")).unwrap();
    }
    // By default a folder per run.
    assert_eq!(folder.run(&["export", "timm", "tiny", "--encoder", "context", "-q"]).code, 0);
    let name = folder.run_folder().file_name().unwrap().to_owned();
    assert!(folder.path().join("exports/timm").join(name).join("model.safetensors").is_file());
}

#[test]
fn what_a_format_has_no_place_for_is_refused_by_its_setting() {
    let folder = Folder::new();
    let variant =
        "encoder={ kind: vit, dim: 16, depth: 1, heads: 2, patch: 4, norm: rms_norm, registers: 2 }";
    assert_eq!(folder.run(&["tiny.yaml", variant, "targets=pixels", "probes=[]", "-q"]).code, 0);
    let refused = |arguments: &[&str]| {
        let told = folder.run(&[&["export"], arguments].concat());
        assert!(told.code == 2 && !folder.path().join("exports").exists(), "{}", told.stderr);
        told.stderr
    };
    let all = refused(&["huggingface", "tiny"]);
    assert!(all.contains("encoder.norm: \"rms_norm\"") && all.contains("encoder.registers: 2"), "{all}");
    let timm = refused(&["timm", "tiny"]);
    assert!(timm.contains("encoder.norm") && !timm.contains("registers"), "{timm}");
    let target = refused(&["timm", "tiny", "--encoder", "target"]);
    assert!(target.contains("targets: `pixels`") && target.contains("--encoder context"), "{target}");
    let option = refused(&["mlflow", "tiny", "--license", "mit"]);
    assert!(option.contains("--license is for models"), "{option}");
    assert!(refused(&["timm", "tinny"]).contains("tiny"), "the nearest run");
}

#[test]
fn a_classifier_is_a_linear_probe_on_the_mean_token() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", LINEAR, "-q"]).code, 0);
    let refused = |probe: &str| {
        let told = folder.run(&["export", "timm", "tiny", "-q", "--classifier", probe]);
        assert_eq!(told.code, 2, "{}", told.stderr);
        told.stderr
    };
    assert!(refused("knn").contains("`knn` is no linear classifier"));
    assert!(refused("{ kind: linear, layers: 2 }").contains("without `layers`"));
    let unknown = refused("lineer");
    assert!(unknown.contains("no probe `lineer`; it has: linear"), "{unknown}");
    let labels = folder.run(&["export", "timm", "tiny", "--classifier", "--labels", "taste"]);
    assert!(labels.code == 2 && labels.stderr.contains("no labels `taste`"), "{}", labels.stderr);
}

/// A second export of the same runs leaves the same files.
#[test]
fn numbers_are_exported_to_the_same_bytes_again() {
    let folder = Folder::new();
    for seed in ["seed=0", "seed=1"] {
        assert_eq!(folder.run(&["tiny.yaml", LINEAR, seed, "-q"]).code, 0);
    }
    for format in ["tensorboard", "mlflow"] {
        let export = || {
            let told = folder.run(&["export", format, "results"]);
            assert_eq!(told.code, 0, "{}", told.stderr);
            files(&folder.path().join("exports").join(format))
        };
        let first = export();
        assert!(first.len() >= 2 && first == export(), "{format}");
    }
}
