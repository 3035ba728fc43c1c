//! The schema for editors beside the program: what one accepts, the other does.

use ijepa_run::config;
use serde_json::Value;

use super::{BASE, load};

/// What is replaced in [`BASE`], by what, and whether that can be read.
const CHANGES: &[(&str, &str, bool)] = &[
    ("seed: 7", "seed: ~", true),
    ("seed: 7", "version: ~\ndevice: null\ncollapse: ~", true),
    ("name: quickstart", "name: ~", true),
    ("seed: 7", "sed: ~", false),
    ("seed: 7", "x-free: ~", true),
    ("seed: 7", "extends: ~", false),
    ("seed: 7", "extends: ' '", false),
    ("seed: 7", "seed: 1e20", false),
    ("augmentation: [test_flip]", "augmentation: ~", true),
    ("augmentation: [test_flip]", "augmentation: [~]", false),
    ("augmentation: [test_flip]", "collapse: [~]", false),
    ("augmentation: [test_flip]", "collapse: [{ metric: loss, below: 1, patience: ~ }]", true),
    ("augmentation: [test_flip]", "collapse: [{ metric: loss, below: ~ }]", false),
    ("size: 32", "size: 32, validation: ~", true),
    ("size: 32", "size: 32, validaton: ~", false),
    ("kind: test_images", "kind: ~", false),
    ("dim: 16", "dim: ~, positions: ~", true),
    ("dim: 16", "dim: [~]", false),
    ("masking: test_half", "masking: ~", false),
    ("masking: test_half", "masking: { gap: 3 }", false),
    ("masking: test_half", "masking: { kind: test_half, gap: ~, scale: ~ }", true),
    ("masking: test_half", "masking: { kind: test_half, scale: [0.1, ~] }", false),
    ("masking: test_half", "masking: { kind: test_ratio, ratio: ~ }", false),
    ("epochs: 2, batch_size: 100", "epochs: 2, batch_size: 100, log_every: ~, matmul: ~", true),
    ("epochs: 2, batch_size: 100", "epochs: ~, batch_size: 100", false),
    ("epochs: 2, batch_size: 100", "epochs: 2", false),
    ("train: { epochs: 2, batch_size: 100 }", "train: ~", false),
    ("name: near, every: 1", "name: near, every: ~, encoders: ~, labels: ~", true),
    ("controls: [pixels]", "controls: ~", true),
    ("controls: [pixels]", "controls: [~]", false),
    ("  - test_knn\n", "  - { kind: test_knn, name: ~, k: ~ }\n", true),
    ("  - test_knn\n", "  - { k: 5 }\n", false),
];

/// Files that extend [`BASE`].
const EXTENDED: &[(&str, bool)] = &[
    ("train: { epochs: 3 }", true),
    ("train: { epochs: ~ }", false),
    ("train: ~", false),
    ("masking: { gap: 3 }", true),
    ("masking: ~", false),
    ("probes: ~", true),
    ("probes: [{ k: 5 }]", false),
];

#[track_caller]
fn agree(validator: &jsonschema::Validator, text: &str, expected: bool) {
    let value: Value = serde_yaml::from_str(text).expect(text);
    let read = load(text, &[]).map(|_| ());
    assert_eq!(read.is_ok(), expected, "{text}\n{read:?}");
    let errors: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
    assert_eq!(errors.is_empty(), expected, "{text}\n{errors:?}");
}

#[test]
fn it_accepts_what_the_program_reads_and_refuses_what_it_refuses() {
    let validator = jsonschema::draft202012::new(&config::schema()).expect("valid schema");
    for (from, to, expected) in CHANGES {
        assert!(BASE.contains(from), "{from}");
        agree(&validator, &BASE.replacen(from, to, 1), *expected);
    }
    for (text, expected) in EXTENDED {
        agree(&validator, &format!("extends: base.yaml\n{text}\n"), *expected);
    }
}
