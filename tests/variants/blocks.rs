//! Block variants of the encoder `vit`.

use std::collections::BTreeSet;

use dfdx::prelude::{Backward, SumTo};
use ijepa_run::{
    config::{self, Experiment},
    kernels::from_host,
    registry::prelude::*,
};

use crate::{
    IMAGE,
    common::{Random, assert_close},
    experiment,
    reference::{Matrix, Values, assert_rows, assert_slopes, attention, columns, turned},
    trained,
};

const DIM: usize = 24;
const DEPTH: usize = 3;
const HEADS: usize = 3;
const REGISTERS: usize = 2;
const EPS: f64 = 1e-5;
const SIZE: &str = "kind: vit, dim: 24, heads: 3, patch: 4, registers: 2, norm_eps: 1.0e-5";
/// Side of a patch.
const PATCH: usize = 4;

/// Every variant at once.
const ALL: &str = "norm: rms_norm, sandwich_norm: true, mlp: swiglu, qk_norm: true, layer_scale: 0.5, \
                   drop_path: 0.4, stem: conv, class_token: true, positions: rope";
const EACH: [&str; 10] = [
    "norm: rms_norm",
    "mlp: swiglu",
    "qk_norm: true",
    "layer_scale: 0.5",
    "drop_path: 0.4",
    "sandwich_norm: true",
    "stem: conv",
    "stem: whitened",
    "class_token: true",
    "positions: rope",
];

/// An experiment whose encoder has this variant, and three blocks unless it says otherwise.
fn with(variant: &str) -> Experiment {
    let depth = if variant.contains("depth") { "" } else { "depth: 3, " };
    experiment(&[&format!("encoder={{ {SIZE}, {depth}{variant} }}")])
}

fn settings(variant: &str) -> Box<dyn EncoderSettings> {
    with(variant).encoder.object
}

/// Patches whose values are correlated with their neighbours'.
fn patches() -> PatchMoments {
    let mut random = Random::new(8);
    let noise = random.values(500 * 48, 1.0);
    let values: Vec<f32> =
        noise.iter().zip(noise.iter().cycle().skip(1)).map(|(a, b)| 0.3 + a + 0.8 * b).collect();
    PatchMoments::of(&values, 48)
}

/// All that starts at 0 or 1 moved away from there, so that nothing cancels.
fn built(variant: &str) -> Box<dyn Encoder<Cpu>> {
    let device = Cpu::default();
    let context = EncoderContext { device: &device, seed: 3, image: IMAGE, patches: &patches };
    let mut encoder = settings(variant).cpu(&context).unwrap();
    let mut random = Random::new(9);
    for param in encoder.params_mut().into_iter().filter(|p| p.is_bias_or_norm()) {
        let moved: Vec<f32> =
            param.data.as_vec().iter().zip(random.values(param.len(), 0.2)).map(|(v, r)| v + r).collect();
        param.data.copy_from(&moved);
    }
    encoder
}

fn batch(sequences: &[Vec<u32>], random: &mut Random) -> PatchBatch<Cpu> {
    let layout = Layout::new(sequences.iter().map(Vec::as_slice));
    let pixels = random.rows(layout.segments.rows(), 48, 1.5);
    PatchBatch { pixels, layout, grid: IMAGE.grid(4) }
}

/// The sequences `range` of a batch.
fn part(batch: &PatchBatch<Cpu>, sequences: &[Vec<u32>], range: std::ops::Range<usize>) -> PatchBatch<Cpu> {
    let starts = batch.layout.segments.starts();
    let rows = starts[range.start]..starts[range.end];
    let pixels = batch.pixels.as_vec()[rows.start * 48..rows.end * 48].to_vec();
    let pixels = from_host(&Cpu::default(), pixels, rows.len(), 48).unwrap();
    let layout = Layout::new(sequences[range].iter().map(Vec::as_slice));
    PatchBatch { pixels, layout, grid: batch.grid }
}

