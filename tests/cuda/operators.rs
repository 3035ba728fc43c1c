//! Every operator on the device against the CPU's, values and gradients.
//!
//! Both are f32 and add in different orders; over sums of a few hundred terms results of size one
//! differ by about 1e-6, so that 5e-5 of the largest value leaves room for chains of operators.

use cuda_shim::null::take_counts;
use dfdx::prelude::*;
use ijepa_registry::tensor::{Flat, Gradients, ModelError, Rows, TapedRows};
use ijepa_run::kernels::{
    AdamWStep, AdamWUpdate, Backend, BlockParams, Clip, MatmulPrecision, MuonStep, MuonUpdate, NONE,
    PredictionStats, RowLoss, TableTerm, from_host, keep_gradients, to_host,
};

use crate::common::{BlockCase, Random, assert_close, block_cases, segments};
use crate::emulator::{computing_device, run_backwards};

const TOLERANCE: f32 = 5e-5;

/// Named values.
pub type Values = Vec<(String, Vec<f32>)>;

/// Inputs made of the same numbers on any device.
pub struct Inputs<D: Backend> {
    pub device: D,
    pub random: Random,
}

impl<D: Backend> Inputs<D> {
    pub fn new(device: &D, seed: u64) -> Self {
        Inputs { device: device.clone(), random: Random::new(seed) }
    }
    pub fn rows(&mut self, n: usize, d: usize) -> Rows<D> {
        from_host(&self.device, self.random.values(n * d, 1.0), n, d).unwrap()
    }
    pub fn flat(&mut self, n: usize, size: f32) -> Flat<D> {
        let values = self.random.values(n, size);
        self.device.tensor_from_vec(values, (n,))
    }
    pub fn block(&mut self, d: usize, heads: usize, hidden: usize) -> BlockParams<D> {
        self.rounding_block(d, heads, hidden, MatmulPrecision::F32)
    }
    pub fn rounding_block(
        &mut self,
        d: usize,
        heads: usize,
        hidden: usize,
        precision: MatmulPrecision,
    ) -> BlockParams<D> {
        let block = self.random.block(d, heads, hidden);
        let here = |t: &Flat<Cpu>| self.device.tensor_from_vec(t.as_vec(), (t.shape().0,));
        BlockParams::from_tensors(heads, 1e-6, precision, block.tensors().map(here))
    }
    /// Output values and, of a squared distance to some target, the gradients of the tensors.
    fn outcome(&mut self, y: TapedRows<D>, x: &Rows<D>, params: &[&Flat<D>]) -> Values {
        let (n, d) = *y.shape();
        let mut values = vec![("y".to_string(), to_host(&y).unwrap())];
        let target = self.rows(n, d);
        let loss = D::loss(RowLoss::L2, y, &target).unwrap();
        let mut gradients = loss.try_backward().map_err(ModelError::from_debug).unwrap();
        values.push(("gradient of x".into(), gradient(&mut gradients, x)));
        for (i, p) in params.iter().enumerate() {
            values.push((format!("gradient of parameter {i}"), gradient(&mut gradients, *p)));
        }
        values
    }
}

/// Zeros if nothing reached the tensor.
pub fn gradient<S: Shape, D: Backend>(g: &mut Gradients<f32, D>, t: &Tensor<S, f32, D>) -> Vec<f32> {
    g.try_alloc_for(t).map_err(ModelError::from_debug).unwrap();
    g.get(t).as_vec()
}

pub fn assert_same(what: &str, found: &Values, expected: &Values) {
    for ((name, f), (_, e)) in found.iter().zip(expected) {
        assert_close(&format!("{what}: {name}"), f, e, TOLERANCE);
    }
}

