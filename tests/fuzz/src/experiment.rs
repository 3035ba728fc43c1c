//! The experiment that inputs are made for: as small as one can be.

use ijepa_run::config::{self, Experiment};

const TINY: &str = "
version: 1
name: tiny
device: cpu
dataset: DATASET
augmentation: [normalize]
encoder: { kind: vit, dim: 8, depth: 1, heads: 1, patch: PATCH }
predictor: { kind: vit, dim: 8, depth: 1, heads: 1 }
masking: { kind: random }
loss: l2
optimizer: adamw
learning_rate: { kind: constant, value: 1.0e-3 }
weight_decay: { kind: constant, value: 0.05 }
ema: { kind: constant, value: 0.99 }
train: { epochs: EPOCHS, batch_size: 2, log_every: 1 }
probes: []
";

/// The experiment on `dataset`, an entry as in a file, with patches of so many pixels and so many epochs;
/// `changes` are those of a command line.
pub fn tiny(dataset: &str, patch: usize, epochs: u64, changes: &[String]) -> Result<Experiment, String> {
    let text = TINY
        .replace("DATASET", dataset)
        .replace("PATCH", &patch.to_string())
        .replace("EPOCHS", &epochs.to_string());
    let alone = |_: &str| Err("a tiny experiment extends nothing".into());
    config::load("tiny.yaml", &text, changes, &alone).map_err(|e| e.to_string())
}