fn sequences() -> Vec<Vec<u32>> {
    vec![vec![0, 3, 5, 6, 12], vec![2], vec![1, 4, 7, 8, 9, 10, 11, 13, 15], vec![0, 14]]
}

fn keys(epoch: u64, count: u64) -> TrainDraw {
    TrainDraw { seed: 4, epoch, sequences: (0..count).map(|i| (10 + i / 2, i % 2)).collect() }
}

/// Output rows, and gradients of `<upstream, output>` by name.
fn pass(
    encoder: &dyn Encoder<Cpu>,
    batch: &PatchBatch<Cpu>,
    mode: Mode,
    upstream: &[f32],
) -> (Vec<f32>, Vec<(String, Vec<f32>)>) {
    let y = encoder.encode_taped(batch, mode).unwrap();
    let values = y.as_vec();
    let upstream = from_host(&Cpu::default(), upstream, values.len() / DIM, DIM).unwrap();
    let gradients = (y * upstream).sum().backward();
    let of = |p: &&Param<Cpu>| (p.name.clone(), gradients.get(&p.data).as_vec());
    (values, trained(encoder).iter().map(of).collect())
}

/// The encoder in f64: its patches.
fn encoded(values: &Values, batch: &PatchBatch<Cpu>, draw: Option<&TrainDraw>) -> Matrix {
    tokens(values, batch, draw, |sequence, extra| sequence[extra..].to_vec())
}

/// What `of` takes from the tokens of every sequence, of which so many stand before the patches, sequence by sequence.
fn tokens(
    values: &Values,
    batch: &PatchBatch<Cpu>,
    draw: Option<&TrainDraw>,
    of: impl Fn(Matrix, usize) -> Matrix,
) -> Matrix {
    let pixels = batch.pixels.as_vec();
    let mut out = Vec::new();
    for (sequence, range) in batch.layout.segments.ranges().enumerate() {
        let row = |r: usize| pixels[r * 48..][..48].iter().map(|&v| f64::from(v)).collect();
        let patches = stem(values, &range.clone().map(row).collect());
        let class = values.0.get("cls_token").cloned();
        let mut x: Matrix = class.into_iter().collect();
        x.extend((0..REGISTERS).map(|r| values.row("register_tokens", r, DIM).to_vec()));
        // Patch numbers of the tokens; none for those that are no patches.
        let mut places: Vec<Option<usize>> = vec![None; x.len()];
        for (patch, r) in patches.into_iter().zip(range) {
            let place = batch.layout.positions[r] as usize;
            let none = [0.0; DIM];
            let table = values.0.get("pos_embed").map_or(&none[..], |t| &t[place * DIM..][..DIM]);
            x.push(patch.iter().zip(table).map(|(a, b)| a + b).collect());
            places.push(Some(place));
        }
        let turn = (!values.0.contains_key("pos_embed")).then_some(places.as_slice());
        for block in 0..DEPTH {
            // What drop-path makes of a branch, by the names of its streams.
            let factor = |branch: &str| {
                let rate = 0.4 * block as f64 / (DEPTH - 1) as f64;
                let stream = draw.map(|d| d.stream(&format!("drop_path/{block}/{branch}"), sequence));
                stream.map_or(1.0, |mut s| if s.chance(rate) { 0.0 } else { 1.0 / (1.0 - rate) })
            };
            self_attention(values, &format!("blocks.{block}"), &mut x, turn, [factor("attn"), factor("mlp")]);
        }
        let extra = places.iter().filter(|p| p.is_none()).count();
        out.extend(of(values.norm("norm", &x, EPS), extra));
    }
    out
}

