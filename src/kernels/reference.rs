//! Every operator composed from plain dfdx operations: slow, obvious, for any device.
//!
//! This is what tests hold the fused operators against. Attention pads sequences to the longest one
//! and masks the padding, so that whole batches are single operations.

use dfdx::prelude::{
    Axes2, Axes3, Axes4, Axis, BroadcastTo, GatherTo, HasShape, MeanTo, PermuteTo, PutTape,
    ReshapeTo, SplitTape, SumTo, TryAdd, TryConcatAlong, TryDiv, TryMatMul, TryMul, TrySub,
};
use ijepa_registry::tensor::{
    Device, Flat, Gradients, ModelError, Rows, Segments, Tape, TapedRows, TapedScalar, Tensor,
};

use super::{
    AdamWStep, BlockParams, NONE, Result, RowLoss, TableTerm, check_blocks, check_gather,
    check_linear, check_loss,
};

type Rows3<D, T> = Tensor<(usize, usize, usize), f32, D, T>;

/// Added to the scores of padding: their probabilities become exactly zero.
const MASKED: f32 = -1e9;

/// See [`super::Backend::linear`].
pub fn linear<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
    weight: &Flat<D>,
    bias: &Flat<D>,
) -> Result<Rows<D, T>> {
    let (inputs, outputs) = check_linear(&x, weight, bias)?;
    let weight = weight
        .retaped::<T>()
        .try_reshape_like(&(outputs, inputs))
        .map_err(err)?;
    affine(x, weight, bias.retaped::<T>()).map_err(err)
}

/// See [`super::Backend::linear_of_input`].
pub fn linear_of_input<D: Device<f32>, T: Tape<f32, D>>(
    x: &Rows<D>,
    weight: &Flat<D>,
    bias: &Flat<D>,
    tape: T,
) -> Result<Rows<D, T>> {
    linear(x.clone().put_tape(tape), weight, bias)
}

/// See [`super::Backend::layer_norm`].
pub fn layer_norm<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
    gain: &Flat<D>,
    bias: &Flat<D>,
    eps: f32,
) -> Result<Rows<D, T>> {
    norm(x, gain, bias, eps).map_err(err)
}

/// See [`super::Backend::standardize`].
pub fn standardize<D: Device<f32>>(x: &Rows<D>, eps: f32) -> Result<Rows<D>> {
    x.clone()
        .try_normalize::<Axis<1>>(f64::from(eps))
        .map_err(err)
}

/// See [`super::Backend::blocks`].
pub fn blocks<D: Device<f32>, T: Tape<f32, D>>(
    mut x: Rows<D, T>,
    blocks: &[BlockParams<D>],
    segments: &Segments,
    keep: Option<&[u32]>,
) -> Result<Rows<D, T>> {
    check_blocks(&x, blocks, segments, keep)?;
    for (i, block) in blocks.iter().enumerate() {
        let last = i + 1 == blocks.len();
        x = one_block(x, block, segments, keep.filter(|_| last)).map_err(err)?;
    }
    Ok(x)
}

/// See [`super::Backend::gather_sum`].
pub fn gather_sum<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
    index: &[u32],
    tables: &[TableTerm<'_, D>],
) -> Result<Rows<D, T>> {
    check_gather(&x, index, tables)?;
    let d = x.shape().1;
    let mut out = gather_or_zero(x, index).map_err(err)?;
    for term in tables {
        let shape = (term.table.shape().0 / d, d);
        let table = if term.trained {
            term.table.clone()
        } else {
            detached(term.table)?
        };
        let table = table.retaped::<T>().try_reshape_like(&shape).map_err(err)?;
        out = out
            .try_add(gather_or_zero(table, term.index).map_err(err)?)
            .map_err(err)?;
    }
    Ok(out)
}

/// See [`super::Backend::loss`].
pub fn loss<D: Device<f32>>(
    loss: RowLoss,
    prediction: TapedRows<D>,
    target: &Rows<D>,
) -> Result<TapedScalar<D>> {
    check_loss(&prediction, target)?;
    row_loss(loss, prediction, target).map_err(err)
}

/// See [`super::Backend::adamw`].
pub fn adamw<D: Device<f32>>(
    param: &mut Flat<D>,
    m: &mut Flat<D>,
    v: &mut Flat<D>,
    gradients: &mut Gradients<f32, D>,
    step: &AdamWStep,
) -> Result<()> {
    gradients.try_alloc_for(param).map_err(err)?;
    let grad = gradients.get(param);
    // The updates keep the tensors' identity: gradients of the next step must find them.
    let update = || -> std::result::Result<(), D::Err> {
        let scaled = grad.try_mul(step.grad_scale as f32)?;
        m.try_axpy(step.beta1, &scaled, 1.0 - step.beta1)?;
        v.try_axpy(step.beta2, &scaled.try_square()?, 1.0 - step.beta2)?;
        let root = v
            .clone()
            .try_sqrt()?
            .try_div(step.correction2().sqrt() as f32)?;
        let ratio = m.clone().try_div(root.try_add(step.eps as f32)?)?;
        param.try_axpy(
            1.0 - step.lr * step.weight_decay,
            &ratio,
            -step.lr / step.correction1(),
        )
    };
    update().map_err(err)
}

