//! Layer normalisation of rows: `y = (x - mean) / sqrt(var + eps) * gain + bias`, `var` biased.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::elementwise::add;
use super::lanes::join_lanes;
use super::math::partial_sums;
use super::simd::{LANES, Simd, vectorised};
use super::split;

/// Values kept per row: the mean, and one over the standard deviation.
pub const STATS: usize = 2;

/// Rows whose statistics are computed together.
const ROWS: usize = LANES;

/// Mean and reciprocal standard deviation of up to sixteen rows of `d` values. Two passes: no cancellation.
#[inline(always)]
fn row_stats<S: Simd>(x: &[f32], d: usize, eps: f32) -> [[f32; STATS]; ROWS] {
    let count = d as f32;
    let (mut partials, mut rests) = ([[0.0; LANES]; ROWS], [0.0; ROWS]);
    for ((x, partial), rest) in x.chunks_exact(d).zip(&mut partials).zip(&mut rests) {
        (*partial, *rest) = partial_sums(x, |v| v);
    }
    let mut means = join_lanes::<S>(&partials, S::add);
    means.iter_mut().zip(&rests).for_each(|(mean, rest)| *mean = (*mean + rest) / count);
    for (((x, partial), rest), mean) in x.chunks_exact(d).zip(&mut partials).zip(&mut rests).zip(&means) {
        (*partial, *rest) = partial_sums(x, |v| (v - mean) * (v - mean));
    }
    let squares = join_lanes::<S>(&partials, S::add);
    let mut stats = [[0.0; STATS]; ROWS];
    for (((stats, mean), square), rest) in stats.iter_mut().zip(&means).zip(&squares).zip(&rests) {
        let var = (square + rest) / count;
        *stats = [*mean, 1.0 / (var + eps).sqrt()];
    }
    stats
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
    pub fn forward<S>(x: &[f32], y: &mut [f32], stats: &mut [f32], gain: &[f32], bias: &[f32], eps: f32) {
        let d = gain.len();
        let blocks = x.chunks(ROWS * d).zip(y.chunks_mut(ROWS * d)).zip(stats.chunks_mut(ROWS * STATS));
        for ((x, y), stats) in blocks {
            let found = row_stats::<S>(x, d, eps);
            let rows = x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(stats.chunks_exact_mut(STATS));
            for (((x, y), stats), found) in rows.zip(&found) {
                stats.copy_from_slice(found);
                row_apply(x, y, (found[0], found[1]), gain, bias);
            }
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
    pub fn standardize<S>(x: &[f32], y: &mut [f32], d: usize, eps: f32) {
        for (x, y) in x.chunks(ROWS * d).zip(y.chunks_mut(ROWS * d)) {
            let stats = row_stats::<S>(x, d, eps);
            for ((x, y), [mean, scale]) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(&stats) {
                for (y, x) in y.iter_mut().zip(x) {
                    *y = (x - mean) * scale;
                }
            }
        }
    }
}

/// Adds a row's part to the gradients of gain and bias.
#[inline(always)]
fn row_gradients(
    (x, dy): (&[f32], &[f32]),
    (mean, scale): (f32, f32),
    (dgain, dbias): (&mut [f32], &mut [f32]),
) {
    for (((x, dy), dgain), dbias) in x.iter().zip(dy).zip(dgain).zip(dbias) {
        *dgain = dy.mul_add((x - mean) * scale, *dgain);
        *dbias += dy;
    }
}

/// Sixteen partial sums over a row of `g` and of `g * xhat`, where `g = dy * gain` and `xhat` is the
/// normalised row.
#[inline(always)]
fn row_sums((x, dy): (&[f32], &[f32]), (mean, scale): (f32, f32), gain: &[f32]) -> [[f32; LANES]; 2] {
    let (mut sum, mut sum_x) = ([0.0; LANES], [0.0; LANES]);
    let (mut xs, mut dys, mut gains) =
        (x.chunks_exact(LANES), dy.chunks_exact(LANES), gain.chunks_exact(LANES));
    for ((x, dy), gain) in (&mut xs).zip(&mut dys).zip(&mut gains) {
        for i in 0..LANES {
            sum[i] += dy[i] * gain[i];
        }
        for i in 0..LANES {
            sum_x[i] = (dy[i] * gain[i]).mul_add((x[i] - mean) * scale, sum_x[i]);
        }
    }
    for ((x, dy), gain) in xs.remainder().iter().zip(dys.remainder()).zip(gains.remainder()) {
        sum[0] += dy * gain;
        sum_x[0] = (dy * gain).mul_add((x - mean) * scale, sum_x[0]);
    }
    [sum, sum_x]
}

vectorised! {
    /// Adds the gradient of the input to `dx`, of gain and bias to `dgain` and `dbias`:
    /// `dx += scale (g - mean(g) - xhat mean(g xhat))`, `g = dy gain` (Ba et al. 2016, by the chain rule).
    pub fn backward<S>(
        x: &[f32],
        stats: &[f32],
        gain: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        dgain: &mut [f32],
        dbias: &mut [f32],
    ) {
        let d = gain.len();
        let size = ROWS * d;
        let blocks = x.chunks(size).zip(stats.chunks(ROWS * STATS)).zip(dy.chunks(size)).zip(dx.chunks_mut(size));
        for (((x, stats), dy), dx) in blocks {
            let (mut sums, mut sums_x) = ([[0.0; LANES]; ROWS], [[0.0; LANES]; ROWS]);
            let rows = x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(stats.chunks_exact(STATS));
            for ((row, stats), (sum, sum_x)) in rows.clone().zip(sums.iter_mut().zip(&mut sums_x)) {
                let stats = (stats[0], stats[1]);
                row_gradients(row, stats, (&mut *dgain, &mut *dbias));
                [*sum, *sum_x] = row_sums(row, stats, gain);
            }
            let (sums, sums_x) = (join_lanes::<S>(&sums, S::add), join_lanes::<S>(&sums_x, S::add));
            for (((row, stats), dx), (sum, sum_x)) in rows.zip(dx.chunks_exact_mut(d)).zip(sums.iter().zip(&sums_x)) {
                let ((x, dy), mean, scale) = (row, stats[0], stats[1]);
                let (g, gx) = (sum / d as f32, sum_x / d as f32);
                for (((dx, dy), x), gain) in dx.iter_mut().zip(dy).zip(x).zip(gain) {
                    let xhat = (x - mean) * scale;
                    *dx = scale.mul_add(dy.mul_add(*gain, -xhat.mul_add(gx, g)), *dx);
                }
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
