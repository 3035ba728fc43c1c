//! Every operator composed from plain dfdx operations: slow, obvious, for any device.
//!
//! This is what tests hold the fused operators against. Attention pads sequences to the longest one
//! and masks the padding, so that whole batches are single operations.

mod block;
mod compose;

use dfdx::prelude::{
    Axes2, Axis, BroadcastTo, GatherTo, HasShape, MeanTo, PermuteTo, PutTape, ReshapeTo, SplitTape, SumTo,
    TryAdd, TryConcatAlong, TryDiv, TryMatMul, TryMul, TrySub,
};
use ijepa_registry::tensor::{
    Device, Flat, Gradients, ModelError, Rows, Segments, Tape, TapedRows, TapedScalar, Tensor,
};

use super::check::{check_blocks, check_gather, check_linear, check_loss};
use super::{
    AdamWUpdate, BlockParams, MatmulPrecision, MuonStep, MuonUpdate, NONE, Result, RowLoss, TableTerm,
};

pub use block::gelu;
pub use compose::*;

/// See [`super::Backend::linear`].
pub fn linear<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
    weight: &Flat<D>,
    bias: &Flat<D>,
    precision: MatmulPrecision,
) -> Result<Rows<D, T>> {
    let (inputs, outputs) = check_linear(&x, weight, bias)?;
    let weight = weight.retaped::<T>().try_reshape_like(&(outputs, inputs)).map_err(err)?;
    affine(x, weight, bias.retaped::<T>(), precision).map_err(err)
}

/// See [`super::Backend::linear_of_input`].
pub fn linear_of_input<D: Device<f32>, T: Tape<f32, D>>(
    x: &Rows<D>,
    weight: &Flat<D>,
    bias: &Flat<D>,
    precision: MatmulPrecision,
    tape: T,
) -> Result<Rows<D, T>> {
    linear(x.clone().put_tape(tape), weight, bias, precision)
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
    x.clone().try_normalize::<Axis<1>>(f64::from(eps)).map_err(err)
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
        x = block::forward(x, block, segments, keep.filter(|_| last)).map_err(err)?;
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
        let table = if term.trained { term.table.clone() } else { detached(term.table)? };
        let table = table.retaped::<T>().try_reshape_like(&shape).map_err(err)?;
        out = out.try_add(gather_or_zero(table, term.index).map_err(err)?).map_err(err)?;
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

/// [`super::Backend::adamw`] on one parameter and `grad_scale` times its gradient.
pub fn adamw<D: Device<f32>>(
    AdamWUpdate { param, m, v, step, shadow }: AdamWUpdate<'_, D>,
    gradients: &mut Gradients<f32, D>,
    grad_scale: f64,
    momentum: f64,
) -> Result<()> {
    gradients.try_alloc_for(param).map_err(err)?;
    let grad = gradients.get(param);
    // The updates keep the tensors' identity: gradients of the next step must find them.
    let update = || -> std::result::Result<(), D::Err> {
        let scaled = grad.try_mul(grad_scale as f32)?;
        m.try_axpy(step.beta1, &scaled, 1.0 - step.beta1)?;
        v.try_axpy(step.beta2, &scaled.try_square()?, 1.0 - step.beta2)?;
        let root = v.clone().try_sqrt()?.try_div(step.correction2().sqrt() as f32)?;
        let ratio = m.clone().try_div(root.try_add(step.eps as f32)?)?;
        param.try_axpy(1.0 - step.lr * step.weight_decay, &ratio, -step.lr / step.correction1())
    };
    update().map_err(err)?;
    shadow.map_or(Ok(()), |shadow| ema(shadow, param, momentum))
}

/// [`super::Backend::muon`] on one matrix, products of f32.
pub fn muon<D: Device<f32>>(
    MuonUpdate { param, shape, buffer, decay, rate, .. }: MuonUpdate<'_, D>,
    gradients: &mut Gradients<f32, D>,
    step: &MuonStep,
) -> Result<()> {
    gradients.try_alloc_for(param).map_err(err)?;
    let grad = gradients.get(param);
    let [a, b, c] = MuonStep::COEFFICIENTS.map(|v| v as f32);
    let mut update = || -> std::result::Result<(), D::Err> {
        buffer.try_axpy(step.momentum, &grad, 1.0 - step.momentum)?;
        let mut u = buffer.clone();
        if step.nesterov {
            u.try_axpy(step.momentum, &grad, 1.0 - step.momentum)?;
        }
        let norm = u.as_vec().iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let mut x = u.try_reshape_like(&shape)?.try_div(norm as f32)?;
        for _ in 0..step.iterations {
            // (rows, rows) whatever the shape: x (x' x) is (x x') x.
            let gram = x.clone().try_matmul(x.clone().try_permute::<_, Axes2<1, 0>>()?)?;
            let sum = gram.clone().try_mul(b)?.try_add(gram.clone().try_matmul(gram)?.try_mul(c)?)?;
            x = x.clone().try_mul(a)?.try_add(sum.try_matmul(x)?)?;
        }
        let length = *param.shape();
        param.try_axpy(decay, &x.try_reshape_like(&length)?, -rate)
    };
    update().map_err(err)
}

/// The square of [`super::Backend::gradient_norm`], of one parameter.
pub fn grad_sq_norm<D: Device<f32>>(param: &Flat<D>, gradients: &mut Gradients<f32, D>) -> Result<f64> {
    gradients.try_alloc_for(param).map_err(err)?;
    let squares = gradients.get(param).try_square().map_err(err)?;
    let sum: Tensor<(), f32, D> = squares.try_sum().map_err(err)?;
    let mut host = [0.0];
    sum.copy_into(&mut host);
    Ok(f64::from(host[0]))
}

/// [`super::Backend::ema`] on one pair.
pub fn ema<D: Device<f32>>(teacher: &mut Flat<D>, student: &Flat<D>, momentum: f64) -> Result<()> {
    teacher.try_axpy(momentum, student, 1.0 - momentum).map_err(err)
}

fn err(cause: impl std::fmt::Debug) -> ModelError {
    ModelError::from_debug(cause)
}

/// `x w' + b`, `w` (out, in), of rounded `x` and `w`. The gradient is as if they were not rounded, but
/// taken there.
fn affine<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
    weight: Rows<D, T>,
    bias: Flat<D, T>,
    precision: MatmulPrecision,
) -> std::result::Result<Rows<D, T>, D::Err> {
    let (x, weight) = match precision {
        MatmulPrecision::F32 | MatmulPrecision::Tf32 => (x, weight),
        MatmulPrecision::Bf16 | MatmulPrecision::Bf16Amx => (rounded(x)?, rounded(weight)?),
    };
    let y = x.try_matmul(weight.try_permute::<_, Axes2<1, 0>>()?)?;
    let shape = *y.shape();
    y.try_add(bias.try_broadcast_like::<_, Axis<0>>(&shape)?)
}

