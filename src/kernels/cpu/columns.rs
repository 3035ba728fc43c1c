//! Passes over the columns or the rows of a matrix: factors, slices, means, variances.

use std::ops::Range;

use ijepa_registry::tensor::Segments;
use rayon::prelude::*;

use super::buffer::Buffer;
use super::elementwise::add;

/// Rows per task.
const TASK_ROWS: usize = 256;

/// `f(row, to)` for every row `i` of `d` values of `x`, and row of `to` of `e` values.
fn rows(x: &[f32], d: usize, to: &mut [f32], e: usize, f: impl Fn(usize, &[f32], &mut [f32]) + Sync) {
    if d * e == 0 {
        return;
    }
    let tasks = to.par_chunks_mut(TASK_ROWS * e).zip(x.par_chunks(TASK_ROWS * d)).enumerate();
    tasks.for_each(|(task, (to, x))| {
        for (i, (x, to)) in x.chunks_exact(d).zip(to.chunks_exact_mut(e)).enumerate() {
            f(task * TASK_ROWS + i, x, to);
        }
    });
}

/// `to[i, j] += x[i, j] gain[j]`.
pub fn add_scaled_columns(to: &mut [f32], x: &[f32], gain: &[f32]) {
    let d = gain.len();
    rows(x, d, to, d, |_, x, to| to.iter_mut().zip(x).zip(gain).for_each(|((to, x), g)| *to += x * g));
}

/// `to[i, j] += factors[i] x[i, j]`.
pub fn add_scaled_rows(to: &mut [f32], x: &[f32], factors: &[f32], d: usize) {
    rows(x, d, to, d, |i, x, to| to.iter_mut().zip(x).for_each(|(to, x)| *to += factors[i] * x));
}

/// Adds rows of `d` values whose pairs are turned by the cosines and sines in each row of `turns`, of `w` values;
/// `sign` -1 turns back.
pub fn add_rotated(to: &mut [f32], x: &[f32], d: usize, turns: &[f32], w: usize, sign: f32) {
    let half = w / 2;
    rows(x, d, to, d, |i, x, to| {
        let (cosines, sines) = turns[i * w..(i + 1) * w].split_at(half);
        for (x, to) in x.chunks_exact(w).zip(to.chunks_exact_mut(w)) {
            for k in 0..half {
                let (a, b, c, s) = (x[2 * k], x[2 * k + 1], cosines[k], sign * sines[k]);
                to[2 * k] += c * a - s * b;
                to[2 * k + 1] += s * a + c * b;
            }
        }
    });
}

/// `to[j] += ` the sum over rows of `x[i, j] y[i, j]`; partial sums are added in order.
pub fn add_column_products(to: &mut [f32], x: &[f32], y: &[f32]) {
    let d = to.len().max(1);
    let sum = |(x, y): (&[f32], &[f32])| {
        let mut sum = Buffer::zeros(d);
        for (x, y) in x.chunks_exact(d).zip(y.chunks_exact(d)) {
            sum.iter_mut().zip(x).zip(y).for_each(|((s, x), y)| *s += x * y);
        }
        sum
    };
    let parts: Vec<_> = x.par_chunks(TASK_ROWS * d).zip(y.par_chunks(TASK_ROWS * d)).map(sum).collect();
    parts.iter().for_each(|part| add(to, part));
}

/// Adds columns of rows of `d` values to other columns, as many, of rows of `e` values.
pub fn add_columns(from: &[f32], d: usize, taken: Range<usize>, to: &mut [f32], e: usize, first: usize) {
    rows(from, d, to, e, |_, from, to| add(&mut to[first..first + taken.len()], &from[taken.clone()]));
}

/// For every column the sum over rows of `term(column, value)`, in f64: rows of a task, then tasks.
fn sums(x: &[f32], d: usize, term: impl Fn(usize, f64) -> f64 + Sync) -> Vec<f64> {
    let sum = |x: &[f32]| {
        let mut sum = vec![0.0; d];
        for x in x.chunks_exact(d) {
            sum.iter_mut().zip(x).enumerate().for_each(|(j, (s, x))| *s += term(j, f64::from(*x)));
        }
        sum
    };
    let parts: Vec<Vec<f64>> = x.par_chunks(TASK_ROWS * d).map(sum).collect();
    let join = |mut all: Vec<f64>, part: Vec<f64>| {
        all.iter_mut().zip(part).for_each(|(a, p)| *a += p);
        all
    };
    parts.into_iter().fold(vec![0.0; d], join)
}

/// The mean of every column, of at least one row.
pub fn means(x: &[f32], d: usize) -> Vec<f64> {
    let n = (x.len() / d) as f64;
    sums(x, d, |_, x| x).into_iter().map(|s| s / n).collect()
}

/// The unbiased variance of every column, given their means.
pub fn variances(x: &[f32], means: &[f64]) -> Vec<f32> {
    let d = means.len();
    let n = (x.len() / d) as f64;
    let squares = sums(x, d, |j, x| (x - means[j]) * (x - means[j]));
    squares.into_iter().map(|s| (s / (n - 1.0)) as f32).collect()
}

/// `to += x` without the mean of its columns: both the map and, since it is symmetric, its gradient.
pub fn add_centered(to: &mut [f32], x: &[f32], d: usize) {
    let means: Vec<f32> = means(x, d).into_iter().map(|m| m as f32).collect();
    rows(x, d, to, d, |_, x, to| to.iter_mut().zip(x).zip(&means).for_each(|((to, x), m)| *to += x - m));
}

/// `dx[i, j] += 2 dv[j] (x[i, j] - mean[j]) / (n - 1)`.
pub fn add_variance_gradient(x: &[f32], means: &[f64], dv: &[f32], dx: &mut [f32]) {
    let d = means.len();
    let factor = 2.0 / ((x.len() / d) as f64 - 1.0);
    rows(x, d, dx, d, |_, x, dx| {
        for (((dx, x), mean), dv) in dx.iter_mut().zip(x).zip(means).zip(dv) {
            *dx += (factor * f64::from(*dv) * (f64::from(*x) - mean)) as f32;
        }
    });
}

/// The mean of the rows of each segment, added in f64 in their order.
pub fn segment_means(x: &[f32], segments: &Segments, d: usize) -> Vec<f32> {
    let mut means = vec![0.0; segments.len() * d];
    means.par_chunks_mut(d).enumerate().for_each(|(i, to)| {
        let range = segments.range(i);
        let mut sum = vec![0.0f64; d];
        for row in x[range.start * d..range.end * d].chunks_exact(d) {
            sum.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
        }
        to.iter_mut().zip(sum).for_each(|(to, s)| *to = (s / range.len() as f64) as f32);
    });
    means
}

/// Adds to every row its share of the gradient of the mean of its segment.
pub fn add_segment_shares(dy: &[f32], segments: &Segments, dx: &mut [f32], d: usize) {
    for (range, dy) in segments.ranges().zip(dy.chunks_exact(d)) {
        let count = range.len() as f32;
        for dx in dx[range.start * d..range.end * d].chunks_exact_mut(d) {
            dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy / count);
        }
    }
}