fn linear<D: Backend>(device: &D, (n, inputs, outputs): (usize, usize, usize)) -> Values {
    let mut r = Inputs::new(device, 1);
    let (x, w, b) = (r.rows(n, inputs), r.flat(inputs * outputs, 0.5), r.flat(outputs, 0.5));
    let y = D::linear(x.leaky_trace(), &w, &b, MatmulPrecision::F32).unwrap();
    let mut values = r.outcome(y, &x, &[&w, &b]);
    let y = D::linear_of_input(&x, &w, &b, MatmulPrecision::F32, OwnedTape::default()).unwrap();
    values.extend(r.outcome(y, &x, &[&w, &b]));
    values
}

#[test]
fn linear_is_that_of_the_cpu() {
    let turn = computing_device();
    for sizes in [(1, 1, 1), (1, 5, 3), (70, 48, 20), (33, 17, 96), (300, 12, 40)] {
        assert_same(
            &format!("linear {sizes:?}"),
            &linear(&turn.cuda, sizes),
            &linear(&Cpu::default(), sizes),
        );
    }
}

fn norm<D: Backend>(device: &D, (n, d): (usize, usize)) -> Values {
    let mut r = Inputs::new(device, 2);
    let (x, g, b) = (r.rows(n, d), r.flat(d, 1.0), r.flat(d, 1.0));
    let plain = to_host(&D::standardize(&x, 1e-5).unwrap()).unwrap();
    let y = D::layer_norm(x.leaky_trace(), &g, &b, 1e-6).unwrap();
    let mut values = r.outcome(y, &x, &[&g, &b]);
    values.push(("standardized".into(), plain));
    values
}

#[test]
fn layer_norm_is_that_of_the_cpu() {
    let turn = computing_device();
    for sizes in [(1, 8), (5, 30), (200, 33), (3, 192)] {
        assert_same(
            &format!("layer norm {sizes:?}"),
            &norm(&turn.cuda, sizes),
            &norm(&Cpu::default(), sizes),
        );
    }
}

fn blocks<D: Backend>(device: &D, case: &BlockCase, depth: usize) -> Values {
    rounding_blocks(device, case, depth, MatmulPrecision::F32)
}

fn rounding_blocks<D: Backend>(
    device: &D,
    (lengths, d, heads, hidden, keep): &BlockCase,
    depth: usize,
    precision: MatmulPrecision,
) -> Values {
    let mut r = Inputs::new(device, 3);
    let segments = segments(lengths);
    let x = r.rows(segments.rows(), *d);
    let blocks: Vec<_> = (0..depth).map(|_| r.rounding_block(*d, *heads, *hidden, precision)).collect();
    let untaped = D::blocks(x.clone(), &blocks, &segments, keep.as_deref()).unwrap();
    let y = D::blocks(x.leaky_trace(), &blocks, &segments, keep.as_deref()).unwrap();
    let params: Vec<_> = blocks.iter().flat_map(|b| b.tensors()).collect();
    let mut values = r.outcome(y, &x, &params);
    values.push(("without a tape".into(), to_host(&untaped).unwrap()));
    values
}

#[test]
fn blocks_are_those_of_the_cpu() {
    let turn = computing_device();
    let mut cases = block_cases();
    // Every size of head that has kernels of its own, and sizes between.
    cases.push((vec![40, 3], 128, 2, 64, Some(vec![1, 2, 39, 42])));
    cases.push((vec![33], 96, 1, 32, None));
    cases.push((vec![65], 80, 1, 32, None));
    for case in &cases {
        for depth in 1..=2 {
            let what = format!("{depth} blocks {case:?}");
            assert_same(&what, &blocks(&turn.cuda, case, depth), &blocks(&Cpu::default(), case, depth));
        }
    }
}