/// The nearest bf16 of every value, ties to even, with a slope of one.
fn rounded<D: Device<f32>, T: Tape<f32, D>>(x: Rows<D, T>) -> std::result::Result<Rows<D, T>, D::Err> {
    let (x, tape) = x.split_tape();
    let nearest = |v: f32| f32::from_bits((v.to_bits() + 0x7fff + (v.to_bits() >> 16 & 1)) & 0xffff_0000);
    let values = x.as_vec().into_iter().map(nearest).collect();
    let values: Rows<D> = x.device().try_tensor_from_vec(values, *x.shape())?;
    let nothing = x.clone().put_tape(tape).try_sub(x.try_add(0.0)?)?;
    nothing.try_add(values)
}

fn norm<D: Device<f32>, T: Tape<f32, D>>(
    x: Rows<D, T>,
    gain: &Flat<D>,
    bias: &Flat<D>,
    eps: f32,
) -> std::result::Result<Rows<D, T>, D::Err> {
    let shape = *x.shape();
    let gain = gain.retaped::<T>().try_broadcast_like::<_, Axis<0>>(&shape)?;
    let bias = bias.retaped::<T>().try_broadcast_like::<_, Axis<0>>(&shape)?;
    x.try_normalize::<Axis<1>>(f64::from(eps))?.try_mul(gain)?.try_add(bias)
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
    let index: Vec<u32> = index.iter().map(|i| if *i == NONE { rows as u32 } else { *i }).collect();
    gather(extended, &index)
}

/// The same values under a new identity: no gradient reaches the original.
fn detached<D: Device<f32>>(x: &Flat<D>) -> Result<Flat<D>> {
    x.clone().try_add(0.0).map_err(err)
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
