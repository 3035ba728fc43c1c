//! Layer normalisation of rows: `y = (x - mean) / sqrt(var + eps) * gain + bias`, `var` biased.

use rayon::prelude::*;

use super::elementwise::add;
use super::math::{add_lanes, sum_by};
use super::pool::Buffer;
use super::simd::{LANES, vectorised};
use super::split;

/// Values kept per row: the mean, and one over the standard deviation.
pub const STATS: usize = 2;

/// Mean and reciprocal standard deviation of a row. Two passes: no cancellation.
#[inline(always)]
fn row_stats(x: &[f32], eps: f32) -> (f32, f32) {
    let count = x.len() as f32;
    let mean = sum_by(x, |v| v) / count;
    let var = sum_by(x, |v| (v - mean) * (v - mean)) / count;
    (mean, 1.0 / (var + eps).sqrt())
}

/// One normalised row.
#[inline(always)]
fn row_apply(x: &[f32], y: &mut [f32], (mean, scale): (f32, f32), gain: &[f32], bias: &[f32]) {
    for (((y, x), gain), bias) in y.iter_mut().zip(x).zip(gain).zip(bias) {
        *y = ((x - mean) * scale).mul_add(*gain, *bias);
    }
}

vectorised! {
    /// `x`, `y`: (n, d); `stats`: (n, [`STATS`]).
    pub fn forward(x: &[f32], y: &mut [f32], stats: &mut [f32], gain: &[f32], bias: &[f32], eps: f32) {
        let d = gain.len();
        let rows = x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(stats.chunks_exact_mut(STATS));
        for ((x, y), stats) in rows {
            let (mean, scale) = row_stats(x, eps);
            stats.copy_from_slice(&[mean, scale]);
            row_apply(x, y, (mean, scale), gain, bias);
        }
    }
}

vectorised! {
    /// [`forward`] again, with the statistics it left.
    pub fn apply(x: &[f32], y: &mut [f32], stats: &[f32], gain: &[f32], bias: &[f32]) {
        let d = gain.len();
        for ((x, y), stats) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(stats.chunks_exact(STATS)) {
            row_apply(x, y, (stats[0], stats[1]), gain, bias);
        }
    }
}

vectorised! {
    /// `y` = `x` (n, d) normalised without gain and bias.
    pub fn standardize(x: &[f32], y: &mut [f32], d: usize, eps: f32) {
        for (x, y) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)) {
            let (mean, scale) = row_stats(x, eps);
            for (y, x) in y.iter_mut().zip(x) {
                *y = (x - mean) * scale;
            }
        }
    }
}

/// Adds to the gradients of gain and bias; returns the means over the row of `g` and `g * xhat`,
/// where `g = dy * gain` and `xhat` is the normalised row.
#[inline(always)]
fn row_sums(
    (x, dy): (&[f32], &[f32]),
    (mean, scale): (f32, f32),
    gain: &[f32],
    (dgain, dbias): (&mut [f32], &mut [f32]),
) -> (f32, f32) {
    let d = gain.len();
    let (x, dy, dgain, dbias) = (&x[..d], &dy[..d], &mut dgain[..d], &mut dbias[..d]);
    let (mut sum, mut sum_x) = ([0.0f32; LANES], [0.0f32; LANES]);
    let mut one = |i: usize, lane: usize| {
        let xhat = (x[i] - mean) * scale;
        let g = dy[i] * gain[i];
        dgain[i] = dy[i].mul_add(xhat, dgain[i]);
        dbias[i] += dy[i];
        sum[lane] += g;
        sum_x[lane] = g.mul_add(xhat, sum_x[lane]);
    };
    let whole = d / LANES * LANES;
    for block in (0..whole).step_by(LANES) {
        for lane in 0..LANES {
            one(block + lane, lane);
        }
    }
    for i in whole..d {
        one(i, 0);
    }
    (add_lanes(sum) / d as f32, add_lanes(sum_x) / d as f32)
}

vectorised! {
    /// Adds the gradient of the input to `dx`, of gain and bias to `dgain` and `dbias`:
    /// `dx += scale (g - mean(g) - xhat mean(g xhat))`, `g = dy gain` (Ba et al. 2016, by the chain rule).
    pub fn backward(
        x: &[f32],
        stats: &[f32],
        gain: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        dgain: &mut [f32],
        dbias: &mut [f32],
    ) {
        let d = gain.len();
        let rows = x.chunks_exact(d).zip(stats.chunks_exact(STATS));
        for (((x, stats), dy), dx) in rows.zip(dy.chunks_exact(d)).zip(dx.chunks_exact_mut(d)) {
            let (mean, scale) = (stats[0], stats[1]);
            let (g, gx) = row_sums((x, dy), (mean, scale), gain, (&mut *dgain, &mut *dbias));
            for (((dx, dy), x), gain) in dx.iter_mut().zip(dy).zip(x).zip(gain) {
                let xhat = (x - mean) * scale;
                *dx = scale.mul_add(dy.mul_add(*gain, -xhat.mul_add(gx, g)), *dx);
            }
        }
    }
}

/// [`forward`] with rows shared between threads; returns the result and the statistics.
pub fn forward_rows(x: &[f32], gain: &[f32], bias: &[f32], eps: f32) -> (Vec<f32>, Buffer) {
    let d = gain.len();
    let (mut y, mut stats) = (vec![0.0; x.len()], Buffer::any(x.len() / d * STATS));
    y.par_chunks_mut(split::GROUP_TOKENS * d)
        .zip(x.par_chunks(split::GROUP_TOKENS * d))
        .zip(stats.par_chunks_mut(split::GROUP_TOKENS * STATS))
        .for_each(|((y, x), stats)| forward(x, y, stats, gain, bias, eps));
    (y, stats)
}

/// [`standardize`] with rows shared between threads.
pub fn standardize_rows(x: &[f32], d: usize, eps: f32) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(split::GROUP_TOKENS * d)
        .zip(x.par_chunks(split::GROUP_TOKENS * d))
        .for_each(|(y, x)| standardize(x, y, d, eps));
    y
}

/// [`backward`] with rows shared between threads; partial sums are added in order.
pub fn backward_rows(
    x: &[f32],
    stats: &[f32],
    gain: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    dgain: &mut [f32],
    dbias: &mut [f32],
) {
    let d = gain.len();
    let rows = split::GROUP_TOKENS;
    let sums: Vec<_> = dx
        .par_chunks_mut(rows * d)
        .zip(x.par_chunks(rows * d).zip(dy.par_chunks(rows * d)))
        .zip(stats.par_chunks(rows * STATS))
        .map(|((dx, (x, dy)), stats)| {
            let (mut dgain, mut dbias) = (Buffer::zeros(d), Buffer::zeros(d));
            backward(x, stats, gain, dy, dx, &mut dgain, &mut dbias);
            (dgain, dbias)
        })
        .collect();
    for (part_gain, part_bias) in &sums {
        add(dgain, part_gain);
        add(dbias, part_bias);
    }
}
