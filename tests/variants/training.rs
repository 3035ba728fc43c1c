//! A tiny training with each: the loss falls, and targets are predicted better than at the start.

use crate::program::Folder;

/// Means of loss and explained variance over the first and the last rows of a training.
fn assert_learns(overrides: &[&str]) {
    let folder = Folder::new();
    let common = [
        "tiny.yaml",
        "--quiet",
        "device=cpu",
        "probes=[]",
        "loss={ kind: l2, target: layer_norm }",
        "learning_rate=3.0e-3",
        "ema.start=0.99",
        "train.epochs=40",
    ];
    let run = folder.run(&[&common, overrides].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let table = folder.table("metrics.csv");
    let column = |name: &str| -> Vec<f64> {
        let at = table[0].iter().position(|c| c == name).unwrap();
        table[1..].iter().map(|row| row[at].parse().unwrap()).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let ends = |name: &str| {
        let values = column(name);
        (values[0], mean(&values[values.len() - 8..]))
    };
    let (loss, explained) = (ends("loss"), ends("explained_variance"));
    assert!(loss.1 < 0.9 * loss.0, "loss {loss:?}");
    assert!(explained.1 > explained.0 + 0.1 && explained.1 > 0.1, "explained variance {explained:?}");
}

#[test]
fn an_encoder_with_every_variant_learns() {
    let variant = "norm: rms_norm, mlp: swiglu, qk_norm: true, layer_scale: 0.1, drop_path: 0.1";
    assert_learns(&[&format!("encoder={{ kind: vit, dim: 32, depth: 3, heads: 4, {variant} }}")]);
}

#[test]
fn a_predictor_with_cross_attention_learns() {
    assert_learns(&["predictor={ kind: cross_attention, dim: 16, depth: 2, heads: 2 }"]);
}