/// Tokens of patches, `(channel, row, column)` each.
fn stem(values: &Values, patches: &Matrix) -> Matrix {
    if values.0.contains_key("patch_embed.whiten.weight") {
        return values.linear("patch_embed.proj", &values.linear("patch_embed.whiten", patches));
    }
    if !values.0.contains_key("patch_embed.conv.0.weight") {
        return values.linear("patch_embed.proj", patches);
    }
    let of_patch = |patch: &Vec<f64>| {
        // Values by row, column, channel.
        let at = |y: usize, x: usize, c: usize| patch[(c * PATCH + y) * PATCH + x];
        let channels = patch.len() / (PATCH * PATCH);
        let mut image: Matrix = (0..PATCH * PATCH)
            .map(|p| (0..channels).map(|c| at(p / PATCH, p % PATCH, c)).collect())
            .collect();
        let mut side = PATCH;
        for layer in 0..PATCH.ilog2() {
            image = convolved(values, layer, &image, side);
            side /= 2;
        }
        values.linear("patch_embed.proj", &image).remove(0)
    };
    patches.iter().map(of_patch).collect()
}

/// A convolution of 3 x 3 with stride 2 and zeros beyond the edges, a norm, a ReLU.
fn convolved(values: &Values, layer: u32, image: &Matrix, side: usize) -> Matrix {
    let zeros = vec![0.0; image[0].len()];
    let place = |y: usize, x: usize| -> Vec<f64> {
        let pixel = |ky: usize, kx: usize| {
            let (y, x) = (2 * y + ky, 2 * x + kx);
            let inside = (1..=side).contains(&y) && (1..=side).contains(&x);
            if inside { &image[(y - 1) * side + x - 1] } else { &zeros }
        };
        (0..9).flat_map(|k| pixel(k / 3, k % 3).clone()).collect()
    };
    let half = side / 2;
    let windows: Matrix = (0..half * half).map(|p| place(p / half, p % half)).collect();
    let out = values.linear(&format!("patch_embed.conv.{layer}"), &windows);
    let out = values.norm(&format!("patch_embed.norm.{layer}"), &out, 1e-6);
    out.into_iter().map(|row| row.into_iter().map(|v| v.max(0.0)).collect()).collect()
}

fn self_attention(
    values: &Values,
    name: &str,
    x: &mut Matrix,
    places: Option<&[Option<usize>]>,
    factors: [f64; 2],
) {
    let at = |part: &str| format!("{name}.{part}");
    let qkv = values.linear(&at("attn.qkv"), &values.norm(&at("norm1"), x, EPS));
    let (mut q, mut k) = (columns(&qkv, 0..DIM), columns(&qkv, DIM..2 * DIM));
    if values.0.contains_key(&at("attn.q_norm.weight")) {
        q = values.norm(&at("attn.q_norm"), &q, EPS);
        k = values.norm(&at("attn.k_norm"), &k, EPS);
    }
    if let Some(places) = places {
        let cols = IMAGE.grid(PATCH).cols;
        (q, k) = (turned(&q, places, HEADS, cols), turned(&k, places, HEADS, cols));
    }
    let mixed = attention(&q, &k, &columns(&qkv, 2 * DIM..3 * DIM), HEADS);
    let branch = values.outer_norm(&at("post_norm1"), EPS, values.linear(&at("attn.proj"), &mixed));
    values.residual(x, &branch, &at("ls1.gamma"), factors[0]);
    let branch =
        values.outer_norm(&at("post_norm2"), EPS, values.mlp(&at("mlp"), &values.norm(&at("norm2"), x, EPS)));
    values.residual(x, &branch, &at("ls2.gamma"), factors[1]);
}

