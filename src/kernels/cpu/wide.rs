//! Products of `f32` features and a few columns of `f64`, in `f64`: what a classifier's optimum is found
//! and certified with, where the rounding of `f32` would hide the last digits.
//!
//! The features stay as they are and are widened in registers; the few columns lie along the features,
//! so that none of the lanes is idle for any number of classes.

use super::simd::{Simd, vectorised};

/// Lanes of a sum.
const WIDE: usize = 8;
/// Columns that share a load of features: their sums fill the registers of AVX2. Divides the usual 10, 100
/// and 1000 classes.
const TOGETHER: usize = 5;
/// Rows that share a load of sums.
const ROWS: usize = 4;

vectorised! {
    /// `out = x w'`: out (rows, columns), `x` (rows, dim), `w` (columns, dim).
    pub fn wide_product<S>(out: &mut [f64], x: &[f32], w: &[f64], dim: usize) {
        let columns = w.len() / dim;
        for (x, out) in x.chunks_exact(dim).zip(out.chunks_exact_mut(columns)) {
            let mut together = w.chunks_exact(TOGETHER * dim);
            let mut outs = out.chunks_exact_mut(TOGETHER);
            for (w, out) in (&mut together).zip(&mut outs) {
                dots::<S, TOGETHER>(out, x, w);
            }
            let rest = together.remainder().chunks_exact(dim);
            for (w, out) in rest.zip(outs.into_remainder().chunks_exact_mut(1)) {
                dots::<S, 1>(out, x, w);
            }
        }
    }
}

vectorised! {
    /// Inner product in `f64`, of values as they are.
    pub fn wide_dot<S>(x: &[f32], w: &[f64]) -> f64 {
        let mut out = [0.0];
        dots::<S, 1>(&mut out, x, w);
        out[0]
    }
}

/// Inner products of `x` with `C` rows of `w`.
#[inline(always)]
fn dots<S: Simd, const C: usize>(out: &mut [f64], x: &[f32], w: &[f64]) {
    let dim = x.len();
    assert!(w.len() == C * dim && out.len() == C, "shapes of inner products");
    let whole = dim / WIDE * WIDE;
    // SAFETY: `S` is this level's; `x` has `whole` values at least, and so has each of `C` rows of `w`.
    unsafe {
        let mut sums = [S::wide_splat(0.0); C];
        for j in (0..whole).step_by(WIDE) {
            let x = S::widened(x.as_ptr().add(j));
            for (c, sum) in sums.iter_mut().enumerate() {
                *sum = S::wide_mul_add(x, S::wide_load(w.as_ptr().add(c * dim + j)), *sum);
            }
        }
        for (c, sum) in sums.into_iter().enumerate() {
            let mut lanes = [0.0; WIDE];
            S::wide_store(sum, lanes.as_mut_ptr());
            let rest = x[whole..].iter().zip(&w[c * dim + whole..(c + 1) * dim]);
            let rest = rest.fold(0.0, |sum, (x, w)| f64::from(*x).mul_add(*w, sum));
            let [a, b, d, e, f, g, h, i] = lanes;
            out[c] = ((a + f) + (d + h)) + ((b + g) + (e + i)) + rest;
        }
    }
}

vectorised! {
    /// `out += r' x`: out (columns, dim), `r` (rows, columns), `x` (rows, dim).
    pub fn add_wide_columns<S>(out: &mut [f64], x: &[f32], r: &[f64], dim: usize) {
        let columns = out.len() / dim;
        let mut rows = x.chunks_exact(ROWS * dim);
        let mut factors = r.chunks_exact(ROWS * columns);
        for (x, r) in (&mut rows).zip(&mut factors) {
            add_rows::<S, ROWS>(out, x, r, dim);
        }
        for (x, r) in rows.remainder().chunks_exact(dim).zip(factors.remainder().chunks_exact(columns)) {
            add_rows::<S, 1>(out, x, r, dim);
        }
    }
}

/// [`add_wide_columns`] of `R` rows.
#[inline(always)]
fn add_rows<S: Simd, const R: usize>(out: &mut [f64], x: &[f32], r: &[f64], dim: usize) {
    let columns = out.len() / dim;
    assert!(x.len() == R * dim && r.len() == R * columns, "shapes of a sum of products");
    let whole = dim / WIDE * WIDE;
    for j in (0..whole).step_by(WIDE) {
        // SAFETY: `S` is this level's; each of the `R` rows of `x` and `columns` rows of `out` has `dim` values.
        unsafe {
            let mut values = [S::wide_splat(0.0); R];
            for (row, value) in values.iter_mut().enumerate() {
                *value = S::widened(x.as_ptr().add(row * dim + j));
            }
            for c in 0..columns {
                let to = out.as_mut_ptr().add(c * dim + j);
                let mut sum = S::wide_load(to);
                for (row, value) in values.iter().enumerate() {
                    sum = S::wide_mul_add(S::wide_splat(r[row * columns + c]), *value, sum);
                }
                S::wide_store(sum, to);
            }
        }
    }
    for (c, out) in out.chunks_exact_mut(dim).enumerate() {
        for (j, out) in out.iter_mut().enumerate().skip(whole) {
            for row in 0..R {
                *out = r[row * columns + c].mul_add(f64::from(x[row * dim + j]), *out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Level, limit_level, widest_level};

    #[test]
    fn bits_do_not_depend_on_the_instruction_set() {
        let (dim, columns) = (43, 7);
        let x: Vec<f32> = (0..9 * dim).map(|i| (i as f32 * 0.7).sin()).collect();
        let w: Vec<f64> = (0..columns * dim).map(|i| (i as f64 * 1.3).cos()).collect();
        let both = || {
            let (mut out, mut sums) = (vec![0.0; 9 * columns], vec![0.0; columns * dim]);
            wide_product(&mut out, &x, &w, dim);
            add_wide_columns(&mut sums, &x, &out, dim);
            (out, sums)
        };
        let expected = both();
        for level in Level::ALL {
            limit_level(level);
            assert!(both() == expected, "{level}");
        }
        limit_level(widest_level());
    }

    #[test]
    fn both_products_equal_their_definition() {
        for (rows, dim, columns) in [(1, 1, 1), (2, 8, 5), (7, 19, 11), (9, 3, 2), (4, 64, 10)] {
            let x: Vec<f32> = (0..rows * dim).map(|i| (i as f32 * 0.7).sin()).collect();
            let w: Vec<f64> = (0..columns * dim).map(|i| (i as f64 * 1.3).cos()).collect();
            let mut out = vec![f64::NAN; rows * columns];
            wide_product(&mut out, &x, &w, dim);
            for (i, found) in out.iter().enumerate() {
                let (r, c) = (i / columns, i % columns);
                let sum: f64 = (0..dim).map(|j| f64::from(x[r * dim + j]) * w[c * dim + j]).sum();
                assert!((found - sum).abs() < 1e-13, "{rows}x{dim}x{columns} at {r}, {c}");
            }
            let mut sums = vec![1.0; columns * dim];
            add_wide_columns(&mut sums, &x, &out, dim);
            for (i, found) in sums.iter().enumerate() {
                let (c, j) = (i / dim, i % dim);
                let sum: f64 = (0..rows).map(|r| f64::from(x[r * dim + j]) * out[r * columns + c]).sum();
                assert!((found - 1.0 - sum).abs() < 1e-12, "{rows}x{dim}x{columns} at {c}, {j}");
            }
        }
    }
}
