//! The fused CPU operators against their compositions from plain dfdx operations.
//!
//! Both round differently; over sums of up to a few hundred terms f32 results of size one differ by
//! about 1e-6, so 2e-5 of the largest value leaves room for chains of operators and catches any mistake.

mod common;

use common::*;
use dfdx::prelude::*;
use ijepa_registry::tensor::{Flat, Gradients, ModelError, Rows, TapedRows};
use ijepa_run::kernels::{
    AdamWStep, AdamWUpdate, Backend, BlockParams, Clip, Level, MatmulPrecision, MuonStep, MuonUpdate, NONE,
    RowLoss, TableTerm, from_host, limit_level, reference, to_host, widest_level,
};

const TOLERANCE: f32 = 2e-5;
/// What rounding changes of a block's gradients, as a share of the largest (seen: 5e-3).
const ROUNDED_GRADIENT: f32 = 2e-2;

/// Output values and, for a random upstream gradient, the gradients of the named tensors.
struct Outcome {
    y: Vec<f32>,
    gradients: Vec<(String, Vec<f32>)>,
}

/// The gradient that comes to the output.
fn upstream(n: usize, d: usize) -> Vec<f32> {
    Random::new(99).values(n * d, 1.0)
}

fn outcome(y: TapedRows<Cpu>, x: &Rows<Cpu>, params: &[(String, &Flat<Cpu>)]) -> Outcome {
    let values = to_host(&y).unwrap();
    let (n, d) = *y.shape();
    let mut g = (y * from_host(&Cpu::default(), upstream(n, d), n, d).unwrap()).sum().backward();
    let mut gradients = vec![("x".to_string(), g.get_or_alloc_mut(x).unwrap().to_vec())];
    for (name, p) in params {
        gradients.push((name.clone(), g.get_or_alloc_mut(*p).unwrap().to_vec()));
    }
    Outcome { y: values, gradients }
}

fn assert_same(what: &str, fast: &Outcome, slow: &Outcome) {
    assert_close(&format!("{what}: y"), &fast.y, &slow.y, TOLERANCE);
    for ((name, f), (_, s)) in fast.gradients.iter().zip(&slow.gradients) {
        assert_close(&format!("{what}: gradient of {name}"), f, s, TOLERANCE);
    }
}

fn named(blocks: &[BlockParams<Cpu>]) -> Vec<(String, &Flat<Cpu>)> {
    let name = |b: usize, i: usize| format!("tensor {i} of block {b}");
    blocks
        .iter()
        .enumerate()
        .flat_map(|(b, p)| p.tensors().into_iter().enumerate().map(move |(i, t)| (name(b, i), t)))
        .collect()
}

#[test]
fn linear_matches_reference() {
    let mut r = Random::new(1);
    for (n, inputs, outputs) in [(1, 1, 1), (1, 5, 3), (600, 48, 20), (33, 17, 96), (2100, 12, 40)] {
        let (x, w, b) = (r.rows(n, inputs, 1.0), r.flat(inputs * outputs, 0.5), r.flat(outputs, 0.5));
        let params = [("weight".into(), &w), ("bias".into(), &b)];
        let fast = outcome(Cpu::linear(x.leaky_trace(), &w, &b, MatmulPrecision::F32).unwrap(), &x, &params);
        let slow =
            outcome(reference::linear(x.leaky_trace(), &w, &b, MatmulPrecision::F32).unwrap(), &x, &params);
        assert_same(&format!("linear {n}x{inputs}x{outputs}"), &fast, &slow);
        let input = outcome(
            Cpu::linear_of_input(&x, &w, &b, MatmulPrecision::F32, OwnedTape::default()).unwrap(),
            &x,
            &params,
        );
        assert_eq!(input.y, fast.y);
        assert_eq!(input.gradients[1..], fast.gradients[1..]);
        assert!(input.gradients[0].1.iter().all(|v| *v == 0.0), "no gradient for the input");
        assert_eq!(to_host(&Cpu::linear(x, &w, &b, MatmulPrecision::F32).unwrap()).unwrap(), fast.y);
    }
}

