//! Functions of one number, and sums and products of two, element by element.

use rayon::prelude::*;

use super::math::{cosine, exp, normal, sine};
use super::simd::vectorised;
use crate::kernels::Function;

/// Elements per task.
const TASK: usize = 1 << 14;

/// `f(x)` of every element.
pub fn forward(function: Function, x: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).for_each(|(y, x)| values(function, x, y));
    y
}

/// `dx += dy f'(x)`.
pub fn backward(function: Function, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    let tasks = dx.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).zip(dy.par_chunks(TASK));
    tasks.for_each(|((dx, x), dy)| add_slopes(function, x, dy, dx));
}

/// `to += a b`.
pub fn add_products(to: &mut [f32], a: &[f32], b: &[f32]) {
    let tasks = to.par_chunks_mut(TASK).zip(a.par_chunks(TASK)).zip(b.par_chunks(TASK));
    tasks.for_each(|((to, a), b)| multiply_add(a, b, to));
}

/// `to += from`.
pub fn add(to: &mut [f32], from: &[f32]) {
    let tasks = to.par_chunks_mut(TASK).zip(from.par_chunks(TASK));
    tasks.for_each(|(to, from)| super::elementwise::add(to, from));
}

/// The sum: f64 within a task, then task after task.
pub fn sum(x: &[f32]) -> f64 {
    let sum = |x: &[f32]| x.iter().map(|v| f64::from(*v)).sum::<f64>();
    x.par_chunks(TASK).map(sum).collect::<Vec<_>>().into_iter().sum()
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    x * normal(x).0
}

/// `Phi(x) + x phi(x)`.
#[inline(always)]
fn gelu_slope(x: f32) -> f32 {
    let (cdf, density) = normal(x);
    x.mul_add(density, cdf)
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

/// `s + x s (1 - s)`, `s` the sigmoid.
#[inline(always)]
fn silu_slope(x: f32) -> f32 {
    let s = sigmoid(x);
    s * x.mul_add(1.0 - s, 1.0)
}

/// `1 - 2 / (e^2x + 1)`; the absolute error is that of `f32` at one.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// `1 - tanh(x)^2`.
#[inline(always)]
fn tanh_slope(x: f32) -> f32 {
    let t = tanh(x);
    t.mul_add(-t, 1.0)
}

#[inline(always)]
fn minus_sine(x: f32) -> f32 {
    -sine(x)
}

/// `max(x, 0)` that lets NaN through.
#[inline(always)]
fn positive(x: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { x }
}

/// `-1 / (2 s)` below the floor, `s = sqrt(x + eps)`.
#[inline(always)]
fn hinge_slope(x: f32, floor: f32, eps: f32) -> f32 {
    let s = (x + eps).sqrt();
    if s >= floor { 0.0 } else { -0.5 / s }
}

#[inline(always)]
fn each(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = f(*x);
    }
}

#[inline(always)]
fn add_each(x: &[f32], dy: &[f32], dx: &mut [f32], slope: impl Fn(f32) -> f32) {
    for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
        *dx = dy.mul_add(slope(*x), *dx);
    }
}

// Functions by name, not closures, where they are long: what is not inlined loses the instruction set.
vectorised! {
    fn values(function: Function, x: &[f32], y: &mut [f32]) {
        match function {
            Function::Affine { scale, shift } => each(x, y, |x| x.mul_add(scale, shift)),
            Function::Gelu => each(x, y, gelu),
            Function::Silu => each(x, y, silu),
            Function::Relu => each(x, y, positive),
            Function::Tanh => each(x, y, tanh),
            Function::Square => each(x, y, |x| x * x),
            Function::Sin => each(x, y, sine),
            Function::Cos => each(x, y, cosine),
            Function::StdHinge { floor, eps } => each(x, y, |x| positive(floor - (x + eps).sqrt())),
        }
    }
}

vectorised! {
    fn add_slopes(function: Function, x: &[f32], dy: &[f32], dx: &mut [f32]) {
        match function {
            Function::Affine { scale, .. } => add_each(x, dy, dx, |_| scale),
            Function::Gelu => add_each(x, dy, dx, gelu_slope),
            Function::Silu => add_each(x, dy, dx, silu_slope),
            Function::Relu => add_each(x, dy, dx, |x| if x > 0.0 { 1.0 } else { 0.0 }),
            Function::Tanh => add_each(x, dy, dx, tanh_slope),
            Function::Square => add_each(x, dy, dx, |x| 2.0 * x),
            Function::Sin => add_each(x, dy, dx, cosine),
            Function::Cos => add_each(x, dy, dx, minus_sine),
            Function::StdHinge { floor, eps } => add_each(x, dy, dx, |x| hinge_slope(x, floor, eps)),
        }
    }
}

vectorised! {
    fn multiply_add(a: &[f32], b: &[f32], to: &mut [f32]) {
        for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
            *to = a.mul_add(*b, *to);
        }
    }
}