/// Operands of products are kept in bfloat16 on the device, attention's among them, which the CPU multiplies in f32;
/// TF32 is f32 there. Each number is rounded to 8 or 11 bits, and sums of them fall into step: a few times 2^-8 or
/// 2^-10 of the largest value.
#[test]
fn rounded_blocks_are_near_those_of_the_cpu() {
    let turn = computing_device();
    let mut cases = block_cases();
    cases.push((vec![40, 3], 128, 2, 64, Some(vec![1, 2, 39, 42])));
    cases.push((vec![65], 80, 1, 32, None));
    for case in &cases {
        for (precision, tolerance) in [(MatmulPrecision::Tf32, 5e-3), (MatmulPrecision::Bf16, 3e-2)] {
            let exact = blocks(&Cpu::default(), case, 2);
            let found = rounding_blocks(&turn.cuda, case, 2, precision);
            let expected = rounding_blocks(&Cpu::default(), case, 2, precision);
            for ((name, f), (_, e)) in found.iter().zip(&expected) {
                assert_close(&format!("{precision:?} {case:?}: {name}"), f, e, tolerance);
            }
            assert!(turn.gpu || found != exact, "{precision:?} rounds");
        }
    }
}

#[test]
fn heads_that_are_too_large_are_refused() {
    let turn = crate::emulator::device();
    let mut r = Inputs::new(&turn.cuda, 4);
    let (x, block) = (r.rows(3, 128), r.block(128, 1, 8));
    let error = Cuda::block(x, &block, &segments(&[3]), None).unwrap_err().to_string();
    assert!(error.contains("heads of 128 columns") && error.contains("96"), "{error}");
}

#[test]
fn no_rows_at_all() {
    let turn = crate::emulator::device();
    let mut r = Inputs::new(&turn.cuda, 5);
    for precision in [MatmulPrecision::F32, MatmulPrecision::Bf16] {
        let (x, block) = (r.rows(9, 16), r.rounding_block(16, 2, 32, precision));
        let none = Cuda::block(x.leaky_trace(), &block, &segments(&[4, 5]), Some(&[])).unwrap();
        assert_eq!(*none.shape(), (0, 16));
        let y = Cuda::gather_sum(none, &[NONE], &[]).unwrap();
        let values = r.outcome(y, &x, &block.tensors());
        assert!(values[1..].iter().all(|(_, g)| g.iter().all(|v| *v == 0.0)));
    }
    let block = r.block(16, 2, 32);
    let empty = r.rows(0, 16);
    let y = Cuda::block(empty, &block, &segments(&[]), None).unwrap();
    assert_eq!(*y.shape(), (0, 16));
}

fn gather<D: Backend>(device: &D, (n, d, out): (usize, usize, usize)) -> Values {
    let mut r = Inputs::new(device, 6);
    let (x, table, mask, fixed) = (r.rows(n, d), r.flat(64 * d, 1.0), r.flat(d, 1.0), r.flat(9 * d, 1.0));
    // One in four adds nothing; thousands go to the mask's only row.
    let mut index = |end: usize| -> Vec<u32> {
        let pick = |r: &mut Random| if r.below(4) == 0 { NONE } else { r.below(end) as u32 };
        (0..out).map(|_| pick(&mut r.random)).collect()
    };
    let indices = [index(n), index(64), index(1), index(9)];
    let term = |table, i: usize, trained| TableTerm { table, index: &indices[i], trained };
    let tables = [term(&table, 1, true), term(&mask, 2, true), term(&fixed, 3, false)];
    let y = D::gather_sum(x.leaky_trace(), &indices[0], &tables).unwrap();
    r.outcome(y, &x, &[&table, &mask])
}

#[test]
fn gather_is_that_of_the_cpu() {
    let turn = computing_device();
    for sizes in [(1, 3, 1), (20, 16, 700), (900, 10, 5000)] {
        assert_same(
            &format!("gather {sizes:?}"),
            &gather(&turn.cuda, sizes),
            &gather(&Cpu::default(), sizes),
        );
    }
}

