//! Gradients of every operator against central differences of its own forward pass.
//!
//! Forward is f32, so a difference quotient with step `h` carries rounding noise of about
//! `1e-7 |f| / h` per evaluation besides the truncation error of order `h^2`: with losses of size one
//! and `h = 1e-2`, 2e-3 of the gradient's size covers both. Directions are random, over all inputs of
//! one tensor at once, so that every element matters and the signal is far above the noise. A scalar
//! sum in f64 keeps the loss itself from adding noise.

mod common;

use common::*;
use dfdx::prelude::*;
use ijepa_registry::tensor::{Flat, Rows, TapedRows};
use ijepa_run::kernels::{
    Backend, BlockParams, Compose, Function as Map, MatmulPrecision, NONE, RowLoss, TableTerm, from_host,
    to_host,
};

const EXACT: Precision = Precision { step: 1e-2, tolerance: 2e-3 };

/// With products of bf16 the forward pass is a staircase whose steps are 2^-8 of a value: only a wide
/// difference tells the slope, and that from afar.
const OF_BF16: Precision = Precision { step: 0.06, tolerance: 0.12 };

/// How a derivative is compared with a difference quotient.
#[derive(Clone, Copy)]
struct Precision {
    step: f32,
    /// Share of the gradient's size.
    tolerance: f64,
}

/// A function of rows and flat tensors.
type Function<'a> = &'a dyn Fn(Rows<Cpu>, &[Flat<Cpu>]) -> TapedRows<Cpu>;

/// `<upstream, f(x, params)>` in f64.
fn value(f: Function, x: &[f32], shape: (usize, usize), params: &[Vec<f32>], upstream: &[f32]) -> f64 {
    let x = from_host(&Cpu::default(), x, shape.0, shape.1).unwrap();
    let params: Vec<_> = params.iter().cloned().map(flat).collect();
    let y = to_host(&f(x, &params)).unwrap();
    y.iter().zip(upstream).map(|(y, u)| f64::from(*y) * f64::from(*u)).sum()
}