/// See [`super::Backend::grad_sq_norm`].
pub fn grad_sq_norm<D: Device<f32>>(
    param: &Flat<D>,
    gradients: &mut Gradients<f32, D>,
) -> Result<f64> {
    gradients.try_alloc_for(param).map_err(err)?;
    let squares = gradients.get(param).try_square().map_err(err)?;
    let sum: Tensor<(), f32, D> = squares.try_sum().map_err(err)?;
    let mut host = [0.0];
    sum.copy_into(&mut host);
    Ok(f64::from(host[0]))
}

/// See [`super::Backend::ema`].
pub fn ema<D: Device<f32>>(teacher: &mut Flat<D>, student: &Flat<D>, momentum: f64) -> Result<()> {
    teacher
        .try_axpy(momentum, student, 1.0 - momentum)
        .map_err(err)
}

/// The exact GELU. dfdx's `accurate_gelu` has the right value and a wrong derivative, so the derivative
/// `Phi(x) + x phi(x)` is computed beside it, without a tape, and attached as the slope of a line
/// through the value.
pub fn gelu<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
) -> std::result::Result<Rows<D, T>, D::Err> {
    let (x, tape) = x.split_tape();
    let slope = gelu_derivative(x.clone())?;
    let value = x.clone().try_accurate_gelu()?;
    let nothing = x.clone().put_tape(tape).try_sub(copy(&x)?)?;
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
    let mut p = t.clone().try_mul(1.061_405_429)?;
    for coefficient in [-1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592] {
        p = p.try_add(coefficient)?.try_mul(t.clone())?;
    }
    // Phi = 1/2 + sign (1/2 - erfc(|x| / sqrt 2) / 2)
    let half_erf = p.try_mul(e.clone())?.try_mul(-0.5)?.try_add(0.5)?;
    let cdf = half_erf.try_mul(sign)?.try_add(0.5)?;
    let density = e.try_mul(0.398_942_280_401)?;
    cdf.try_add(density.try_mul(x)?)
}

fn err(cause: impl std::fmt::Debug) -> ModelError {
    ModelError::from_debug(cause)
}

/// `x w' + b`, `w` (out, in).
fn affine<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
    weight: Rows<D, T>,
    bias: Flat<D, T>,
) -> std::result::Result<Rows<D, T>, D::Err> {
    let y = x.try_matmul(weight.try_permute::<_, Axes2<1, 0>>()?)?;
    let shape = *y.shape();
    y.try_add(bias.try_broadcast_like::<_, Axis<0>>(&shape)?)
}

fn norm<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
    gain: &Flat<D>,
    bias: &Flat<D>,
    eps: f32,
) -> std::result::Result<Rows<D, T>, D::Err> {
    let shape = *x.shape();
    let gain = gain
        .retaped::<T>()
        .try_broadcast_like::<_, Axis<0>>(&shape)?;
    let bias = bias
        .retaped::<T>()
        .try_broadcast_like::<_, Axis<0>>(&shape)?;
    x.try_normalize::<Axis<1>>(f64::from(eps))?
        .try_mul(gain)?
        .try_add(bias)
}

fn one_block<D: Device<f32>, T: Tape<f32, D>>(
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
        let weight = p
            .qkv_weight
            .retaped::<T>()
            .try_slice((i * d * d..(i + 1) * d * d,))?;
        let bias = p.qkv_bias.retaped::<T>().try_slice((i * d..(i + 1) * d,))?;
        affine(y, weight.try_reshape_like(&(d, d))?, bias)
    };
    let q = part(gather(y.retaped::<T>(), kept)?, 0)?;
    let k = part(y.retaped::<T>(), 1)?;
    let v = part(y, 2)?;
    let o = attention(p.heads, (q, k, v), segments, kept)?;
    let map = |x, weight: &Flat<D>, bias: &Flat<D>, shape: (usize, usize)| {
        affine(
            x,
            weight.retaped::<T>().try_reshape_like(&shape)?,
            bias.retaped::<T>(),
        )
    };
    let x2 = map(o, &p.proj_weight, &p.proj_bias, (d, d))?.try_add(residual)?;
    let residual = x2.retaped::<T>();
    let y = norm(x2, &p.norm2_weight, &p.norm2_bias, p.eps)?;
    let h = map(y, &p.fc1_weight, &p.fc1_bias, (f, d))?;
    map(gelu(h)?, &p.fc2_weight, &p.fc2_bias, (d, f))?.try_add(residual)
}