fn loss<D: Backend>(device: &D, (n, d): (usize, usize), loss: RowLoss) -> Values {
    let mut r = Inputs::new(device, 7);
    let (p, t) = (r.rows(n, d), r.rows(n, d));
    let value = D::loss(loss, p.leaky_trace(), &t).unwrap();
    let number = value.as_vec();
    let mut gradients = value.try_backward().map_err(ModelError::from_debug).unwrap();
    vec![("value".into(), number), ("gradient".into(), gradient(&mut gradients, &p))]
}

#[test]
fn losses_are_those_of_the_cpu() {
    let turn = computing_device();
    let losses =
        [RowLoss::L2, RowLoss::SmoothL1 { beta: 1.0 }, RowLoss::SmoothL1 { beta: 0.3 }, RowLoss::Cosine];
    for sizes in [(1, 3), (19, 10), (1000, 24)] {
        for kind in losses {
            let what = format!("{kind:?} {sizes:?}");
            assert_same(&what, &loss(&turn.cuda, sizes, kind), &loss(&Cpu::default(), sizes, kind));
        }
    }
}

fn updates<D: Backend>(device: &D) -> Values {
    let mut r = Inputs::new(device, 8);
    let mut values = Values::new();
    for (i, n) in [1usize, 4095, 4096, 9000].into_iter().enumerate() {
        let (mut p, mut m, mut v) = (r.flat(n, 1.0), r.flat(n, 0.0), r.flat(n, 0.0));
        let mut teacher = r.flat(n, 1.0);
        for step in 1..=3 {
            // The gradient of a parameter through a table that is picked once.
            let nothing = r.rows(1, n);
            let table = TableTerm { table: &p, index: &[0], trained: true };
            let y = D::gather_sum(nothing.leaky_trace(), &[0], &[table]).unwrap();
            let target = r.rows(1, n);
            let loss = D::loss(RowLoss::L2, y, &target).unwrap();
            let mut g = loss.try_backward().map_err(ModelError::from_debug).unwrap();
            let norm = D::gradient_norm(&[&p], &mut g).unwrap();
            let number = D::read(&[], &[&norm]).unwrap()[0];
            // Not clipped, clipped to about half, and far below the limit.
            let limit = [None, Some(0.5 * number), Some(1e6)][step as usize - 1];
            let clip = limit.map(|limit| Clip { limit, norm: &norm });
            let weight_decay = 0.1 * i as f64;
            let step = AdamWStep { lr: 0.01, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay, step };
            let (shadow, together) = (&mut teacher, i % 2 == 0);
            let shadow = together.then_some(shadow);
            let update = AdamWUpdate { param: &mut p, m: &mut m, v: &mut v, step, shadow };
            D::adamw(&mut [update], &mut g, clip.as_ref(), 0.9).unwrap();
            if !together {
                D::ema(&mut [(&mut teacher, &p)], 0.9).unwrap();
            }
            values.push((format!("norm of {n}"), vec![number as f32]));
        }
        for (name, t) in [("parameter", &p), ("first", &m), ("second", &v), ("teacher", &teacher)] {
            values.push((format!("{name} of {n}"), t.as_vec()));
        }
    }
    values
}

