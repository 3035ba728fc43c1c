//! More epochs for a finished run.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::program::Folder;

/// What a longer run shares with a shorter one: no schedule looks at the length.
const CONSTANT: [&str; 2] = ["ema=0.95", "train.keep_every=2"];

const PROBES: &str = "probes=[{ kind: knn, k: 5, every: 1, encoders: [target, context], controls: [random_init] }, \
                      { kind: linear, every: 2, predictions: true }, { kind: linear, name: last, labels: [colour] }]";

fn runs(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
    found.retain(|path| path.join("experiment.yaml").is_file());
    found
}

/// Every file of a run but those that say when and how fast.
fn files(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for folder in ["", "checkpoints", "probes"] {
        for entry in fs::read_dir(run.join(folder)).into_iter().flatten().flatten() {
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let differs = ["timing.csv", "run.json", "status.json", "lock", "latest.safetensors"];
            if entry.path().is_file() && !differs.iter().any(|file| name.ends_with(file)) {
                all.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    all
}

#[test]
fn an_extended_run_holds_the_bytes_of_one_that_was_as_long_from_the_start() {
    let folder = Folder::new();
    let train = |epochs: &str, more: &[&str]| {
        let epochs = format!("train.epochs={epochs}");
        let words = [&["tiny.yaml", &epochs, PROBES, "-q"], &CONSTANT[..], more].concat();
        folder.run(&words)
    };
    assert_eq!(train("3", &[]).code, 0);
    let short = folder.run_folder();
    let before = files(&short);
    // Stopped on the way and continued, with and without the option.
    let stopped = train("7", &["--extend", "--until-epoch", "4"]);
    assert_eq!(stopped.code, 75, "{}", stopped.stderr);
    let extended = train("7", &[]);
    assert_eq!(extended.code, 0, "{}", extended.stderr);
    assert_eq!(files(&short), before, "the shorter run is as it was");
    let whole = train("7", &["--output", "whole"]);
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    let own = runs(&folder.path().join("results")).into_iter().find(|path| *path != short).unwrap();
    let (own, whole) = (files(&own), files(&runs(&folder.path().join("whole"))[0]));
    assert_eq!(own.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(own[name] == *bytes, "{name} differs");
    }
    let again = train("7", &["--extend"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
}

/// The short run has a row for its last step, within an interval of the longer one.
#[test]
fn rows_need_not_end_with_the_shorter_run() {
    let folder = Folder::new();
    let train = |epochs: &str, more: &[&str]| {
        let epochs = format!("train.epochs={epochs}");
        let words = ["tiny.yaml", &epochs, "train.log_every=5", "ema=0.95", "-q"];
        folder.run(&[&words[..], more].concat())
    };
    assert_eq!(train("3", &[]).code, 0);
    let short = folder.run_folder();
    assert_eq!(
        fs::read_to_string(short.join("metrics.csv")).unwrap().lines().count(),
        1 + 3,
        "steps 5, 10, 12"
    );
    let extended = train("6", &["--extend"]);
    assert_eq!(extended.code, 0, "{}", extended.stderr);
    assert_eq!(train("6", &["--output", "whole"]).code, 0);
    let own = runs(&folder.path().join("results")).into_iter().find(|path| *path != short).unwrap();
    let (own, whole) = (files(&own), files(&runs(&folder.path().join("whole"))[0]));
    assert!(own == whole, "the tables differ");
    assert!(String::from_utf8_lossy(&own["/metrics.csv"]).contains("\n15,"));
}

#[test]
fn steps_that_would_have_been_others_are_refused_with_every_reason() {
    let folder = Folder::new();
    let call = |words: &[&str]| folder.run(&[&["tiny.yaml", "-q"], words].concat());
    let refused = |words: &[&str], expected: &[&str]| {
        let run = call(words);
        assert_eq!(run.code, 2, "{}", run.stderr);
        expected.iter().for_each(|text| assert!(run.stderr.contains(text), "{text}: {}", run.stderr));
        assert_eq!(runs(&folder.path().join("results")).len(), 1, "nothing was begun");
    };
    assert_eq!(call(&["train.log_every=5"]).code, 0);
    let more = ["train.epochs=5", "--extend"];
    // 12 steps, a moving average whose momentum rises until the end.
    refused(
        &[&more[..], &["train.log_every=5"]].concat(),
        &["ema: `linear` depends on the length of the run: step"],
    );
    refused(&more, &["train.log_every: was 5, is 1"]);
    refused(&[&more[..], &["encoder.depth=1"]].concat(), &["there is no finished run", "ijepa-run why"]);
    refused(&["train.epochs=2", "--extend"], &["there is no finished run"]);
    let probe = "probes=[{ kind: linear, every: 1 }]";
    refused(
        &[&more[..], &["train.log_every=5", probe]].concat(),
        &["`linear` was not measured on target after epoch 1"],
    );
    let ends = "{ from: { kind: random, ratio: [0.5, 0.5] }, to: { kind: random, ratio: [0.6, 0.6] } }";
    let ramp = format!("masking={}", ends.replacen('{', "{ kind: ramp,", 1));
    let schedule = "ema={ kind: constant, value: 0.99 }";
    let own = Folder::new();
    assert_eq!(own.run(&["tiny.yaml", "-q", &ramp, schedule]).code, 0);
    let longer = own.run(&["tiny.yaml", "-q", &ramp, schedule, "train.epochs=5", "--extend"]);
    assert_eq!(longer.code, 2, "{}", longer.stderr);
    assert!(longer.stderr.contains("masking: `ramp` depends on the length of the run"), "{}", longer.stderr);
    let sweep = call(&["-m", "seed=0,1", "--extend"]);
    assert_eq!(sweep.code, 2, "{}", sweep.stderr);
}
