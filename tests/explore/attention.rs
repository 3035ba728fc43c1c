//! The attention that is shown is the one that the encoder computes with.

use ijepa_registry::{
    kinds::Mode,
    tensor::{Cpu, Segments},
};
use ijepa_run::{
    kernels::{from_host, to_host},
    nn::{Block, BlockDesign, BlockVariant, Init, InitScheme, Places},
};

const DIM: usize = 12;
const HEADS: usize = 3;
const EPS: f64 = 1e-5;

/// A block whose values are its normalised input, and whose output adds to the input what attention makes of them:
/// `y = x + W norm(x)` per head.
fn plain_block(device: &Cpu, qk_norm: bool) -> Block<Cpu> {
    let variant = BlockVariant { qk_norm, ..BlockVariant::default() };
    let design = BlockDesign::new(DIM, HEADS, 2.0, EPS, variant);
    let init = Init::new(device, 3, "encoder", InitScheme::Torch);
    let mut block = Block::new(&init, "b", 0, &design, 0.0);
    let one = |i: usize| f32::from(i / DIM == i % DIM);
    for param in block.params_mut() {
        let mut values = param.data.as_vec();
        let (count, name) = (values.len(), param.name.clone());
        match name.as_str() {
            // Large queries and keys make attention differ from token to token.
            "b.attn.qkv.weight" => values.iter_mut().enumerate().for_each(|(i, v)| {
                let row = i / DIM;
                *v = if row < 2 * DIM { 4.0 * *v } else { one(i - 2 * DIM * DIM) };
            }),
            "b.attn.proj.weight" => values = (0..count).map(one).collect(),
            "b.attn.proj.bias" | "b.mlp.fc2.weight" | "b.mlp.fc2.bias" => values = vec![0.0; count],
            _ => {}
        }
        param.data.copy_from(&values);
    }
    block
}

/// `(x - mean) / sqrt(variance + eps)` of a token.
fn normalised(token: &[f32]) -> Vec<f64> {
    let mean = token.iter().map(|v| f64::from(*v)).sum::<f64>() / DIM as f64;
    let variance = token.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / DIM as f64;
    token.iter().map(|v| (f64::from(*v) - mean) / (variance + EPS).sqrt()).collect()
}

#[test]
fn the_weights_are_those_that_the_block_attends_with() {
    let device = Cpu::default();
    let segments = Segments::from_lengths([5, 3]);
    let x: Vec<f32> = (0..8 * DIM).map(|i| ((i * i + 7 * i) as f32 * 0.37).sin()).collect();
    for qk_norm in [false, true] {
        let block = plain_block(&device, qk_norm);
        let rows = || from_host(&device, x.clone(), 8, DIM).unwrap();
        let places = Places::of(&segments);
        let y = to_host(&block.composed(rows(), &places, Mode::Eval).unwrap()).unwrap();
        let maps = block.attention_weights(rows(), &places).unwrap();
        assert_eq!(maps.iter().map(Vec::len).collect::<Vec<_>>(), [HEADS * 25, HEADS * 9]);
        for (range, map) in segments.ranges().zip(&maps) {
            let n = range.len();
            let values: Vec<Vec<f64>> =
                range.clone().map(|t| normalised(&x[t * DIM..(t + 1) * DIM])).collect();
            for (token, column) in (0..n).flat_map(|t| (0..DIM).map(move |c| (t, c))) {
                let head = column / (DIM / HEADS);
                let weights = &map[(head * n + token) * n..][..n];
                let sum: f64 = weights.iter().zip(&values).map(|(w, v)| f64::from(*w) * v[column]).sum();
                let at = (range.start + token) * DIM + column;
                assert!((f64::from(y[at] - x[at]) - sum).abs() < 1e-4, "{qk_norm} {token} {column}");
            }
            let uneven =
                map.chunks_exact(n).map(|row| row.iter().copied().fold(0.0, f32::max)).fold(0.0, f32::max);
            assert!(uneven > 1.5 / n as f32, "every token attends alike: the test says nothing");
            assert!(map.chunks_exact(n).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5));
        }
    }
}