fn inner(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// `values + factor * direction`.
fn moved(values: &[f32], direction: &[f32], factor: f32) -> Vec<f32> {
    values.iter().zip(direction).map(|(v, d)| v + factor * d).collect()
}

/// Compares the derivative along random directions in each input with its central difference.
fn check(what: &str, f: Function, x: &Rows<Cpu>, params: &[Flat<Cpu>]) {
    check_to(EXACT, what, f, x, params);
}

/// [`check`] to a stated precision.
fn check_to(precision: Precision, what: &str, f: Function, x: &Rows<Cpu>, params: &[Flat<Cpu>]) {
    let Precision { step, tolerance } = precision;
    let mut r = Random::new(77);
    let shape = *x.shape();
    let y = f(x.clone(), params);
    let (n, d) = *y.shape();
    let upstream = r.values(n * d, 1.0);
    let mut g = (y * from_host(&Cpu::default(), upstream.clone(), n, d).unwrap()).sum().backward();
    let x_host = to_host(x).unwrap();
    let host_params: Vec<Vec<f32>> = params.iter().map(host).collect();
    let compare = |which: &str, analytic: f64, size: f64, plus: f64, minus: f64| {
        let numeric = (plus - minus) / (2.0 * f64::from(step));
        let error = (analytic - numeric).abs();
        assert!(error < tolerance * size, "{what}, {which}: {analytic}, not {numeric} (size {size})");
    };
    for round in 0..3 {
        let direction = r.values(x_host.len(), 1.0);
        let grad = g.get_or_alloc_mut(x).unwrap().to_vec();
        let at = |s: f32| value(f, &moved(&x_host, &direction, s), shape, &host_params, &upstream);
        let size = inner(&grad, &grad).sqrt().max(1.0);
        compare(&format!("x, round {round}"), inner(&grad, &direction), size, at(step), at(-step));
        for (i, p) in params.iter().enumerate() {
            let direction = r.values(host_params[i].len(), 1.0);
            let grad = g.get_or_alloc_mut(p).unwrap().to_vec();
            let at = |s: f32| {
                let mut changed = host_params.clone();
                changed[i] = moved(&host_params[i], &direction, s);
                value(f, &x_host, shape, &changed, &upstream)
            };
            let size = inner(&grad, &grad).sqrt().max(1.0);
            compare(&format!("parameter {i}"), inner(&grad, &direction), size, at(step), at(-step));
        }
    }
}

#[test]
fn linear() {
    let mut r = Random::new(1);
    for (n, inputs, outputs) in [(1, 3, 2), (40, 17, 21)] {
        let params = [r.flat(inputs * outputs, 0.5), r.flat(outputs, 0.5)];
        let x = r.rows(n, inputs, 1.0);
        let rounded = |x: Rows<Cpu>, p: &[Flat<Cpu>]| {
            Cpu::linear(x.leaky_traced(), &p[0], &p[1], MatmulPrecision::Bf16).unwrap()
        };
        check_to(OF_BF16, "linear of bf16", &rounded, &x, &params);
        let f = |x: Rows<Cpu>, p: &[Flat<Cpu>]| {
            Cpu::linear(x.leaky_traced(), &p[0], &p[1], MatmulPrecision::F32).unwrap()
        };
        check("linear", &f, &x, &params);
    }
}

#[test]
fn layer_norm() {
    let mut r = Random::new(2);
    for (n, d) in [(1, 5), (30, 19)] {
        let params = [r.flat(d, 1.0), r.flat(d, 1.0)];
        let f =
            |x: Rows<Cpu>, p: &[Flat<Cpu>]| Cpu::layer_norm(x.leaky_traced(), &p[0], &p[1], 1e-6).unwrap();
        // A wide spread keeps the curvature of the norm, and so the truncation error, small.
        check("layer norm", &f, &r.rows(n, d, 4.0), &params);
    }
}

/// The block with the given tensors.
fn with_tensors(p: &[Flat<Cpu>], heads: usize, rounding: MatmulPrecision) -> BlockParams<Cpu> {
    BlockParams::from_tensors(heads, 1e-6, rounding, std::array::from_fn(|i| p[i].clone()))
}

#[test]
fn block() {
    let mut r = Random::new(3);
    let small = |case: &BlockCase| case.0.iter().sum::<usize>() < 100;
    for (lengths, d, heads, hidden, keep) in block_cases().into_iter().filter(small) {
        let segments = segments(&lengths);
        let params = r.block(d, heads, hidden).tensors().map(Clone::clone);
        let x = r.rows(segments.rows(), d, 4.0);
        let roundings = [
            (MatmulPrecision::F32, EXACT),
            (MatmulPrecision::Bf16, OF_BF16),
            (MatmulPrecision::Bf16Amx, OF_BF16),
        ];
        for (rounding, precision) in roundings {
            let f = |x: Rows<Cpu>, p: &[Flat<Cpu>]| {
                let block = with_tensors(p, heads, rounding);
                Cpu::block(x.leaky_traced(), &block, &segments, keep.as_deref()).unwrap()
            };
            check_to(precision, &format!("block {lengths:?} {keep:?} {rounding:?}"), &f, &x, &params);
        }
    }
}

#[test]
fn gather_sum() {
    let mut r = Random::new(4);
    let params = [r.flat(4 * 6, 1.0), r.flat(6, 1.0)];
    let f = |x: Rows<Cpu>, p: &[Flat<Cpu>]| {
        let tables = [
            TableTerm { table: &p[0], index: &[0, 3, 3, NONE, 1], trained: true },
            TableTerm { table: &p[1], index: &[NONE, 0, 0, 0, NONE], trained: true },
        ];
        Cpu::gather_sum(x.leaky_traced(), &[2, NONE, 0, 2, 1], &tables).unwrap()
    };
    check("gather", &f, &r.rows(3, 6, 1.0), &params);
}

#[test]
fn losses() {
    let mut r = Random::new(5);
    let losses =
        [RowLoss::L2, RowLoss::SmoothL1 { beta: 1.0 }, RowLoss::SmoothL1 { beta: 0.5 }, RowLoss::Cosine];
    for loss in losses {
        let target = r.rows(12, 7, 2.0);
        let f = |x: Rows<Cpu>, _: &[Flat<Cpu>]| {
            Cpu::loss(loss, x.leaky_traced(), &target).unwrap().reshape_like(&(1usize, 1usize))
        };
        check(&format!("{loss:?}"), &f, &r.rows(12, 7, 2.0), &[]);
    }
}

/// A parameter as rows of an operator.
fn rows(p: &Flat<Cpu>, n: usize, d: usize) -> TapedRows<Cpu> {
    p.leaky_trace().reshape_like(&(n, d))
}

/// Values in `from..to`.
fn between(r: &mut Random, n: usize, d: usize, from: f32, to: f32) -> Rows<Cpu> {
    let middle = (from + to) / 2.0;
    let values: Vec<f32> = r.values(n * d, (to - from) / 2.0).iter().map(|v| v + middle).collect();
    from_host(&Cpu::default(), values, n, d).unwrap()
}

#[test]
fn maps() {
    let mut r = Random::new(6);
    let hinge = Map::StdHinge { floor: 1.0, eps: 1e-4 };
    // Where a function has a corner, on both sides of it and not across.
    let cases = [
        (Map::Affine { scale: -0.7, shift: 0.3 }, -2.0, 2.0),
        (Map::Gelu, -3.0, 3.0),
        (Map::Silu, -3.0, 3.0),
        (Map::Tanh, -2.0, 2.0),
        (Map::Square, -2.0, 2.0),
        (Map::Sin, -4.0, 4.0),
        (Map::Cos, -4.0, 4.0),
        (Map::Relu, -2.0, -0.1),
        (Map::Relu, 0.1, 2.0),
        (hinge, 0.3, 0.9),
        (hinge, 1.1, 2.0),
    ];
    for (function, from, to) in cases {
        let f = |x: Rows<Cpu>, _: &[Flat<Cpu>]| Cpu::map(x.leaky_traced(), function).unwrap();
        check(&format!("{function:?}"), &f, &between(&mut r, 13, 9, from, to), &[]);
    }
}

#[test]
fn element_wise() {
    let mut r = Random::new(7);
    let (x, params) = (r.rows(7, 12, 1.0), [r.flat(7 * 12, 1.0)]);
    let f = |x: Rows<Cpu>, p: &[Flat<Cpu>]| Cpu::add(x.leaky_traced(), rows(&p[0], 7, 12)).unwrap();
    check("add", &f, &x, &params);
    let f = |x: Rows<Cpu>, p: &[Flat<Cpu>]| Cpu::multiply(x.leaky_traced(), rows(&p[0], 7, 12)).unwrap();
    check("multiply", &f, &x, &params);
    let f = |x: Rows<Cpu>, p: &[Flat<Cpu>]| Cpu::scale_columns(x.leaky_traced(), &p[0]).unwrap();
    check("scale columns", &f, &x, &[r.flat(12, 1.0)]);
    let factors = r.values(7, 2.0);
    let f = |x: Rows<Cpu>, _: &[Flat<Cpu>]| Cpu::scale_rows(x.leaky_traced(), &factors).unwrap();
    check("scale rows", &f, &x, &[]);
    let turns = r.rows(7, 4, 1.0);
    let f = |x: Rows<Cpu>, _: &[Flat<Cpu>]| Cpu::rotate(x.leaky_traced(), &turns).unwrap();
    check("rotate", &f, &x, &[]);
    for w in [12, 4] {
        let f = |x: Rows<Cpu>, p: &[Flat<Cpu>]| Cpu::rms_norm(x.leaky_traced(), &p[0], 1e-6).unwrap();
        check("rms norm", &f, &r.rows(7, 12, 4.0), &[r.flat(w, 1.0)]);
    }
}

#[test]
fn rearrangements() {
    let mut r = Random::new(8);
    let (x, params) = (r.rows(7, 12, 1.0), [r.flat(7 * 12, 1.0)]);
    let f = |x: Rows<Cpu>, p: &[Flat<Cpu>]| Cpu::concat_rows(x.leaky_traced(), rows(&p[0], 7, 12)).unwrap();
    check("concat rows", &f, &x, &params);
    let f =
        |x: Rows<Cpu>, p: &[Flat<Cpu>]| Cpu::concat_columns(x.leaky_traced(), rows(&p[0], 7, 12)).unwrap();
    check("concat columns", &f, &x, &params);
    let f = |x: Rows<Cpu>, _: &[Flat<Cpu>]| Cpu::columns(x.leaky_traced(), 3..8).unwrap();
    check("columns", &f, &x, &[]);
    let index = [0, NONE, 6, 6, 2, 1, 0, 0, NONE];
    let f = |x: Rows<Cpu>, _: &[Flat<Cpu>]| Cpu::gather_rows_wide(x.leaky_traced(), &index, 3).unwrap();
    check("gather rows wide", &f, &x, &[]);
}

#[test]
fn moments() {
    let mut r = Random::new(9);
    let (x, parts) = (r.rows(9, 5, 1.0), segments(&[2, 1, 6]));
    let f = |x: Rows<Cpu>, _: &[Flat<Cpu>]| Cpu::segment_means(x.leaky_traced(), &parts).unwrap();
    check("segment means", &f, &x, &[]);
    let f = |x: Rows<Cpu>, _: &[Flat<Cpu>]| Cpu::center_columns(x.leaky_traced()).unwrap();
    check("center columns", &f, &x, &[]);
    let f = |x: Rows<Cpu>, _: &[Flat<Cpu>]| Cpu::column_variances(x.leaky_traced()).unwrap();
    check("column variances", &f, &x, &[]);
    let f = |x: Rows<Cpu>, p: &[Flat<Cpu>]| {
        let (a, b) = (Cpu::sum(x.leaky_traced()).unwrap(), Cpu::sum(rows(&p[0], 3, 4)).unwrap());
        Cpu::add_scalars(a, b).unwrap().reshape_like(&(1usize, 1usize))
    };
    check("sums", &f, &x, &[r.flat(12, 1.0)]);
}

#[test]
fn products() {
    let mut r = Random::new(10);
    for (turn_a, turn_b) in [(false, false), (false, true), (true, false), (true, true)] {
        let shape = |n, m, turn| if turn { (m, n) } else { (n, m) };
        let ((n, k), (l, m)) = (shape(6, 9, turn_a), shape(9, 7, turn_b));
        let f = |x: Rows<Cpu>, p: &[Flat<Cpu>]| {
            let b = rows(&p[0], l, m);
            Cpu::matmul(x.leaky_traced(), b, turn_a, turn_b, MatmulPrecision::F32).unwrap()
        };
        check(&format!("product {turn_a} {turn_b}"), &f, &r.rows(n, k, 1.0), &[r.flat(l * m, 1.0)]);
    }
}

#[test]
fn attention() {
    let mut r = Random::new(11);
    let (queries, keys) = (segments(&[3, 0, 20]), segments(&[10, 4, 5]));
    let f = |x: Rows<Cpu>, p: &[Flat<Cpu>]| {
        let (k, v) = (rows(&p[0], 19, 12), rows(&p[1], 19, 12));
        Cpu::attention(x.leaky_traced(), k, v, 3, &queries, &keys).unwrap()
    };
    check("attention", &f, &r.rows(23, 12, 1.0), &[r.flat(19 * 12, 1.0), r.flat(19 * 12, 1.0)]);
}
