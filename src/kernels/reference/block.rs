//! The transformer block from plain dfdx operations.

use std::ops::Range;

use dfdx::prelude::{
    Axes2, Axes3, Axes4, Axis, BroadcastTo, HasShape, PermuteTo, PutTape, ReshapeTo, SplitTape, TryAdd,
    TryDiv, TryMatMul, TryMul, TrySub,
};
use ijepa_registry::tensor::{Device, Flat, Rows, Segments, Tape, Tensor};

use super::{BlockParams, affine, gather, norm};

type Rows3<D, T> = Tensor<(usize, usize, usize), f32, D, T>;

/// Added to the scores of padding: their probabilities become exactly zero.
const MASKED: f32 = -1e9;

/// The exact GELU. dfdx's `accurate_gelu` has the right value and a wrong derivative, so the derivative
/// `Phi(x) + x phi(x)` is computed beside it, without a tape, and attached as the slope of a line
/// through the value.
pub fn gelu<D: Device<f32>, T: Tape<f32, D>>(x: Rows<D, T>) -> std::result::Result<Rows<D, T>, D::Err> {
    let (x, tape) = x.split_tape();
    let slope = gelu_derivative(x.clone())?;
    let value = x.clone().try_accurate_gelu()?;
    let nothing = x.clone().put_tape(tape).try_sub(x.clone().try_add(0.0)?)?;
    nothing.try_mul(slope)?.try_add(value)
}

/// `Phi(x) + x phi(x)` by Abramowitz and Stegun 7.1.26.
fn gelu_derivative<D: Device<f32>>(x: Rows<D>) -> std::result::Result<Rows<D>, D::Err> {
    let size = x.clone().try_abs()?;
    // -1, 0 or 1: the constant is far below the rounding of any |x| of interest.
    let sign = x.clone().try_div(size.clone().try_add(1e-30)?)?;
    let a = size.try_mul(std::f32::consts::FRAC_1_SQRT_2)?;
    let t = a.clone().try_mul(0.327_591_1)?.try_add(1.0)?.try_recip()?;
    let e = a.try_square()?.try_negate()?.try_exp()?;
    let mut p = t.clone().try_mul(1.061_405_4)?;
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        p = p.try_add(coefficient)?.try_mul(t.clone())?;
    }
    // Phi = 1/2 + sign (1/2 - erfc(|x| / sqrt 2) / 2)
    let half_erf = p.try_mul(e.clone())?.try_mul(-0.5)?.try_add(0.5)?;
    let cdf = half_erf.try_mul(sign)?.try_add(0.5)?;
    let density = e.try_mul(0.398_942_3)?;
    cdf.try_add(density.try_mul(x)?)
}

/// One block; `keep` as in [`super::blocks`].
pub fn forward<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
    p: &BlockParams<D>,
    segments: &Segments,
    keep: Option<&[u32]>,
) -> std::result::Result<Rows<D, T>, D::Err> {
    let (d, f) = (p.dim(), p.hidden());
    let every: Vec<u32> = (0..segments.rows() as u32).collect();
    let kept = keep.unwrap_or(&every);
    let residual = gather(x.retaped::<T>(), kept)?;
    let y = norm(x, &p.norm1_weight, &p.norm1_bias, p.eps)?;
    let part = |y: Rows<D, T>, i: usize| {
        let weight = p.qkv_weight.retaped::<T>().try_slice((i * d * d..(i + 1) * d * d,))?;
        let bias = p.qkv_bias.retaped::<T>().try_slice((i * d..(i + 1) * d,))?;
        affine(y, weight.try_reshape_like(&(d, d))?, bias, p.precision)
    };
    let q = part(gather(y.retaped::<T>(), kept)?, 0)?;
    let k = part(y.retaped::<T>(), 1)?;
    let v = part(y, 2)?;
    let before = |token: usize| kept.partition_point(|k| (*k as usize) < token);
    let keys: Vec<_> = segments.ranges().collect();
    let queries: Vec<_> = keys.iter().map(|s| before(s.start)..before(s.end)).collect();
    let o = attention(p.heads, (q, k, v), &queries, &keys)?;
    let map = |x, weight: &Flat<D>, bias: &Flat<D>, shape: (usize, usize)| {
        affine(x, weight.retaped::<T>().try_reshape_like(&shape)?, bias.retaped::<T>(), p.precision)
    };
    let x2 = map(o, &p.proj_weight, &p.proj_bias, (d, d))?.try_add(residual)?;
    let residual = x2.retaped::<T>();
    let y = norm(x2, &p.norm2_weight, &p.norm2_bias, p.eps)?;
    let h = map(y, &p.fc1_weight, &p.fc1_bias, (f, d))?;
    map(gelu(h)?, &p.fc2_weight, &p.fc2_bias, (d, f))?.try_add(residual)
}

/// Softmax attention inside paired ranges of rows: of queries, and of keys and values.
pub fn attention<D: Device<f32>, T: Tape<f32, D>>(
    heads: usize,
    (q, k, v): (Rows<D, T>, Rows<D, T>, Rows<D, T>),
    queries: &[Range<usize>],
    keys: &[Range<usize>],
) -> std::result::Result<Rows<D, T>, D::Err> {
    let d = q.shape().1;
    let size = d / heads;
    let (n, m) = (longest(keys), longest(queries));
    if m == 0 {
        return Ok(q);
    }
    let (b, dev) = (keys.len(), q.device().clone());
    let k = split_heads(k, keys, n, heads)?.try_permute::<_, Axes3<0, 2, 1>>()?;
    let v = split_heads(v, keys, n, heads)?;
    let q = split_heads(q, queries, m, heads)?;
    let scores = q.try_matmul(k)?.try_mul(1.0 / (size as f32).sqrt())?;
    let mask = keys.iter().flat_map(|s| (0..n).map(|j| if j < s.len() { 0.0 } else { MASKED })).collect();
    let mask: Rows<D> = dev.try_tensor_from_vec(mask, (b, n))?;
    let mask =
        mask.try_broadcast_like::<_, Axes2<1, 2>>(&(b, heads, m, n))?.try_reshape_like(&(b * heads, m, n))?;
    let p = scores.try_add(mask)?.try_softmax::<Axis<2>>()?;
    let o = p.try_matmul(v)?.try_reshape_like(&(b, heads, m, size))?;
    let o = o.try_permute::<_, Axes4<0, 2, 1, 3>>()?.try_reshape_like(&(b * m, d))?;
    let packed: Vec<u32> =
        queries.iter().enumerate().flat_map(|(i, s)| (0..s.len()).map(move |r| (i * m + r) as u32)).collect();
    gather(o, &packed)
}

fn longest(ranges: &[Range<usize>]) -> usize {
    ranges.iter().map(|r| r.len()).max().unwrap_or(0)
}

/// Packed rows to (sequences * heads, n, size); padding repeats some row and must be masked.
fn split_heads<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
    sequences: &[Range<usize>],
    n: usize,
    heads: usize,
) -> std::result::Result<Rows3<D, T>, D::Err> {
    let (rows, d) = *x.shape();
    let padded = |s: &Range<usize>| {
        let (start, len) = (s.start, s.len());
        (0..n).map(move |i| if i < len { start + i } else { start.min(rows - 1) } as u32)
    };
    let index: Vec<u32> = sequences.iter().flat_map(padded).collect();
    let (b, size) = (sequences.len(), d / heads);
    let x = gather(x, &index)?.try_reshape_like(&(b, n, heads, size))?;
    x.try_permute::<_, Axes4<0, 2, 1, 3>>()?.try_reshape_like(&(b * heads, n, size))
}