/// Three steps of five parameters of one call, some without decay, some with shadows, one with a learning
/// rate of its own; the gradients' memory is used again.
fn many_updates<D: Backend>(device: &D) -> Values {
    let mut r = Inputs::new(device, 9);
    let n = 300;
    let mut all: Vec<_> = (0..5).map(|_| [1.0, 0.0, 0.0, 1.0].map(|spread| r.flat(n, spread))).collect();
    let mut gradients = Gradients::leaky();
    for step in 1..=3 {
        let params: Vec<_> = all.iter().map(|[p, ..]| p).collect();
        D::clear(&params, &mut gradients).unwrap();
        let term = |table| TableTerm { table, index: &[0], trained: true };
        let tables: Vec<_> = params.into_iter().map(term).collect();
        let x = r.rows(1, n).trace(gradients);
        let loss = D::loss(RowLoss::L2, D::gather_sum(x, &[0], &tables).unwrap(), &r.rows(1, n)).unwrap();
        gradients = loss.try_backward().map_err(ModelError::from_debug).unwrap();
        let settings = [(0.01, 0.0), (0.01, 0.3), (0.02, 0.3), (0.01, 0.3), (0.01, 0.1)];
        let mut updates = Vec::new();
        for (i, ([param, m, v, shadow], (lr, weight_decay))) in all.iter_mut().zip(settings).enumerate() {
            let step = AdamWStep { lr, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay, step };
            let shadow = (i % 2 == 0).then_some(shadow);
            updates.push(AdamWUpdate { param, m, v, step, shadow });
        }
        D::adamw(&mut updates, &mut gradients, None, 0.9).unwrap();
        let params: Vec<_> = all.iter().map(|[p, ..]| p).collect();
        keep_gradients(&params, &mut gradients);
    }
    let values = all.iter().enumerate().flat_map(|(i, tensors)| {
        ["parameter", "first", "second", "shadow"]
            .into_iter()
            .zip(tensors)
            .map(move |(name, t)| (format!("{name} {i}"), t.as_vec()))
    });
    values.collect()
}

#[test]
fn many_updates_of_one_call_are_those_of_the_cpu() {
    let turn = computing_device();
    let _ = take_counts();
    let found = many_updates(&turn.cuda);
    let counts = take_counts();
    assert_same("many updates", &found, &many_updates(&Cpu::default()));
    // Two decays and two learning rates: three sets of constants. Lists are the same in every step.
    let launches = counts.launches.get("adamw").copied();
    assert!(turn.gpu || launches == Some(9), "{launches:?}");
}

/// Two steps of matrices of three kinds, one of them taller than wide, one whose gradient is zero.
fn matrices<D: Backend>(device: &D, step: &MuonStep, precision: MatmulPrecision) -> Values {
    let mut r = Inputs::new(device, 10);
    let shapes = [(20, 33), (33, 20), (20, 33), (64, 128), (20, 33)];
    let mut all: Vec<_> = shapes.iter().map(|(n, m)| [r.flat(n * m, 1.0), r.flat(n * m, 0.0)]).collect();
    for _ in 0..2 {
        let rows: Vec<_> = shapes.iter().map(|(n, m)| r.rows(1, n * m)).collect();
        let targets: Vec<_> = shapes.iter().map(|(n, m)| r.rows(1, n * m)).collect();
        let mut gradients = Gradients::leaky();
        for (i, ((param, x), target)) in all.iter().map(|[p, _]| p).zip(rows).zip(&targets).enumerate() {
            let table = TableTerm { table: param, index: &[0], trained: i != 4 };
            let y = D::gather_sum(x.trace(gradients), &[0], &[table]).unwrap();
            let loss = D::loss(RowLoss::L2, y, target).unwrap();
            gradients = loss.try_backward().map_err(ModelError::from_debug).unwrap();
        }
        let mut updates = Vec::new();
        for (i, ([param, buffer], shape)) in all.iter_mut().zip(shapes).enumerate() {
            let (decay, rate) = (0.99, if i == 2 { 0.1 } else { 0.3 });
            updates.push(MuonUpdate { param, shape, buffer, decay, rate, precision });
        }
        D::muon(&mut updates, &mut gradients, step).unwrap();
    }
    let named = |(i, [p, b]): (usize, &[Flat<D>; 2])| {
        [(format!("matrix {i}"), p.as_vec()), (format!("buffer {i}"), b.as_vec())]
    };
    all.iter().enumerate().flat_map(named).collect()
}