/// `a b` of rounded values for matrices given by element, and sums in f64.
fn rounded_product(
    (m, k, n): (usize, usize, usize),
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
) -> Vec<f32> {
    let term = |i, p, j| f64::from(bf16(a(i, p))) * f64::from(bf16(b(p, j)));
    let at = |i, j| (0..k).map(|p| term(i, p, j)).sum::<f64>() as f32;
    (0..m * n).map(|c| at(c / n, c % n)).collect()
}

/// The two orders of sums.
const BF16: [MatmulPrecision; 2] = [MatmulPrecision::Bf16, MatmulPrecision::Bf16Amx];

/// Only inputs are rounded, and each of them: sums are as exact as without.
#[test]
fn a_rounded_linear_map_is_one_of_rounded_values() {
    let mut r = Random::new(21);
    let sizes = [(1, 1, 1), (1, 5, 3), (600, 48, 20), (33, 17, 96), (301, 770, 40)];
    for ((n, inputs, outputs), precision) in sizes.into_iter().flat_map(|s| BF16.map(|p| (s, p))) {
        let (x, w, b) = (r.rows(n, inputs, 1.0), r.flat(inputs * outputs, 0.5), r.flat(outputs, 0.5));
        let params = [("weight".into(), &w), ("bias".into(), &b)];
        let found = outcome(Cpu::linear(x.leaky_trace(), &w, &b, precision).unwrap(), &x, &params);
        let (xv, wv, dy) = (to_host(&x).unwrap(), host(&w), upstream(n, outputs));
        let (xv, wv, dy) = (|i, p| xv[i * inputs + p], |o, p| wv[o * inputs + p], |i, o| dy[i * outputs + o]);
        let y = rounded_product((n, inputs, outputs), xv, |p, o| wv(o, p));
        let bias = host(&b);
        let expected = Outcome {
            y: y.iter().enumerate().map(|(i, y)| y + bias[i % outputs]).collect(),
            gradients: vec![
                ("x".into(), rounded_product((n, outputs, inputs), dy, wv)),
                ("weight".into(), rounded_product((outputs, n, inputs), |o, i| dy(i, o), xv)),
                ("bias".into(), (0..outputs).map(|o| (0..n).map(|i| dy(i, o)).sum()).collect()),
            ],
        };
        assert_same(&format!("{precision:?} linear {n}x{inputs}x{outputs}"), &found, &expected);
    }
}

/// Root of the mean squared difference.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let squares: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (squares / a.len() as f64).sqrt()
}

/// Forward, values that fast and slow round to different neighbours, because they differ in their last
/// bits before, are few: the distance is far below what rounding does. The reference does not round what
/// comes backward, which changes each value by up to 2^-9.
#[test]
fn rounded_blocks_match_reference() {
    let mut r = Random::new(22);
    let cases = block_cases().into_iter().flat_map(|case| BF16.map(|precision| (case.clone(), precision)));
    for ((lengths, d, heads, hidden, keep), precision) in cases {
        let segments = segments(&lengths);
        let x = r.rows(segments.rows(), d, 1.0);
        let exact = [r.block(d, heads, hidden)];
        let blocks = [BlockParams { precision, ..exact[0].clone() }];
        let y = Cpu::blocks(x.leaky_trace(), &blocks, &segments, keep.as_deref()).unwrap();
        let fast = outcome(y, &x, &named(&blocks));
        let y = reference::blocks(x.leaky_trace(), &blocks, &segments, keep.as_deref()).unwrap();
        let slow = outcome(y, &x, &named(&blocks));
        let what = format!("{precision:?}, {lengths:?}, d {d}, heads {heads}, keep {keep:?}");
        let unrounded = Cpu::blocks(x.clone(), &exact, &segments, keep.as_deref()).unwrap();
        let (error, effect) = (distance(&fast.y, &slow.y), distance(&to_host(&unrounded).unwrap(), &slow.y));
        assert!(error < 0.1 * effect, "{what}: {error:e} off, where rounding does {effect:e}");
        for ((name, f), (_, s)) in fast.gradients.iter().zip(&slow.gradients) {
            assert_close(&format!("{what}: gradient of {name}"), f, s, ROUNDED_GRADIENT);
        }
    }
}

