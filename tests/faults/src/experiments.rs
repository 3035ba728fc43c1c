//! What is run.

/// Sixteen steps; everything that a run writes is written in every epoch.
pub const TINY: &str = "
version: 1
name: tiny
seed: 0
device: cpu
dataset: { kind: shapes, image_size: 16, train: 64, test: 32 }
augmentation: [normalize]
encoder: { kind: vit, dim: 16, depth: 1, heads: 2, patch: 4 }
predictor: { kind: vit, dim: 8, depth: 1, heads: 2 }
masking: { kind: random }
loss: l2
optimizer: adamw
learning_rate: { kind: constant, value: 1.0e-3 }
weight_decay: { kind: constant, value: 0.05 }
ema: { kind: constant, value: 0.99 }
train: { epochs: 4, batch_size: 16, log_every: 1 }
probes:
  - { kind: linear, every: 1, encoders: [target] }
  - { kind: knn, k: 5, every: 1, encoders: [target] }
  - { kind: rankme, every: 1, encoders: [target] }
";

/// Two arms of two seeds.
pub const SWEEP: &str = "
version: 1
name: pair
base: tiny.yaml
arms:
  - { name: baseline, set: {} }
  - { name: faster, set: { learning_rate.value: 2.0e-3 } }
seeds: 2
metric: { name: knn/target/class/top1, goal: maximize }
";