#[test]
fn orthogonalised_steps_are_those_of_the_cpu() {
    let turn = computing_device();
    let looking = MuonStep { momentum: 0.95, nesterov: true, iterations: 5 };
    for step in [looking, MuonStep { nesterov: false, iterations: 2, ..looking }] {
        // The iteration makes small singular values grow, and with them what was rounded.
        for (precision, tolerance) in [(MatmulPrecision::F32, 1e-3), (MatmulPrecision::Bf16, 5e-2)] {
            let found = matrices(&turn.cuda, &step, precision);
            for ((name, f), (_, e)) in found.iter().zip(&matrices(&Cpu::default(), &step, precision)) {
                assert_close(&format!("{precision:?} {step:?}: {name}"), f, e, tolerance);
            }
        }
    }
}

#[test]
fn updates_are_those_of_the_cpu() {
    let turn = computing_device();
    assert_same("updates", &updates(&turn.cuda), &updates(&Cpu::default()));
}

#[test]
fn means_of_rows_have_the_bits_of_the_cpu() {
    let turn = computing_device();
    fn means<D: Backend>(device: &D, (n, count, d): (usize, usize, usize)) -> Vec<u32> {
        let x = Inputs::new(device, 9).rows(n * count, d);
        to_host(&D::mean_rows(&x, count).unwrap()).unwrap().iter().map(|v| v.to_bits()).collect()
    }
    for sizes in [(1, 1, 1), (7, 64, 24), (3, 49, 5), (300, 4, 1), (0, 4, 3)] {
        assert_eq!(means(&turn.cuda, sizes), means(&Cpu::default(), sizes), "{sizes:?}");
    }
    let x = Inputs::new(&turn.cuda, 9).rows(6, 2);
    for count in [0, 4] {
        let error = Cuda::mean_rows(&x, count).unwrap_err().to_string();
        assert_eq!(error, format!("means of {count} rows of 6 x 2"));
    }
}

#[test]
fn numbers_are_read_together() {
    let turn = computing_device();
    let losses: Vec<_> = (0..300).map(|i| turn.cuda.tensor_from_vec(vec![0.1 * i as f32], ())).collect();
    let norms: Vec<_> = (0..20).map(|i| turn.cuda.tensor_from_vec(vec![0.1 * f64::from(i)], ())).collect();
    let (losses, norms): (Vec<_>, Vec<_>) = (losses.iter().collect(), norms.iter().collect());
    let _ = take_counts();
    let found = Cuda::read(&losses, &norms).unwrap();
    let waits = take_counts().waits;
    assert!(turn.gpu || waits == 1, "{waits} waits");
    let expected = (0..300).map(|i| f64::from(0.1 * i as f32)).chain((0..20).map(|i| 0.1 * f64::from(i)));
    assert_eq!(found, expected.collect::<Vec<_>>());
    assert!(Cuda::read(&[], &[]).unwrap().is_empty());
}

/// Predictions (n, d) near their targets (m, d), at `places` positions.
fn prediction_stats<D: Backend>(
    device: &D,
    (n, m, d, places): (usize, usize, usize, usize),
) -> PredictionStats {
    let mut r = Inputs::new(device, 9);
    let positions: Vec<u32> = (0..m).map(|_| r.random.below(places) as u32).collect();
    let index: Vec<u32> = (0..n).map(|_| r.random.below(m) as u32).collect();
    // Far from 0 beside their spread, as what is not normalised may be.
    let targets: Vec<f32> = r.random.values(m * d, 1.0).iter().map(|v| v + 7.0).collect();
    let wanted = index.iter().flat_map(|&i| &targets[i as usize * d..(i as usize + 1) * d]);
    let prediction: Vec<f32> = wanted.zip(r.random.values(n * d, 0.5)).map(|(t, e)| t + e).collect();
    let (p, t) = (from_host(device, prediction, n, d).unwrap(), from_host(device, targets, m, d).unwrap());
    D::prediction_stats(&[p], &[t], &index, &positions).unwrap()
}

fn measures(prediction_stats: &PredictionStats) -> [f64; 5] {
    let PredictionStats { explained, constant, position, target_std, prediction_std } = *prediction_stats;
    [explained, constant, position, target_std, prediction_std]
}