#[test]
fn layer_norm_matches_reference() {
    let mut r = Random::new(2);
    for (n, d) in [(1, 8), (5, 30), (700, 33), (3, 192)] {
        let (x, g, b) = (r.rows(n, d, 2.0), r.flat(d, 1.0), r.flat(d, 1.0));
        let params = [("gain".into(), &g), ("bias".into(), &b)];
        let fast = outcome(Cpu::layer_norm(x.leaky_trace(), &g, &b, 1e-6).unwrap(), &x, &params);
        let slow = outcome(reference::layer_norm(x.leaky_trace(), &g, &b, 1e-6).unwrap(), &x, &params);
        assert_same(&format!("layer norm {n}x{d}"), &fast, &slow);
        let fast = to_host(&Cpu::standardize(&x, 1e-5).unwrap()).unwrap();
        let slow = to_host(&reference::standardize(&x, 1e-5).unwrap()).unwrap();
        assert_close("standardize", &fast, &slow, TOLERANCE);
    }
}

#[test]
fn blocks_match_reference() {
    let mut r = Random::new(3);
    for (lengths, d, heads, hidden, keep) in block_cases() {
        let segments = segments(&lengths);
        let x = r.rows(segments.rows(), d, 1.0);
        let blocks = [r.block(d, heads, hidden), r.block(d, heads, hidden)];
        for depth in 1..=2 {
            let blocks = &blocks[..depth];
            let what = format!("{depth} blocks, {lengths:?}, d {d}, heads {heads}, keep {keep:?}");
            let y = Cpu::blocks(x.leaky_trace(), blocks, &segments, keep.as_deref()).unwrap();
            let fast = outcome(y, &x, &named(blocks));
            let y = reference::blocks(x.leaky_trace(), blocks, &segments, keep.as_deref()).unwrap();
            let slow = outcome(y, &x, &named(blocks));
            assert_same(&what, &fast, &slow);
            let untaped = Cpu::blocks(x.clone(), blocks, &segments, keep.as_deref()).unwrap();
            assert_eq!(to_host(&untaped).unwrap(), fast.y, "{what}: without a tape");
        }
    }
}

#[test]
fn a_stack_is_its_blocks_in_turn() {
    let mut r = Random::new(4);
    let segments = segments(&[200, 100, 31]);
    let (x, blocks) = (r.rows(331, 24, 1.0), [r.block(24, 2, 48), r.block(24, 2, 48)]);
    let keep = [3u32, 250, 330];
    let at_once = Cpu::blocks(x.leaky_trace(), &blocks, &segments, Some(&keep)).unwrap();
    let first = Cpu::block(x.leaky_trace(), &blocks[0], &segments, None).unwrap();
    let in_turn = Cpu::block(first, &blocks[1], &segments, Some(&keep)).unwrap();
    let (a, b) = (outcome(at_once, &x, &named(&blocks)), outcome(in_turn, &x, &named(&blocks)));
    assert_eq!(a.y, b.y);
    assert_eq!(a.gradients, b.gradients);
}

/// Fails unless backward from the rows `y`, of which there are none, leaves only zeros.
fn assert_no_gradient(y: TapedRows<Cpu>, x: &Rows<Cpu>, block: &BlockParams<Cpu>) {
    // One row of zeros on the same tape: dfdx cannot sum nothing.
    let y = Cpu::gather_sum(y, &[NONE], &[]).unwrap();
    let found = outcome(y, x, &named(std::slice::from_ref(block)));
    assert!(found.gradients.iter().all(|(_, g)| g.iter().all(|v| *v == 0.0)));
}

#[test]
fn keep_of_nothing_and_of_everything() {
    let mut r = Random::new(5);
    let segments = segments(&[4, 6]);
    let (x, block) = (r.rows(10, 16, 1.0), r.block(16, 2, 32));
    let none = Cpu::block(x.leaky_trace(), &block, &segments, Some(&[])).unwrap();
    assert_eq!(*none.shape(), (0, 16));
    assert_no_gradient(none, &x, &block);
    let every: Vec<u32> = (0..10).collect();
    let kept = Cpu::block(x.clone(), &block, &segments, Some(&every)).unwrap();
    let all = Cpu::block(x, &block, &segments, None).unwrap();
    assert_eq!(to_host(&kept).unwrap(), to_host(&all).unwrap());
}

#[test]
fn an_empty_batch_has_no_gradient() {
    let mut r = Random::new(11);
    // Fills the recycled memory with something that must not leak into the gradients.
    let block = r.block(16, 2, 32);
    Cpu::block(r.rows(9, 16, 1.0).leaky_traced(), &block, &segments(&[9]), None).unwrap().sum().backward();
    let x = r.rows(0, 16, 1.0);
    let y = Cpu::block(x.leaky_trace(), &block, &segments(&[]), None).unwrap();
    assert_no_gradient(y, &x, &block);
}