#[test]
fn a_composed_block_without_variants_is_the_fused_one() {
    // So small a rate that nothing is ever dropped, and nothing scaled.
    let (fused, composed) = (built("drop_path: 0"), built("drop_path: 1.0e-12"));
    let mut random = Random::new(1);
    let (sequences, draw) = (sequences(), keys(0, 4));
    let batch = batch(&sequences, &mut random);
    let upstream = random.values(batch.layout.segments.rows() * DIM, 1.0);
    let (expected, slopes) = pass(fused.as_ref(), &batch, Mode::Train(&draw), &upstream);
    let (found, gradients) = pass(composed.as_ref(), &batch, Mode::Train(&draw), &upstream);
    assert_ne!(found, expected, "both are computed in the same way: is the composed one reached?");
    assert_close("output", &found, &expected, 1e-5);
    for ((name, found), (of, expected)) in gradients.iter().zip(&slopes) {
        assert_eq!(name, of);
        assert_close(name, found, expected, 5e-5);
    }
    let evaluated = composed.encode(&batch, &EncodeRequest::OUTPUT).unwrap()[0].as_vec();
    assert_eq!(evaluated, fused.encode(&batch, &EncodeRequest::OUTPUT).unwrap()[0].as_vec());
}

#[test]
fn variants_are_their_formulas_forward_and_backward() {
    let mut random = Random::new(2);
    let (sequences, draw) = (sequences(), keys(0, 4));
    let batch = batch(&sequences, &mut random);
    let upstream = random.values(batch.layout.segments.rows() * DIM, 1.0);
    for variant in EACH.into_iter().chain([ALL]) {
        let encoder = built(variant);
        let values = Values::of(encoder.as_ref());
        let drawn = variant.contains("drop_path").then_some(&draw);
        let (found, gradients) = pass(encoder.as_ref(), &batch, Mode::Train(&draw), &upstream);
        assert_rows(&found, &encoded(&values, &batch, drawn));
        assert_slopes(&values, &gradients, &upstream, |values| encoded(values, &batch, drawn));
        let (evaluated, _) = pass(encoder.as_ref(), &batch, Mode::Eval, &upstream);
        assert_rows(&evaluated, &encoded(&values, &batch, None));
    }
}

#[test]
fn rows_and_layers_can_be_asked_of_composed_blocks() {
    let encoder = built(ALL);
    let (sequences, keep) = (sequences(), [1, 5, 8, 16]);
    let batch = batch(&sequences, &mut Random::new(3));
    let all = encoder.tokens(&batch, None).unwrap().as_vec();
    let wanted: Vec<f32> = keep.iter().flat_map(|&r| all[r as usize * DIM..][..DIM].to_vec()).collect();
    let request = EncodeRequest { keep: Some(&keep), layers: DEPTH, mode: Mode::Eval };
    let layers = encoder.encode(&batch, &request).unwrap();
    assert_eq!(layers.len(), DEPTH);
    assert_eq!(layers[DEPTH - 1].as_vec(), wanted);
    assert_ne!(layers[0].as_vec(), wanted);
    assert_eq!(encoder.tokens(&batch, Some(&keep)).unwrap().as_vec(), wanted);
}

#[test]
fn the_class_token_is_the_first_of_every_sequence() {
    let batch = batch(&sequences(), &mut Random::new(4));
    for variant in ["class_token: true", ALL] {
        let encoder = built(variant);
        let layers = encoder.class_tokens(&batch, DEPTH).unwrap().unwrap();
        assert_eq!(layers.len(), DEPTH);
        let found = layers[DEPTH - 1].as_vec();
        let values = Values::of(encoder.as_ref());
        assert_rows(&found, &tokens(&values, &batch, None, |sequence, _| sequence[..1].to_vec()));
        assert_eq!(encoder.class_tokens(&batch, 1).unwrap().unwrap()[0].as_vec(), found);
        assert!(settings(variant).has_class_token());
    }
    assert!(built("mlp: swiglu").class_tokens(&batch, 1).unwrap().is_none());
    assert!(!settings("mlp: swiglu").has_class_token());
}

