//! Every operator against its composition from plain dfdx operations.

use dfdx::prelude::*;
use ijepa_run::kernels::{Compose, Function, MatmulPrecision, NONE, from_host, reference, to_host};

use crate::common::{Random, segments};
use crate::{FUNCTIONS, TOLERANCE, assert_same, outcome};

/// What rounding changes of the gradients of one product: the reference rounds none of what comes back.
const ROUNDED_GRADIENT: f32 = 1e-2;

/// `Cpu::op` against `reference::op`, values and gradients of the named rows and parameters, and against itself
/// without tapes.
macro_rules! agree {
    ($what:expr, [$($x:ident),*], [$($p:ident),*], $op:ident($($arg:expr),* $(,)?)) => {
        agree!($what, TOLERANCE, [$($x),*], [$($p),*], $op($($arg),*))
    };
    ($what:expr, $tolerance:expr, [$($x:ident),*], [$($p:ident),*], $op:ident($($arg:expr),*)) => {{
        let (rows, params) = (vec![$($x.clone()),*], vec![$($p.clone()),*]);
        let [fast, slow] = [
            { $(let $x = $x.leaky_trace();)* Cpu::$op($($arg),*).unwrap() },
            { $(let $x = $x.leaky_trace();)* reference::$op($($arg),*).unwrap() },
        ]
        .map(|y| outcome(y, &rows, &params));
        let what = format!("{} {}", stringify!($op), $what);
        assert_same(&what, &fast, &slow, $tolerance);
        let untaped = { $(let $x = $x.clone();)* Cpu::$op($($arg),*).unwrap() };
        assert_eq!(to_host(&untaped).unwrap(), fast.y, "{what}: without a tape");
    }};
}

const SHAPES: [(usize, usize); 5] = [(1, 1), (2, 8), (5, 30), (700, 33), (40, 192)];

#[test]
fn maps_match_reference() {
    let mut r = Random::new(1);
    for (n, d) in SHAPES {
        let x = r.rows(n, d, 3.0);
        let variances = from_host(
            &Cpu::default(),
            r.values(n * d, 1.0).iter().map(|v| v + 1.01).collect::<Vec<_>>(),
            n,
            d,
        );
        let variances = variances.unwrap();
        for function in FUNCTIONS {
            let x = if matches!(function, Function::StdHinge { .. }) { &variances } else { &x };
            agree!(format!("{function:?} {n}x{d}"), [x], [], map(x, function));
        }
    }
}

#[test]
fn element_wise_operators_match_reference() {
    let mut r = Random::new(2);
    for (n, d) in SHAPES {
        let (x, y, gain) = (r.rows(n, d, 1.0), r.rows(n, d, 1.0), r.flat(d, 1.0));
        let factors = r.values(n, 2.0);
        let what = format!("{n}x{d}");
        agree!(what, [x, y], [], add(x, y));
        agree!(what, [x, y], [], multiply(x, y));
        agree!(what, [x], [gain], scale_columns(x, &gain));
        agree!(what, [x], [], scale_rows(x, &factors));
    }
}

#[test]
fn rms_norms_match_reference() {
    let mut r = Random::new(3);
    for (n, d, w) in [(1, 8, 8), (5, 30, 6), (700, 33, 33), (60, 192, 64), (3, 48, 1)] {
        let (x, gain) = (r.rows(n, d, 2.0), r.flat(w, 1.0));
        agree!(format!("{n}x{d} by {w}"), [x], [gain], rms_norm(x, &gain, 1e-5));
    }
}

#[test]
fn rotations_match_reference() {
    let mut r = Random::new(8);
    for (n, d, w) in [(1, 2, 2), (5, 24, 8), (700, 32, 32)] {
        // Any two numbers, not only a cosine and its sine.
        let (x, turns) = (r.rows(n, d, 2.0), r.rows(n, w, 1.0));
        agree!(format!("{n}x{d} by {w}"), [x], [], rotate(x, &turns));
    }
}

#[test]
fn rearrangements_match_reference() {
    let mut r = Random::new(4);
    for (n, d) in SHAPES {
        let (a, below, beside) = (r.rows(n, d, 1.0), r.rows(n + 3, d, 1.0), r.rows(n, d + 5, 1.0));
        let what = format!("{n}x{d}");
        agree!(what, [a, below], [], concat_rows(a, below));
        agree!(what, [a, beside], [], concat_columns(a, beside));
        agree!(what, [a], [], columns(a, d / 3..d));
        for (count, out) in [(1, 7), (9, 300)] {
            let pick = |i: usize| if i == n { NONE } else { i as u32 };
            let index: Vec<u32> = (0..count * out).map(|_| pick(r.below(n + 1))).collect();
            agree!(format!("{what}, {count} rows side by side"), [a], [], gather_rows_wide(a, &index, count));
        }
    }
}

#[test]
fn moments_match_reference() {
    let mut r = Random::new(5);
    for (n, d) in SHAPES {
        // Far from zero beside its spread, as what is not normalised may be.
        let values: Vec<f32> = r.values(n * d, 1.0).iter().map(|v| v + 5.0).collect();
        let x = from_host(&Cpu::default(), values, n, d).unwrap();
        let what = format!("{n}x{d}");
        agree!(what, [x], [], center_columns(x));
        if n > 1 {
            agree!(what, [x], [], column_variances(x));
        }
        let segments = segments(&[&[1; 2][..n.min(2)], &[n.saturating_sub(2); 1][..(n > 2).into()]].concat());
        agree!(what, [x], [], segment_means(x, &segments));
    }
}

#[test]
fn products_match_reference() {
    let mut r = Random::new(6);
    for (n, k, m) in [(1, 1, 1), (5, 3, 2), (33, 17, 96), (130, 301, 40), (64, 500, 64)] {
        for (turn_a, turn_b) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut operand = |n, m, turn| if turn { r.rows(m, n, 0.5) } else { r.rows(n, m, 0.5) };
            let (a, b) = (operand(n, k, turn_a), operand(k, m, turn_b));
            let what = format!("{n}x{k}x{m}, transposed {turn_a} {turn_b}");
            agree!(what, [a, b], [], matmul(a, b, turn_a, turn_b, MatmulPrecision::F32));
            let what = format!("{what}, rounded");
            agree!(what, ROUNDED_GRADIENT, [a, b], [], matmul(a, b, turn_a, turn_b, MatmulPrecision::Bf16));
        }
    }
}

/// Lengths of the segments of queries and of keys, columns, heads.
type Pairs = (Vec<usize>, Vec<usize>, usize, usize);

fn attention_cases() -> Vec<Pairs> {
    vec![
        (vec![1], vec![1], 8, 1),
        (vec![7, 9, 1, 23], vec![7, 9, 1, 23], 24, 3),
        (vec![3, 0, 40, 2], vec![10, 20, 5, 1], 30, 5),
        (vec![0, 300, 17], vec![0, 20, 270], 32, 2),
        (vec![20; 40], vec![33; 40], 36, 4),
    ]
}

#[test]
fn attention_matches_reference() {
    let mut r = Random::new(7);
    for (queries, keys, d, heads) in attention_cases() {
        let what = format!("{queries:?} {keys:?}, d {d}, {heads} heads");
        let (queries, keys) = (segments(&queries), segments(&keys));
        let q = r.rows(queries.rows(), d, 2.0);
        let (k, v) = (r.rows(keys.rows(), d, 2.0), r.rows(keys.rows(), d, 1.0));
        agree!(what, [q, k, v], [], attention(q, k, v, heads, &queries, &keys));
    }
}
