//! The two-line binary lists, checks and runs what this crate adds, beside the house's components.

use std::process::Command;

fn run(folder: &std::path::Path, arguments: &[&str]) -> (i32, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_my-ijepa")).args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const EXPERIMENT: &str = "
name: plugin
dataset: { kind: shapes, image_size: 16, train: 64, test: 20 }
encoder: { kind: vit, dim: 16, depth: 1, heads: 2 }
predictor: { kind: vit, dim: 8, depth: 1, heads: 2 }
masking: checkerboard
loss: pseudo_huber
optimizer: adamw
learning_rate: { kind: constant, value: 1.0e-3 }
weight_decay: { kind: constant, value: 0.05 }
ema: { kind: constant, value: 0.99 }
train: { epochs: 1, batch_size: 16, log_every: 1 }
probes: [nearest_centroid]
";

#[test]
fn own_components_are_listed_checked_and_run() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("own.yaml"), EXPERIMENT).unwrap();
    let (code, listed, _) = run(folder.path(), &["components", "masking", "checkerboard"]);
    assert_eq!(code, 0);
    assert!(listed.contains("ijepa-plugin-example") && listed.contains("Side of a square"), "{listed}");

    let (code, _, errors) = run(folder.path(), &["own.yaml", "masking.cell=9"]);
    assert_eq!(code, 2);
    assert!(errors.contains("masking.cell"), "{errors}");

    let (code, table, errors) = run(folder.path(), &["own.yaml"]);
    assert_eq!(code, 0, "{errors}");
    assert!(table.contains("nearest_centroid"), "{table}");
}