#[test]
fn dropped_paths_do_not_depend_on_micro_batches() {
    let encoder = built("drop_path: 0.6");
    let sequences: Vec<Vec<u32>> = sequences().into_iter().cycle().take(12).collect();
    let batch = batch(&sequences, &mut Random::new(4));
    let draw = keys(2, 12);
    let tokens = |batch: &PatchBatch<Cpu>, draw: &TrainDraw| {
        encoder.encode_taped(batch, Mode::Train(draw)).unwrap().as_vec()
    };
    let whole = tokens(&batch, &draw);
    let halves: Vec<f32> = [0..5, 5..12]
        .into_iter()
        .flat_map(|range| {
            let keys = TrainDraw { sequences: draw.sequences[range.clone()].to_vec(), ..draw.clone() };
            tokens(&part(&batch, &sequences, range), &keys)
        })
        .collect();
    assert_close("halves", &halves, &whole, 1e-6);
    let other = tokens(&batch, &keys(3, 12));
    assert_ne!(other, whole, "the next epoch drops the same paths");
    assert!(encoder.encode_taped(&batch, Mode::Train(&keys(2, 11))).is_err(), "a key is missing");
}

#[test]
fn each_branch_of_each_sequence_is_dropped_by_itself() {
    let encoder = built("depth: 2, drop_path: 0.5");
    // 64 times the same patches: the last of two blocks keeps attention, MLP, both, or none.
    let mut batch = batch(&vec![vec![3, 7]; 64], &mut Random::new(6));
    let one = batch.pixels.as_vec()[..96].to_vec();
    batch.pixels = from_host(&Cpu::default(), one.repeat(64), 128, 48).unwrap();
    let tokens = encoder.encode_taped(&batch, Mode::Train(&keys(0, 64))).unwrap().as_vec();
    let bits = |s: &[f32]| s.iter().map(|v| (v * 1e3).round() as i64).collect::<Vec<_>>();
    let distinct: BTreeSet<_> = tokens.chunks(2 * DIM).map(bits).collect();
    assert_eq!(distinct.len(), 4);
}

#[test]
fn parameters_are_counted_named_and_standard_ones_not_written() {
    for variant in EACH.into_iter().chain([ALL, "mlp_ratio: 3"]) {
        let counted = settings(variant).parameters(IMAGE).unwrap();
        let encoder = built(variant);
        let held: usize = encoder.params().iter().map(|p| p.len()).sum();
        assert_eq!(counted, held as u64, "{variant}");
        let resolved = with(variant).resolved();
        let key = variant.split(':').next().unwrap();
        assert!(resolved["encoder"].get(key).is_some(), "{resolved}");
        let again = config::load_stored("again", &with(variant).to_yaml(), &[]);
        assert_eq!(again.unwrap().resolved(), resolved);
    }
    let resolved =
        experiment(&["encoder={ kind: vit, norm: layer_norm, mlp: gelu, drop_path: 0, stem: linear }"])
            .resolved();
    for key in ["norm", "mlp", "qk_norm", "layer_scale", "drop_path", "sandwich_norm", "stem", "class_token"]
    {
        assert!(resolved["encoder"].get(key).is_none(), "{key} is written: {resolved}");
    }
    let names: BTreeSet<String> = built(ALL).params().iter().map(|p| p.name.clone()).collect();
    for name in ["attn.q_norm.weight", "attn.k_norm.weight", "ls1.gamma", "ls2.gamma", "mlp.fc1_x.bias"] {
        assert!(names.contains(&format!("blocks.1.{name}")), "no {name} in {names:?}");
    }
    assert!(!names.contains("norm.bias") && names.contains("norm.weight"));
}

#[test]
fn a_drop_path_that_does_nothing_is_refused() {
    let settings = settings("depth: 2, drop_path: 0.1");
    assert!(settings.check(IMAGE).is_empty());
    let text = include_str!("../../experiments/sweeps/base-shapes.yaml");
    let one = ["encoder={ kind: vit, depth: 1, drop_path: 0.1 }".to_string()];
    let refused = config::load("base-shapes", text, &one, &|_| Err("extends nothing".into()));
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("drop_path: it does nothing in a single block"), "{message}");
}
