//! Predictor `cross_attention` against a plain loop over its predictions.

use dfdx::prelude::{Backward, SumTo, Trace};
use ijepa_run::{kernels::from_host, registry::prelude::*};

use crate::{
    common::Random,
    experiment,
    reference::{Matrix, Values, assert_rows, assert_slopes, attention, columns, turned},
    trained,
};

const DIM: usize = 8;
const DEPTH: usize = 2;
const HEADS: usize = 2;
const EPS: f64 = 1e-5;
const ENCODER: usize = 6;
const TARGET: usize = 5;
const GRID: Grid = Grid { rows: 3, cols: 3 };

/// Name of the input among the parameters, so that its gradient is judged with theirs.
const CONTEXT: &str = "context";

const VARIANTS: [&str; 4] = ["", "norm: rms_norm", "sandwich_norm: true", "positions: rope"];

fn settings(variant: &str) -> Box<dyn PredictorSettings> {
    let settings = format!("predictor={{ kind: cross_attention, dim: 8, depth: 2, heads: 2, {variant} }}");
    experiment(&[&settings]).predictor.object
}

fn built(variant: &str) -> Box<dyn Predictor<Cpu>> {
    let device = Cpu::default();
    let (encoder_dim, target_dim) = (ENCODER, TARGET);
    let context = PredictorContext { device: &device, seed: 3, grid: GRID, encoder_dim, target_dim };
    let mut predictor = settings(variant).cpu(&context).unwrap();
    let mut random = Random::new(9);
    for param in predictor.params_mut() {
        let moved: Vec<f32> =
            param.data.as_vec().iter().zip(random.values(param.len(), 0.2)).map(|(v, r)| v + r).collect();
        param.data.copy_from(&moved);
    }
    predictor
}

/// Three contexts of which one is not asked for, and the last one before the first.
fn plan() -> PredictionPlan {
    let contexts: [&[u32]; 3] = [&[0, 1, 4], &[2], &[3, 8]];
    let of = |context, targets: &[u32]| Prediction { context, targets: targets.to_vec() };
    let predictions = vec![of(2, &[0]), of(2, &[6, 1]), of(0, &[2, 5]), of(0, &[6, 7, 8])];
    PredictionPlan { context: Layout::new(contexts), predictions }
}

/// The predictor in f64: prediction by prediction, as if no other existed.
fn predicted(values: &Values, plan: &PredictionPlan) -> Matrix {
    let mut out = Vec::new();
    let placed = |token: &[f64], patch: u32| -> Vec<f64> {
        let none = [0.0; DIM];
        let table = values.0.get("predictor_pos_embed");
        let place = table.map_or(&none[..], |t| &t[patch as usize * DIM..][..DIM]);
        token.iter().zip(place).map(|(a, b)| a + b).collect()
    };
    for Prediction { context, targets } in &plan.predictions {
        let rows = plan.context.segments.range(*context);
        let seen = rows.clone().map(|r| values.row(CONTEXT, r, ENCODER).to_vec()).collect();
        let is_turned = !values.0.contains_key("predictor_pos_embed");
        let turn = |x: Matrix, patches: &[u32]| {
            let places: Vec<_> = patches.iter().map(|&p| Some(p as usize)).collect();
            if is_turned { turned(&x, &places, HEADS, GRID.cols) } else { x }
        };
        let embedded = values.linear("predictor_embed", &seen);
        let seen: Matrix =
            embedded.iter().zip(rows).map(|(token, r)| placed(token, plan.context.positions[r])).collect();
        let mask = values.row("mask_token", 0, DIM);
        let mut x: Matrix = targets.iter().map(|&patch| placed(mask, patch)).collect();
        for block in 0..DEPTH {
            let at = |part: &str| format!("predictor_blocks.{block}.{part}");
            let kv = values.linear(&at("cross_attn.kv"), &values.norm(&at("norm_context"), &seen, EPS));
            let q = values.linear(&at("cross_attn.q"), &values.norm(&at("norm1"), &x, EPS));
            let k =
                turn(columns(&kv, 0..DIM), &plan.context.positions[plan.context.segments.range(*context)]);
            let mixed = attention(&turn(q, targets), &k, &columns(&kv, DIM..2 * DIM), HEADS);
            let branch = values.linear(&at("cross_attn.proj"), &mixed);
            values.residual(&mut x, &values.outer_norm(&at("post_norm1"), EPS, branch), "", 1.0);
            let branch = values.mlp(&at("mlp"), &values.norm(&at("norm2"), &x, EPS));
            let branch = values.outer_norm(&at("post_norm2"), EPS, branch);
            values.residual(&mut x, &branch, "", 1.0);
        }
        out.extend(values.linear("predictor_proj", &values.norm("predictor_norm", &x, EPS)));
    }
    out
}

#[test]
fn it_is_its_formula_forward_and_backward() {
    VARIANTS.into_iter().for_each(check_formula);
}

fn check_formula(variant: &str) {
    let (predictor, plan) = (built(variant), plan());
    let mut random = Random::new(1);
    let context = random.rows(plan.context.segments.rows(), ENCODER, 1.0);
    let mut values = Values::of(predictor.as_ref());
    values.0.insert(CONTEXT.into(), context.as_vec().into_iter().map(f64::from).collect());
    let y = predictor.predict(context.leaky_trace(), &plan, Mode::Eval).unwrap();
    assert_rows(&y.as_vec(), &predicted(&values, &plan));
    let upstream = random.values(plan.target_rows() * TARGET, 1.0);
    let weight = from_host(&Cpu::default(), &upstream, plan.target_rows(), TARGET).unwrap();
    let gradients = (y * weight).sum().backward();
    let of = |p: &&Param<Cpu>| (p.name.clone(), gradients.get(&p.data).as_vec());
    let mut slopes: Vec<_> = trained(predictor.as_ref()).iter().map(of).collect();
    slopes.push((CONTEXT.into(), gradients.get(&context).as_vec()));
    assert_slopes(&values, &slopes, &upstream, |values| predicted(values, &plan));
}

#[test]
fn parameters_and_operations_are_counted() {
    for variant in VARIANTS {
        let held: usize = built(variant).params().iter().map(|p| p.len()).sum();
        assert_eq!(settings(variant).parameters(GRID, ENCODER, TARGET), Some(held as u64), "{variant}");
    }
    // 3 context tokens, 2 blocks of 1 and 2 targets; width 8, hidden 32.
    let view = View { context: vec![0, 1, 2], targets: vec![vec![3], vec![4, 5]] };
    let (seen, asked, dim, hidden) = (3.0, 3.0, 8.0, 32.0);
    let block = 4.0 * (seen + asked) * dim * dim + 4.0 * asked * seen * dim + 4.0 * asked * dim * hidden;
    let ends = 2.0 * seen * 6.0 * dim + 2.0 * asked * dim * 5.0;
    assert_eq!(settings("").cost(&view, ENCODER, TARGET).unwrap().flop, 2.0 * block + ends);
    assert!(settings("").is_blockwise());
}
