//! The operators of [`super::super::Compose`] from plain dfdx operations. Operands share one kind of tape.

use std::ops::Range;

use dfdx::prelude::{
    Axes2, Axis, BroadcastTo, HasShape, MeanTo, PermuteTo, ReshapeTo, SumTo, TryAdd, TryConcatAlong, TryDiv,
    TryMatMul, TryMul, TrySub,
};
use ijepa_registry::tensor::{Device, Flat, Rows, Segments, Tape, Tensor};

use super::super::check::{
    check_attention, check_columns, check_concat_columns, check_concat_rows, check_factors, check_groups,
    check_matmul, check_moment, check_range, check_same, check_segment_means, check_turns, check_wide,
};
use super::super::{Function, MatmulPrecision, Result};
use super::{block, err, gather_or_zero, gelu, rounded};

/// What dfdx returns.
type Done<D, T> = std::result::Result<Rows<D, T>, <D as dfdx::prelude::HasErr>::Err>;

/// See [`super::super::Compose::attention`].
pub fn attention<D: Device<f32>, T: Tape<f32, D>>(
    q: Rows<D, T>,
    k: Rows<D, T>,
    v: Rows<D, T>,
    heads: usize,
    q_segments: &Segments,
    kv_segments: &Segments,
) -> Result<Rows<D, T>> {
    check_attention(&q, &k, &v, heads, q_segments, kv_segments)?;
    let [queries, keys] = [q_segments, kv_segments].map(|s| s.ranges().collect::<Vec<_>>());
    block::attention(heads, (q, k, v), &queries, &keys).map_err(err)
}

/// See [`super::super::Compose::map`].
pub fn map<D: Device<f32>, T: Tape<f32, D>>(x: Rows<D, T>, function: Function) -> Result<Rows<D, T>> {
    let of = |x: Rows<D, T>| -> Done<D, T> {
        match function {
            Function::Affine { scale, shift } => x.try_mul(scale)?.try_add(shift),
            Function::Gelu => gelu(x),
            Function::Silu => x.retaped::<T>().try_sigmoid()?.try_mul(x),
            Function::Relu => x.try_relu(),
            Function::Tanh => x.try_tanh(),
            Function::Square => x.try_square(),
            Function::Sin => x.try_sin(),
            Function::Cos => x.try_cos(),
            Function::StdHinge { floor, eps } => {
                x.try_add(eps)?.try_sqrt()?.try_negate()?.try_add(floor)?.try_relu()
            }
        }
    };
    of(x).map_err(err)
}

/// See [`super::super::Compose::add`].
pub fn add<D: Device<f32>, T: Tape<f32, D>>(x: Rows<D, T>, y: Rows<D, T>) -> Result<Rows<D, T>> {
    check_same(&x, &y)?;
    x.try_add(y).map_err(err)
}

/// See [`super::super::Compose::multiply`].
pub fn multiply<D: Device<f32>, T: Tape<f32, D>>(x: Rows<D, T>, y: Rows<D, T>) -> Result<Rows<D, T>> {
    check_same(&x, &y)?;
    x.try_mul(y).map_err(err)
}

/// See [`super::super::Compose::scale_columns`].
pub fn scale_columns<D: Device<f32>, T: Tape<f32, D>>(x: Rows<D, T>, gain: &Flat<D>) -> Result<Rows<D, T>> {
    check_columns(&x, gain)?;
    let shape = *x.shape();
    let gain = gain.retaped::<T>().try_broadcast_like::<_, Axis<0>>(&shape).map_err(err)?;
    x.try_mul(gain).map_err(err)
}

/// See [`super::super::Compose::scale_rows`].
pub fn scale_rows<D: Device<f32>, T: Tape<f32, D>>(x: Rows<D, T>, factors: &[f32]) -> Result<Rows<D, T>> {
    check_factors(&x, factors)?;
    let (n, d) = *x.shape();
    let factors: Flat<D> = x.device().try_tensor_from_vec(factors.to_vec(), (n,)).map_err(err)?;
    x.try_mul(factors.try_broadcast_like::<_, Axis<1>>(&(n, d)).map_err(err)?).map_err(err)
}

/// See [`super::super::Compose::rms_norm`].
pub fn rms_norm<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
    gain: &Flat<D>,
    eps: f32,
) -> Result<Rows<D, T>> {
    check_groups(&x, gain)?;
    let ((n, d), w) = (*x.shape(), gain.shape().0);
    let groups = (n * d / w, w);
    let of = |x: Rows<D, T>| -> Done<D, T> {
        let x = x.try_reshape_like(&groups)?;
        let squares = x.retaped::<T>().try_square()?.try_mean::<(usize,), Axis<1>>()?;
        let root = squares.try_add(eps)?.try_sqrt()?.try_broadcast_like::<_, Axis<1>>(&groups)?;
        let gain = gain.retaped::<T>().try_broadcast_like::<_, Axis<0>>(&groups)?;
        x.try_div(root)?.try_mul(gain)?.try_reshape_like(&(n, d))
    };
    of(x).map_err(err)
}

