//! Normalisation by the root of the mean square: `y = x r gain`, `r = 1 / sqrt(mean(x^2) + eps)`, of groups of as
//! many values as `gain` has.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::elementwise::add;
use super::math::{add_lanes, dot};
use super::simd::{LANES, vectorised};

/// Groups per task.
const TASK: usize = 512;

/// The result, and `r` of every group.
pub fn forward(x: &[f32], gain: &[f32], eps: f32) -> (Vec<f32>, Buffer) {
    let w = gain.len();
    let (mut y, mut scales) = (vec![0.0; x.len()], Buffer::any(x.len() / w));
    y.par_chunks_mut(TASK * w)
        .zip(x.par_chunks(TASK * w))
        .zip(scales.par_chunks_mut(TASK))
        .for_each(|((y, x), scales)| normalise(x, y, scales, gain, eps));
    (y, scales)
}

/// Adds the gradient of the input to `dx`.
pub fn add_input_gradient(x: &[f32], scales: &[f32], gain: &[f32], dy: &[f32], dx: &mut [f32]) {
    let size = TASK * gain.len();
    let tasks = dx.par_chunks_mut(size).zip(x.par_chunks(size)).zip(dy.par_chunks(size));
    tasks.zip(scales.par_chunks(TASK)).for_each(|(((dx, x), dy), scales)| input(x, scales, gain, dy, dx));
}

/// Adds the gradient of the gain; partial sums are added in order.
pub fn add_gain_gradient(x: &[f32], scales: &[f32], dy: &[f32], dgain: &mut [f32]) {
    let w = dgain.len();
    let tasks = x.par_chunks(TASK * w).zip(dy.par_chunks(TASK * w)).zip(scales.par_chunks(TASK));
    let sum = |((x, dy), scales): ((&[f32], &[f32]), &[f32])| {
        let mut sum = Buffer::zeros(w);
        gain_sums(x, scales, dy, &mut sum);
        sum
    };
    tasks.map(sum).collect::<Vec<_>>().iter().for_each(|part| add(dgain, part));
}

vectorised! {
    fn normalise(x: &[f32], y: &mut [f32], scales: &mut [f32], gain: &[f32], eps: f32) {
        let w = gain.len();
        for ((x, y), scale) in x.chunks_exact(w).zip(y.chunks_exact_mut(w)).zip(scales) {
            *scale = 1.0 / (dot(x, x) / w as f32 + eps).sqrt();
            for ((y, x), gain) in y.iter_mut().zip(x).zip(gain) {
                *y = x * *scale * gain;
            }
        }
    }
}

/// The sum of `a b c`, in sixteen partial sums.
#[inline(always)]
fn dot3(a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    let mut partial = [0.0f32; LANES];
    let (mut a, mut b, mut c) = (a.chunks_exact(LANES), b.chunks_exact(LANES), c.chunks_exact(LANES));
    for ((a, b), c) in (&mut a).zip(&mut b).zip(&mut c) {
        for i in 0..LANES {
            partial[i] = (a[i] * b[i]).mul_add(c[i], partial[i]);
        }
    }
    let rest = a.remainder().iter().zip(b.remainder()).zip(c.remainder());
    add_lanes(partial) + rest.map(|((a, b), c)| a * b * c).sum::<f32>()
}

vectorised! {
    /// `dx += r (dy gain - x r^2 mean(dy gain x))`: the slope of `r` is `-r^3 x / w`.
    fn input(x: &[f32], scales: &[f32], gain: &[f32], dy: &[f32], dx: &mut [f32]) {
        let w = gain.len();
        let groups = x.chunks_exact(w).zip(dy.chunks_exact(w)).zip(dx.chunks_exact_mut(w));
        for (((x, dy), dx), r) in groups.zip(scales) {
            let along = r * r * dot3(dy, gain, x) / w as f32;
            for (((dx, x), dy), gain) in dx.iter_mut().zip(x).zip(dy).zip(gain) {
                *dx = r.mul_add(dy.mul_add(*gain, -(x * along)), *dx);
            }
        }
    }
}

vectorised! {
    /// `dgain += dy x r`.
    fn gain_sums(x: &[f32], scales: &[f32], dy: &[f32], dgain: &mut [f32]) {
        let w = dgain.len();
        for ((x, dy), r) in x.chunks_exact(w).zip(dy.chunks_exact(w)).zip(scales) {
            for ((dgain, x), dy) in dgain.iter_mut().zip(x).zip(dy) {
                *dgain = (x * r).mul_add(*dy, *dgain);
            }
        }
    }
}