#[test]
fn gather_sum_matches_reference() {
    let mut r = Random::new(6);
    for (n, d, out) in [(1, 3, 1), (20, 16, 700), (900, 10, 1500)] {
        let x = r.rows(n, d, 1.0);
        let (positions, fixed, mask) = (r.flat(64 * d, 1.0), r.flat(9 * d, 1.0), r.flat(d, 1.0));
        let mut index = |end: usize| -> Vec<u32> {
            (0..out).map(|_| r.below(end + 1)).map(|i| if i == end { NONE } else { i as u32 }).collect()
        };
        let (ix, ip, ifx, im) = (index(n), index(64), index(9), index(1));
        let tables = [
            TableTerm { table: &positions, index: &ip, trained: true },
            TableTerm { table: &fixed, index: &ifx, trained: false },
            TableTerm { table: &mask, index: &im, trained: true },
        ];
        let params = [("positions".into(), &positions), ("fixed".into(), &fixed), ("mask".into(), &mask)];
        let fast = outcome(Cpu::gather_sum(x.leaky_trace(), &ix, &tables).unwrap(), &x, &params);
        let slow = outcome(reference::gather_sum(x.leaky_trace(), &ix, &tables).unwrap(), &x, &params);
        assert_same(&format!("gather {n}x{d} to {out}"), &fast, &slow);
        assert!(fast.gradients[2].1.iter().all(|v| *v == 0.0), "no gradient for a fixed table");
    }
}

#[test]
fn losses_match_reference() {
    let mut r = Random::new(7);
    for (n, d) in [(1, 3), (19, 10), (1000, 24)] {
        let (p, t) = (r.rows(n, d, 2.0), r.rows(n, d, 2.0));
        let losses =
            [RowLoss::L2, RowLoss::SmoothL1 { beta: 1.0 }, RowLoss::SmoothL1 { beta: 0.3 }, RowLoss::Cosine];
        for loss in losses {
            let fast = Cpu::loss(loss, p.leaky_trace(), &t).unwrap();
            let slow = reference::loss(loss, p.leaky_trace(), &t).unwrap();
            assert_close(&format!("{loss:?}"), &[fast.array()], &[slow.array()], TOLERANCE);
            let gradient = |l: Tensor<(), f32, Cpu, OwnedTape<f32, Cpu>>| l.backward().get(&p).as_vec();
            assert_close(&format!("gradient of {loss:?}"), &gradient(fast), &gradient(slow), TOLERANCE);
        }
    }
}