/// See [`super::super::Compose::rotate`]: `x C + (x J) S`, where `J` swaps the columns of every pair.
pub fn rotate<D: Device<f32>, T: Tape<f32, D>>(x: Rows<D, T>, turns: &Rows<D>) -> Result<Rows<D, T>> {
    check_turns(&x, turns)?;
    let ((n, d), w) = (*x.shape(), turns.shape().1);
    if n == 0 {
        return Ok(x);
    }
    let values = turns.as_vec();
    // Column `j` of a row takes the cosine and the sine of its pair; the first of a pair takes minus the sine.
    let of = |part: usize| (0..n * d).map(move |at| (at / d) * w + part * w / 2 + at % d % w / 2);
    let sign = |at: usize| if (at % d).is_multiple_of(2) { -1.0 } else { 1.0 };
    let cosines: Vec<f32> = of(0).map(|i| values[i]).collect();
    let sines: Vec<f32> = of(1).enumerate().map(|(at, i)| sign(at) * values[i]).collect();
    let swap: Vec<f32> = (0..d * d).map(|at| if at / d == ((at % d) ^ 1) { 1.0 } else { 0.0 }).collect();
    let device = x.device().clone();
    let constant = |values, shape| device.try_tensor_from_vec(values, shape).map_err(err);
    let (cosines, sines): (Rows<D>, Rows<D>) = (constant(cosines, (n, d))?, constant(sines, (n, d))?);
    let swap: Rows<D> = constant(swap, (d, d))?;
    let of = |x: Rows<D, T>| -> Done<D, T> {
        let swapped = x.retaped::<T>().try_matmul(swap)?.try_mul(sines)?;
        x.try_mul(cosines)?.try_add(swapped)
    };
    of(x).map_err(err)
}

/// See [`super::super::Compose::concat_rows`].
pub fn concat_rows<D: Device<f32>, T: Tape<f32, D>>(a: Rows<D, T>, b: Rows<D, T>) -> Result<Rows<D, T>> {
    check_concat_rows(&a, &b)?;
    (a, b).try_concat_along(Axis::<0>).map_err(err)
}

/// See [`super::super::Compose::concat_columns`].
pub fn concat_columns<D: Device<f32>, T: Tape<f32, D>>(a: Rows<D, T>, b: Rows<D, T>) -> Result<Rows<D, T>> {
    check_concat_columns(&a, &b)?;
    (a, b).try_concat_along(Axis::<1>).map_err(err)
}

/// See [`super::super::Compose::columns`].
pub fn columns<D: Device<f32>, T: Tape<f32, D>>(x: Rows<D, T>, range: Range<usize>) -> Result<Rows<D, T>> {
    check_range(&x, &range)?;
    x.try_slice((.., range)).map_err(err)
}

/// See [`super::super::Compose::gather_rows_wide`].
pub fn gather_rows_wide<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
    index: &[u32],
    count: usize,
) -> Result<Rows<D, T>> {
    let shape = check_wide(&x, index, count)?;
    gather_or_zero(x, index).and_then(|x| x.try_reshape_like(&shape)).map_err(err)
}

/// See [`super::super::Compose::segment_means`]: a product with a matrix of shares.
pub fn segment_means<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
    segments: &Segments,
) -> Result<Rows<D, T>> {
    check_segment_means(&x, segments)?;
    let (m, n) = (segments.len(), segments.rows());
    let mut shares = vec![0.0; m * n];
    for (i, range) in segments.ranges().enumerate() {
        shares[i * n..][range.clone()].fill(1.0 / range.len() as f32);
    }
    let shares: Rows<D> = x.device().try_tensor_from_vec(shares, (m, n)).map_err(err)?;
    shares.retaped::<T>().try_matmul(x).map_err(err)
}

/// See [`super::super::Compose::center_columns`].
pub fn center_columns<D: Device<f32>, T: Tape<f32, D>>(x: Rows<D, T>) -> Result<Rows<D, T>> {
    check_moment(&x, 1)?;
    centered(x).map_err(err)
}

fn centered<D: Device<f32>, T: Tape<f32, D>>(x: Rows<D, T>) -> Done<D, T> {
    let shape = *x.shape();
    let means = x.retaped::<T>().try_mean::<(usize,), Axis<0>>()?;
    x.try_sub(means.try_broadcast_like::<_, Axis<0>>(&shape)?)
}

/// See [`super::super::Compose::column_variances`].
pub fn column_variances<D: Device<f32>, T: Tape<f32, D>>(x: Rows<D, T>) -> Result<Rows<D, T>> {
    check_moment(&x, 2)?;
    let (n, d) = *x.shape();
    let of = |x: Rows<D, T>| -> Done<D, T> {
        let sums = centered(x)?.try_square()?.try_sum::<(usize,), Axis<0>>()?;
        sums.try_div(n as f32 - 1.0)?.try_reshape_like(&(1usize, d))
    };
    of(x).map_err(err)
}

/// See [`super::super::Compose::matmul`].
pub fn matmul<D: Device<f32>, T: Tape<f32, D>>(
    a: Rows<D, T>,
    b: Rows<D, T>,
    transpose_a: bool,
    transpose_b: bool,
    precision: MatmulPrecision,
) -> Result<Rows<D, T>> {
    check_matmul(&a, &b, [transpose_a, transpose_b])?;
    let round = |x: Rows<D, T>| match precision {
        MatmulPrecision::F32 | MatmulPrecision::Tf32 => Ok(x),
        MatmulPrecision::Bf16 | MatmulPrecision::Bf16Amx => rounded(x),
    };
    let turn = |x: Rows<D, T>, turn| if turn { x.try_permute::<_, Axes2<1, 0>>() } else { Ok(x) };
    let of = |a, b| -> Done<D, T> { turn(round(a)?, transpose_a)?.try_matmul(turn(round(b)?, transpose_b)?) };
    of(a, b).map_err(err)
}

/// See [`super::super::Compose::sum`].
pub fn sum<D: Device<f32>, T: Tape<f32, D>>(x: Rows<D, T>) -> Result<Tensor<(), f32, D, T>> {
    x.try_sum().map_err(err)
}

/// See [`super::super::Compose::add_scalars`].
pub fn add_scalars<D: Device<f32>, T: Tape<f32, D>>(
    a: Tensor<(), f32, D, T>,
    b: Tensor<(), f32, D, T>,
) -> Result<Tensor<(), f32, D, T>> {
    a.try_add(b).map_err(err)
}