/// Sums in f64 in another order, of a few thousand terms.
#[test]
fn prediction_statistics_are_those_of_the_cpu() {
    let turn = computing_device();
    // Several chunks, positions seen once, no position seen twice, one target, one of everything.
    for sizes in [(300, 201, 10, 3), (77, 130, 300, 97), (50, 9, 17, 9000), (5, 1, 4, 1), (1, 1, 1, 1)] {
        let (here, cpu) = (prediction_stats(&turn.cuda, sizes), prediction_stats(&Cpu::default(), sizes));
        for (here, cpu) in measures(&here).into_iter().zip(measures(&cpu)) {
            assert!((here - cpu).abs() <= 1e-9 * cpu.abs().max(1e-3), "{sizes:?}: {here}, not {cpu}");
        }
    }
}

/// The CPU's mean of equal rows is exact where their number is a power of two; the device's always is.
#[test]
fn collapsed_targets_have_no_spread() {
    let turn = computing_device();
    fn collapsed<D: Backend>(device: &D, rows: usize) -> PredictionStats {
        let targets = from_host(device, [0.1, -3.7, 1e-3].repeat(rows), rows, 3).unwrap();
        let prediction = Inputs::new(device, 10).rows(rows, 3);
        let index: Vec<u32> = (0..rows as u32).rev().collect();
        let positions: Vec<u32> = index.iter().map(|i| i % 5).collect();
        D::prediction_stats(&[prediction], &[targets], &index, &positions).unwrap()
    }
    let (here, cpu) = (collapsed(&turn.cuda, 256), collapsed(&Cpu::default(), 256));
    assert_eq!(measures(&here)[..4], [0.0; 4]);
    assert_eq!(measures(&cpu)[..4], [0.0; 4]);
    assert!((here.prediction_std / cpu.prediction_std - 1.0).abs() < 1e-9);
    assert_eq!(measures(&collapsed(&turn.cuda, 201))[..4], [0.0; 4]);
}

#[test]
fn statistics_of_what_does_not_fit_together_are_refused() {
    let turn = crate::emulator::device();
    let mut r = Inputs::new(&turn.cuda, 11);
    let (p, t) = (r.rows(2, 3), r.rows(4, 3));
    let refused = |p: &[Rows<Cuda>], index: &[u32], positions: &[u32]| {
        Cuda::prediction_stats(p, std::slice::from_ref(&t), index, positions).unwrap_err().to_string()
    };
    let one = std::slice::from_ref(&p);
    assert!(refused(one, &[0, 4], &[0; 4]).contains("beyond 4 targets"));
    assert!(refused(one, &[0], &[0; 4]).contains("1 indices, 4 positions for 2 predictions of 4 targets"));
    assert!(refused(&[], &[], &[0; 4]).contains("no prediction"));
    assert!(refused(&[r.rows(2, 5)], &[0; 2], &[0; 4]).contains("different columns"));
}

/// Also with the threads of every block in reverse, which would show a missing barrier.
#[test]
fn the_same_inputs_give_the_same_bits() {
    let turn = computing_device();
    let cases = block_cases();
    let everything = || {
        let explained = measures(&prediction_stats(&turn.cuda, (77, 130, 300, 97)));
        let mut all: Vec<Values> = cases.iter().map(|case| blocks(&turn.cuda, case, 2)).collect();
        all.push(gather(&turn.cuda, (20, 16, 700)));
        all.push(norm(&turn.cuda, (200, 33)));
        all.push(loss(&turn.cuda, (300, 24), RowLoss::Cosine));
        all.push(updates(&turn.cuda));
        all.push(many_updates(&turn.cuda));
        (all, explained)
    };
    let forward = everything();
    run_backwards(true);
    let backward = everything();
    run_backwards(false);
    assert!(forward == backward);
}