#[test]
fn optimizer_matches_reference() {
    let mut r = Random::new(8);
    let n = 70_001;
    let start = r.values(n, 1.0);
    let steps: Vec<Vec<f32>> = (0..3).map(|_| r.values(n, 0.1)).collect();
    let shadow = r.values(n, 1.0);
    type Update = fn(AdamWUpdate<'_, Cpu>, &mut Gradients<f32, Cpu>) -> Result<(), ModelError>;
    let run = |update: Update| {
        let mut p = flat(start.clone());
        let (mut m, mut v, mut f) = (flat(vec![0.0; n]), flat(vec![0.0; n]), flat(shadow.clone()));
        for (i, grad) in steps.iter().enumerate() {
            let step = AdamWStep {
                lr: 1e-3,
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                weight_decay: 0.05,
                step: i as u64 + 1,
            };
            let mut g = Gradients::leaky();
            **g.get_or_alloc_mut(&p).unwrap() = grad.clone();
            let shadow = Some(&mut f);
            update(AdamWUpdate { param: &mut p, m: &mut m, v: &mut v, step, shadow }, &mut g).unwrap();
        }
        [host(&p), host(&m), host(&v), host(&f)]
    };
    // A norm of 3 that is clipped to half of it.
    let clipped: Update = |update, g| {
        let norm = Cpu::default().tensor_from_vec(vec![3.0], ());
        Cpu::adamw(&mut [update], g, Some(&Clip { limit: 0.5 * (3.0 + 1e-6), norm: &norm }), 0.9)
    };
    let whole: Update = |update, g| Cpu::adamw(&mut [update], g, None, 0.9);
    for (what, fast, slow) in [
        ("clipped", run(clipped), run(|u, g| reference::adamw(u, g, 0.5, 0.9))),
        ("not clipped", run(whole), run(|u, g| reference::adamw(u, g, 1.0, 0.9))),
    ] {
        for (fast, slow) in fast.iter().zip(&slow) {
            assert_close(&format!("adamw, {what}"), fast, slow, 1e-6);
        }
    }
    let mut teacher = flat(start.clone());
    let mut slow = flat(start.clone());
    Cpu::ema(&mut [(&mut teacher, &flat(steps[0].clone()))], 0.996).unwrap();
    reference::ema(&mut slow, &flat(steps[0].clone()), 0.996).unwrap();
    assert_close("ema", &host(&teacher), &host(&slow), 1e-6);
    let mut g = Gradients::leaky();
    **g.get_or_alloc_mut(&teacher).unwrap() = steps[1].clone();
    **g.get_or_alloc_mut(&slow).unwrap() = steps[2].clone();
    let exact = steps[1..].iter().flatten().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let mut norm = |params: &[&Flat<Cpu>]| Cpu::gradient_norm(params, &mut g).unwrap();
    let (both, missing) = (norm(&[&teacher, &slow]), norm(&[&flat(vec![1.0])]));
    let loss = Cpu::default().tensor_from_vec(vec![0.1f32], ());
    let read = Cpu::read(&[&loss], &[&both, &missing]).unwrap();
    assert_eq!((read[0], read[2]), (f64::from(0.1f32), 0.0), "missing gradient");
    assert!((read[1] / exact - 1.0).abs() < 1e-12);
}

#[test]
fn muon_matches_reference() {
    let mut r = Random::new(18);
    let looking = MuonStep { momentum: 0.95, nesterov: true, iterations: 5 };
    for (shape, step) in [
        ((30, 70), looking),
        ((70, 30), looking),
        ((40, 40), MuonStep { nesterov: false, ..looking }),
        ((1, 5), MuonStep { iterations: 2, ..looking }),
    ] {
        let n = shape.0 * shape.1;
        let start = r.values(n, 1.0);
        let gradients: Vec<Vec<f32>> = (0..3).map(|_| r.values(n, 0.1)).collect();
        type Update = fn(MuonUpdate<'_, Cpu>, &mut Gradients<f32, Cpu>, &MuonStep) -> Result<(), ModelError>;
        let run = |update: Update| {
            let (mut param, mut buffer) = (flat(start.clone()), flat(vec![0.0; n]));
            for gradient in &gradients {
                let mut g = Gradients::leaky();
                **g.get_or_alloc_mut(&param).unwrap() = gradient.clone();
                let (decay, rate, precision) = (0.99, 0.3, MatmulPrecision::F32);
                let (param, buffer) = (&mut param, &mut buffer);
                update(MuonUpdate { param, shape, buffer, decay, rate, precision }, &mut g, &step).unwrap();
            }
            [host(&param), host(&buffer)]
        };
        let fast = run(|update, g, step| Cpu::muon(&mut [update], g, step));
        for (fast, slow) in fast.iter().zip(&run(reference::muon)) {
            assert_close(&format!("muon {shape:?}"), fast, slow, 1e-4);
        }
    }
}

#[test]
fn a_matrix_without_gradient_only_decays() {
    let (mut param, mut buffer) = (flat(vec![2.0; 6]), flat(vec![0.0; 6]));
    let (shape, precision) = ((2, 3), MatmulPrecision::F32);
    let (p, b) = (&mut param, &mut buffer);
    let update = MuonUpdate { param: p, shape, buffer: b, decay: 0.5, rate: 0.3, precision };
    let step = MuonStep { momentum: 0.95, nesterov: true, iterations: 5 };
    Cpu::muon(&mut [update], &mut Gradients::leaky(), &step).unwrap();
    assert_eq!((host(&param), host(&buffer)), (vec![1.0; 6], vec![0.0; 6]));
    let (param, buffer) = (&mut param, &mut buffer);
    let wrong = MuonUpdate { param, shape: (2, 2), buffer, decay: 1.0, rate: 0.3, precision };
    let error = Cpu::muon(&mut [wrong], &mut Gradients::leaky(), &step).unwrap_err().to_string();
    assert!(error.contains("a matrix of 6 values with a buffer of 6 as 2 x 2"), "{error}");
}

#[test]
fn only_norms_above_the_limit_are_clipped() {
    let norm = Cpu::default().tensor_from_vec(vec![4.0], ());
    let clip = Clip { limit: 2.0, norm: &norm };
    assert_eq!([0.0, 1.0, f64::NAN].map(|n| clip.factor(n)), [1.0; 3]);
    assert!((clip.factor(4.0) - 0.5).abs() < 1e-6 && clip.factor(f64::INFINITY) == 0.0);
}

/// Every operator once, forward and backward, on sequences of `length`; all results.
fn everything(sequences: usize, length: usize, precision: MatmulPrecision) -> Vec<Vec<f32>> {
    let n = sequences * length;
    let segments = segments(&vec![length; sequences]);
    let keep: Vec<u32> = (0..n as u32).filter(|i| *i as usize % length >= 11).collect();
    let out = keep.len();
    let mut r = Random::new(9);
    let mut block = || BlockParams { precision, ..r.block(40, 2, 72) };
    let blocks = [block(), block()];
    let x = r.rows(n, 40, 1.0);
    let (w, b) = (r.flat(40 * 40, 0.3), r.flat(40, 0.3));
    let y = Cpu::linear(x.leaky_trace(), &w, &b, precision).unwrap();
    let y = Cpu::blocks(y, &blocks, &segments, Some(&keep)).unwrap();
    let y = Cpu::layer_norm(y, &blocks[0].norm1_weight, &blocks[0].norm1_bias, 1e-6).unwrap();
    let index: Vec<u32> = (0..out).map(|i| (i * 7 % out) as u32).collect();
    let table = TableTerm { table: &b, index: &vec![0; out], trained: true };
    let y = Cpu::gather_sum(y, &index, &[table]).unwrap();
    let target = Cpu::standardize(&r.rows(out, 40, 1.0), 1e-6).unwrap();
    let loss = Cpu::loss(RowLoss::L2, y, &target).unwrap();
    let value = loss.array();
    let mut g = loss.backward();
    let mut all = vec![vec![value], g.get(&x).as_vec(), g.get(&w).as_vec(), g.get(&b).as_vec()];
    for t in blocks.iter().flat_map(|p| p.tensors()) {
        all.push(g.get_or_alloc_mut(t).unwrap().to_vec());
    }
    all
}

#[test]
fn bits_do_not_depend_on_threads() {
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    for precision in [MatmulPrecision::F32, MatmulPrecision::Bf16, MatmulPrecision::Bf16Amx] {
        let of = |threads| pool(threads).install(|| everything(140, 23, precision));
        let expected = of(1);
        for threads in [1, 2, 3] {
            assert!(of(threads) == expected, "{threads} threads, {precision:?}");
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_instruction_set() {
    for precision in [MatmulPrecision::F32, MatmulPrecision::Bf16, MatmulPrecision::Bf16Amx] {
        limit_level(widest_level());
        let expected = everything(9, 23, precision);
        for level in Level::ALL {
            let used = limit_level(level);
            assert!(everything(9, 23, precision) == expected, "{used:?}, {precision:?}");
        }
    }
}

#[test]
fn misfits_are_errors() {
    let mut r = Random::new(10);
    let (x, block) = (r.rows(6, 8, 1.0), r.block(8, 2, 16));
    let fails = |lengths: &[usize], keep: Option<&[u32]>| {
        Cpu::block(x.clone(), &block, &segments(lengths), keep).is_err()
    };
    assert!(!fails(&[2, 4], Some(&[0, 5])));
    assert!(fails(&[2, 3], None));
    assert!(fails(&[2, 4], Some(&[1, 1])));
    assert!(fails(&[2, 4], Some(&[6])));
    assert!(Cpu::linear(x.clone(), &r.flat(9, 1.0), &r.flat(2, 1.0), MatmulPrecision::F32).is_err());
    assert!(Cpu::gather_sum(x.clone(), &[6], &[]).is_err());
    assert!(Cpu::loss(RowLoss::L2, x.leaky_trace(), &r.rows(5, 8, 1.0)).is_err());
    assert!(from_host(&Cpu::default(), vec![0.0; 5], 2, 3).is_err());
}
