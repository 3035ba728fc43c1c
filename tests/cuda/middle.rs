//! What is exchanged in the middle of the model, on the device: losses of an epoch beside the CPU's.

use dfdx::prelude::Cpu;

use crate::emulator::computing_device;
use crate::training::{assert_follows, losses_of_an_epoch};

const CASES: [&[&str]; 23] = [
    &["predictor={ kind: cross_attention, dim: 8, depth: 1, heads: 2 }"],
    &["predictor={ kind: joint, dim: 8, depth: 1, heads: 2 }"],
    &["predictor={ kind: mlp, dim: 8, depth: 1 }"],
    &["predictor=position_only"],
    &["loss={ kind: smooth_l1, target: batch }", "masking.predict_fraction=0.5"],
    &["loss={ kind: l2, target: standardise }"],
    &["targets={ kind: ema, layers: 2, combine: concat }"],
    &["targets={ kind: ema, layers: 2, combine: mean }"],
    &["targets=frozen"],
    &["loss=l1"],
    &["targets=pixels"],
    &["targets=stop_gradient", "regularizers=[{ kind: vicreg, weight: 1, on: pooled_context }]"],
    &["regularizers=[{ kind: vicreg, weight: 0.5, on: prediction, projector: [8] }]"],
    &["masking.draws=2"],
    &["encoder.norm=rms_norm", "encoder.mlp=swiglu", "encoder.qk_norm=true"],
    &["encoder.layer_scale=0.1", "encoder.drop_path=0.3"],
    &["encoder={ kind: convnet, dim: 16, depth: 2, patch: 4 }"],
    &["encoder.stem=conv", "encoder.class_token=true"],
    &["encoder.stem=whitened", "encoder.sandwich_norm=true"],
    &["encoder.positions=rope", "predictor.positions=rope"],
    &[
        "predictor={ kind: cross_attention, dim: 8, depth: 1, heads: 2, positions: rope, sandwich_norm: true }",
    ],
    &["regularizers=[{ kind: sigreg, weight: 0.02, directions: 8, points: 5 }]"],
    &["loss={ kind: smooth_l1, distance_power: -0.5 }"],
];

#[test]
fn components_of_the_middle_follow_the_cpu() {
    let turn = computing_device();
    for changes in CASES {
        let (here, cpu) =
            (losses_of_an_epoch(changes, &turn.cuda), losses_of_an_epoch(changes, &Cpu::default()));
        assert_eq!(cpu.len(), 4);
        assert_follows(&format!("{changes:?}"), &here, &cpu);
    }
}