/// Softmax attention inside each segment: queries of the `kept` rows, keys and values of all.
fn attention<D: Device<f32>, T: Tape<f32, D>>(
    heads: usize,
    (q, k, v): (Rows<D, T>, Rows<D, T>, Rows<D, T>),
    segments: &Segments,
    kept: &[u32],
) -> std::result::Result<Rows<D, T>, D::Err> {
    let d = q.shape().1;
    let size = d / heads;
    let count = |s: &std::ops::Range<usize>| {
        let before = |token: usize| kept.partition_point(|k| (*k as usize) < token);
        before(s.start)..before(s.end)
    };
    let keys: Vec<_> = segments.ranges().collect();
    let queries: Vec<_> = keys.iter().map(count).collect();
    let (n, m) = (longest(&keys), longest(&queries));
    if kept.is_empty() {
        return Ok(q);
    }
    let (b, dev) = (keys.len(), q.device().clone());
    let k = split_heads(k, &keys, n, heads)?.try_permute::<_, Axes3<0, 2, 1>>()?;
    let v = split_heads(v, &keys, n, heads)?;
    let q = split_heads(q, &queries, m, heads)?;
    let scores = q.try_matmul(k)?.try_mul(1.0 / (size as f32).sqrt())?;
    let mask = keys
        .iter()
        .flat_map(|s| (0..n).map(|j| if j < s.len() { 0.0 } else { MASKED }))
        .collect();
    let mask: Rows<D> = dev.try_tensor_from_vec(mask, (b, n))?;
    let mask = mask
        .try_broadcast_like::<_, Axes2<1, 2>>(&(b, heads, m, n))?
        .try_reshape_like(&(b * heads, m, n))?;
    let p = scores.try_add(mask)?.try_softmax::<Axis<2>>()?;
    let o = p.try_matmul(v)?.try_reshape_like(&(b, heads, m, size))?;
    let o = o
        .try_permute::<_, Axes4<0, 2, 1, 3>>()?
        .try_reshape_like(&(b * m, d))?;
    let packed: Vec<u32> = queries
        .iter()
        .enumerate()
        .flat_map(|(i, s)| (0..s.len()).map(move |r| (i * m + r) as u32))
        .collect();
    gather(o, &packed)
}

fn longest(ranges: &[std::ops::Range<usize>]) -> usize {
    ranges.iter().map(|r| r.len()).max().unwrap_or(0)
}

/// Packed rows to (sequences * heads, n, size); padding repeats some row and must be masked.
fn split_heads<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
    sequences: &[std::ops::Range<usize>],
    n: usize,
    heads: usize,
) -> std::result::Result<Rows3<D, T>, D::Err> {
    let (rows, d) = *x.shape();
    let padded = |s: &std::ops::Range<usize>| {
        let (start, len) = (s.start, s.len());
        (0..n).map(move |i| if i < len { start + i } else { start.min(rows - 1) } as u32)
    };
    let index: Vec<u32> = sequences.iter().flat_map(padded).collect();
    let (b, size) = (sequences.len(), d / heads);
    let x = gather(x, &index)?.try_reshape_like(&(b, n, heads, size))?;
    x.try_permute::<_, Axes4<0, 2, 1, 3>>()?
        .try_reshape_like(&(b * heads, n, size))
}

fn gather<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
    index: &[u32],
) -> std::result::Result<Rows<D, T>, D::Err> {
    let index: Vec<usize> = index.iter().map(|i| *i as usize).collect();
    let n = index.len();
    let index: Tensor<(usize,), usize, D> = x.device().try_tensor_from_vec(index, (n,))?;
    x.try_gather(index)
}

/// Rows of `x`, and a zero row where the index is [`NONE`].
fn gather_or_zero<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
    index: &[u32],
) -> std::result::Result<Rows<D, T>, D::Err> {
    let (rows, d) = *x.shape();
    let zero: Rows<D> = x.device().try_zeros_like(&(1usize, d))?;
    let extended = (x, zero).try_concat_along(Axis::<0>)?;
    let index: Vec<u32> = index
        .iter()
        .map(|i| if *i == NONE { rows as u32 } else { *i })
        .collect();
    gather(extended, &index)
}

/// The same values under a new identity: no gradient reaches the original.
fn detached<D: Device<f32>>(x: &Flat<D>) -> Result<Flat<D>> {
    x.clone().try_add(0.0).map_err(err)
}

fn copy<D: Device<f32>>(x: &Rows<D>) -> std::result::Result<Rows<D>, D::Err> {
    x.clone().try_add(0.0)
}

fn row_loss<D: Device<f32>>(
    loss: RowLoss,
    p: TapedRows<D>,
    t: &Rows<D>,
) -> std::result::Result<TapedScalar<D>, D::Err> {
    let rows = p.shape().0 as f32;
    let t = t.clone();
    match loss {
        RowLoss::L2 => p.try_sub(t)?.try_square()?.try_sum()?.try_div(rows),
        RowLoss::SmoothL1 { beta } => p.try_huber_error(t, beta)?.try_mean()?.try_div(beta),
        RowLoss::Cosine => {
            let norm = |x: TapedRows<D>| x.try_square()?.try_sum::<(usize,), Axis<1>>()?.try_sqrt();
            let p_norm = norm(p.retaped())?;
            let t_norm = norm(t.retaped())?;
            let dot = p.try_mul(t)?.try_sum::<(usize,), Axis<1>>()?;
            let cosine = dot.try_div(p_norm)?.try_div(t_norm)?;
            cosine.try_mean()?.try_negate()?.try_add(1.0)
        }
    }
}
