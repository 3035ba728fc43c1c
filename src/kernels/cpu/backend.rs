//! [`Backend`] for dfdx's CPU device: copies in, fused kernels, one tape node.

use std::convert::Infallible;

use dfdx::prelude::{Cpu, HasShape, PutTape, TensorFromVec, TryMul};
use ijepa_registry::{
    device::transform::TransformProgram,
    image::ImageShape,
    tensor::{Flat, Gradients, ModelError, NoneTape, Rows, Scalar, Segments, Tape, TapedRows, TapedScalar},
};
use rayon::prelude::*;

use super::attention::Heads;
use super::block::{Layer, Values};
use super::buffer::Buffer;
use super::stack::{self, Plan};
use super::tape::{put, read, split, take, tensor};
use super::{gather, layer_norm, linear, loss as losses, mean, muon, optimizer};
use crate::kernels::check::{
    check_blocks, check_gather, check_linear, check_loss, check_matrices, check_mean, check_pairs,
    check_prediction_stats, check_updates, ensure,
};
use crate::kernels::{
    AdamWUpdate, Backend, BlockParams, Clip, LossValue, MatmulPrecision, Memory, MuonStep, MuonUpdate,
    PredictionStats, Result, RowLoss, TableTerm, explained_variance, to_host,
};

/// Copies of a block's parameters.
fn read_block(block: &BlockParams<Cpu>) -> Values {
    Values {
        tensors: block.tensors().map(read),
        heads: Heads { count: block.heads, size: block.dim() / block.heads },
        eps: block.eps,
        precision: block.precision,
    }
}

/// The map of [`Backend::linear`]; the gradient of `x` is computed if `wants_dx`.
fn linear_node<T: Tape<f32, Cpu>>(
    x: Rows<Cpu>,
    weight: &Flat<Cpu>,
    bias: &Flat<Cpu>,
    precision: MatmulPrecision,
    mut tape: T,
    wants_dx: bool,
) -> Result<Rows<Cpu, T>> {
    let (_, outputs) = check_linear(&x, weight, bias)?;
    let (xv, wv, bv) = (read(&x), read(weight), read(bias));
    let y = tensor(x.device(), linear::forward(&xv, &wv, &bv, precision), (x.shape().0, outputs))?;
    if T::OWNS_TAPE {
        let (x, y, weight, bias) = (x.ghost(), y.ghost(), weight.clone(), bias.clone());
        tape.add_backward_op(move |g| {
            let dy = take!(g, &y);
            let (mut dw, mut db) = (take!(g, &weight), take!(g, &bias));
            if wants_dx {
                let mut dx = take!(g, &x);
                linear::backward(&xv, &wv, &dy, Some(&mut dx), (&mut dw, &mut db), precision);
                put!(g, &x, dx);
            } else {
                linear::backward(&xv, &wv, &dy, None, (&mut dw, &mut db), precision);
            }
            put!(g, &weight, dw);
            put!(g, &bias, db);
            Ok(())
        });
    }
    Ok(y.put_tape(tape))
}

impl Backend for Cpu {
    const READING_WAITS: bool = false;

    /// There are none: the images are here.
    type Images = Infallible;

    fn memory(&self) -> Result<Option<Memory>> {
        Ok(None)
    }

    fn upload(&self, values: &[f32], shape: (usize, usize)) -> Result<Rows<Self>> {
        tensor(self, values.to_vec(), shape)
    }

    fn keep_images(&self, _pixels: &[u8], _shape: ImageShape) -> Result<Option<Self::Images>> {
        Ok(None)
    }

    fn patches(images: &Self::Images, _recipes: &[TransformProgram], _patch: usize) -> Result<Rows<Self>> {
        match *images {}
    }

    fn linear<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        weight: &Flat<Self>,
        bias: &Flat<Self>,
        precision: MatmulPrecision,
    ) -> Result<Rows<Self, T>> {
        let (x, tape) = split(x)?;
        linear_node(x, weight, bias, precision, tape, true)
    }

    fn linear_of_input<T: Tape<f32, Self>>(
        x: &Rows<Self>,
        weight: &Flat<Self>,
        bias: &Flat<Self>,
        precision: MatmulPrecision,
        tape: T,
    ) -> Result<Rows<Self, T>> {
        let (x, NoneTape) = split(x.clone())?;
        linear_node(x, weight, bias, precision, tape, false)
    }

    fn layer_norm<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        gain: &Flat<Self>,
        bias: &Flat<Self>,
        eps: f32,
    ) -> Result<Rows<Self, T>> {
        let (x, mut tape) = split(x)?;
        let (rows, d) = *x.shape();
        let (g, b) = (gain.shape().0, bias.shape().0);
        ensure(d > 0 && g == d && b == d, || format!("gain of {g}, bias of {b} on {d} columns"))?;
        let (xv, gv, bv) = (read(&x), read(gain), read(bias));
        let (y, stats) = layer_norm::forward_rows(&xv, &gv, &bv, eps);
        let y = tensor(x.device(), y, (rows, d))?;
        if T::OWNS_TAPE {
            let (x, y, gain, bias) = (x.ghost(), y.ghost(), gain.clone(), bias.clone());
            tape.add_backward_op(move |g| {
                let (dy, mut dx) = (take!(g, &y), take!(g, &x));
                let (mut dgain, mut dbias) = (take!(g, &gain), take!(g, &bias));
                layer_norm::backward_rows(&xv, &stats, &gv, &dy, &mut dx, &mut dgain, &mut dbias);
                put!(g, &x, dx);
                put!(g, &gain, dgain);
                put!(g, &bias, dbias);
                Ok(())
            });
        }
        Ok(y.put_tape(tape))
    }

    fn standardize(x: &Rows<Self>, eps: f32) -> Result<Rows<Self>> {
        let (x, NoneTape) = split(x.clone())?;
        ensure(x.shape().1 > 0, || "rows without columns".into())?;
        let y = layer_norm::standardize_rows(&read(&x), x.shape().1, eps);
        tensor(x.device(), y, *x.shape())
    }

    fn blocks<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        blocks: &[BlockParams<Self>],
        segments: &Segments,
        keep: Option<&[u32]>,
    ) -> Result<Rows<Self, T>> {
        check_blocks(&x, blocks, segments, keep)?;
        let (x, mut tape) = split(x)?;
        let plan = Plan::new(segments, keep);
        let layers: Vec<Layer> = blocks.par_iter().map(|b| Layer::new(read_block(b))).collect();
        let (y, saved) = stack::forward(&layers, &plan, &read(&x), T::OWNS_TAPE);
        let y = tensor(x.device(), y, (plan.rows, x.shape().1))?;
        if T::OWNS_TAPE {
            let values: Vec<Values> = layers.into_iter().map(Layer::into_values).collect();
            let (x, y, blocks) = (x.ghost(), y.ghost(), blocks.to_vec());
            tape.add_backward_op(move |g| {
                let (dy, mut dx) = (take!(g, &y), take!(g, &x));
                let mut grads = Vec::with_capacity(blocks.len());
                for block in &blocks {
                    let mut of_block = Vec::new();
                    for t in block.tensors() {
                        of_block.push(take!(g, t));
                    }
                    grads.push(of_block);
                }
                stack::backward(&values, &plan, saved, dy, &mut dx, &mut grads);
                for (block, grads) in blocks.iter().zip(grads) {
                    for (t, grad) in block.tensors().into_iter().zip(grads) {
                        put!(g, t, grad);
                    }
                }
                put!(g, &x, dx);
                Ok(())
            });
        }
        Ok(y.put_tape(tape))
    }

    fn gather_sum<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        index: &[u32],
        tables: &[TableTerm<'_, Self>],
    ) -> Result<Rows<Self, T>> {
        check_gather(&x, index, tables)?;
        let (x, mut tape) = split(x)?;
        let d = x.shape().1;
        let xv = read(&x);
        let values: Vec<Buffer> = tables.iter().map(|t| read(t.table)).collect();
        let mut terms = vec![(&xv[..], index)];
        terms.extend(values.iter().zip(tables).map(|(v, t)| (&v[..], t.index)));
        let y = tensor(x.device(), gather::forward(&terms, index.len(), d), (index.len(), d))?;
        if T::OWNS_TAPE {
            let (x, y, index) = (x.ghost(), y.ghost(), index.to_vec());
            let trained = tables.iter().filter(|t| t.trained);
            let trained: Vec<_> = trained.map(|t| (t.table.clone(), t.index.to_vec())).collect();
            tape.add_backward_op(move |g| {
                let (dy, mut dx) = (take!(g, &y), take!(g, &x));
                gather::scatter_add(&dy, &index, &mut dx, d);
                put!(g, &x, dx);
                for (table, index) in &trained {
                    let mut dtable = take!(g, table);
                    gather::scatter_add(&dy, index, &mut dtable, d);
                    put!(g, table, dtable);
                }
                Ok(())
            });
        }
        Ok(y.put_tape(tape))
    }

    fn mean_rows(x: &Rows<Self>, count: usize) -> Result<Rows<Self>> {
        let (x, NoneTape) = split(x.clone())?;
        let (groups, d) = check_mean(&x, count)?;
        tensor(x.device(), mean::forward(&read(&x), count, d), (groups, d))
    }

    fn loss(loss: RowLoss, prediction: TapedRows<Self>, target: &Rows<Self>) -> Result<TapedScalar<Self>> {
        check_loss(&prediction, target)?;
        let (p, mut tape) = split(prediction)?;
        let (t, NoneTape) = split(target.clone())?;
        let d = p.shape().1;
        let (pv, tv) = (read(&p), read(&t));
        let value = losses::forward(loss, &pv, &tv, d);
        let out = p.device().try_tensor_from_vec(vec![value as f32], ()).map_err(ModelError::from_debug)?;
        let (p, ghost) = (p.ghost(), out.ghost());
        tape.add_backward_op(move |g| {
            let (dloss, mut dp) = (take!(g, &ghost), take!(g, &p));
            losses::backward(loss, &pv, &tv, d, f64::from(dloss[0]), &mut dp);
            put!(g, &p, dp);
            Ok(())
        });
        Ok(out.put_tape(tape))
    }

    fn prediction_stats(
        prediction: &[Rows<Self>],
        targets: &[Rows<Self>],
        index: &[u32],
        positions: &[u32],
    ) -> Result<PredictionStats> {
        let dim = check_prediction_stats(prediction, targets, index, positions)?;
        let values =
            |parts: &[Rows<Self>]| Ok(parts.iter().map(to_host).collect::<Result<Vec<_>>>()?.concat());
        Ok(explained_variance::measure(&values(prediction)?, &values(targets)?, index, positions, dim))
    }

    fn scale(loss: TapedScalar<Self>, factor: f32) -> Result<TapedScalar<Self>> {
        loss.try_mul(factor).map_err(ModelError::from_debug)
    }

    fn gradient_norm(params: &[&Flat<Self>], gradients: &mut Gradients<f32, Self>) -> Result<Scalar<Self>> {
        let mut squares = 0.0;
        for param in params {
            squares +=
                optimizer::sq_norm(gradients.get_or_alloc_mut(*param).map_err(ModelError::from_debug)?);
        }
        let device = params.first().map_or_else(Cpu::default, |p| p.device().clone());
        device.try_tensor_from_vec(vec![f64::sqrt(squares)], ()).map_err(ModelError::from_debug)
    }

    fn clear(params: &[&Flat<Self>], gradients: &mut Gradients<f32, Self>) -> Result<()> {
        params.iter().try_for_each(|p| {
            gradients.get_or_alloc_mut(*p).map_err(ModelError::from_debug)?.fill(0.0);
            Ok(())
        })
    }

    fn adamw(
        updates: &mut [AdamWUpdate<'_, Self>],
        gradients: &mut Gradients<f32, Self>,
        clip: Option<&Clip<'_, Self>>,
        momentum: f64,
    ) -> Result<()> {
        check_updates(updates)?;
        let scale = clip.map_or(1.0, |clip| clip.factor(clip.norm.as_vec()[0]));
        for AdamWUpdate { param, m, v, step, shadow } in updates {
            let (mut pv, mut mv, mut vv) = (read(param), read(m), read(v));
            let mut fv = shadow.as_ref().map(|f| read(f));
            let grad = gradients.get_or_alloc_mut(*param).map_err(ModelError::from_debug)?;
            let average = fv.as_mut().map(|f| (&mut f[..], momentum));
            optimizer::adamw(step, scale, &mut pv, grad, [&mut mv, &mut vv], average);
            param.copy_from(&pv);
            m.copy_from(&mv);
            v.copy_from(&vv);
            shadow.iter_mut().zip(fv).for_each(|(f, values)| f.copy_from(&values));
        }
        Ok(())
    }

    fn muon(
        updates: &mut [MuonUpdate<'_, Self>],
        gradients: &mut Gradients<f32, Self>,
        step: &MuonStep,
    ) -> Result<()> {
        check_matrices(updates)?;
        let mut matrices = Vec::new();
        for u in updates.iter() {
            let gradient = gradients.get_or_alloc_mut(&*u.param).map_err(ModelError::from_debug)?;
            matrices.push(muon::Matrix {
                values: read(u.param),
                buffer: read(u.buffer),
                gradient: Buffer::copy_of(gradient),
                shape: u.shape,
                decay: u.decay,
                rate: u.rate,
                precision: u.precision,
            });
        }
        muon::step(&mut matrices, step);
        for (u, m) in updates.iter_mut().zip(matrices) {
            u.param.copy_from(&m.values);
            u.buffer.copy_from(&m.buffer);
        }
        Ok(())
    }

    fn ema(pairs: &mut [(&mut Flat<Self>, &Flat<Self>)], momentum: f64) -> Result<()> {
        check_pairs(pairs)?;
        for (teacher, student) in pairs {
            let mut values = read(teacher);
            optimizer::ema(&mut values, &read(student), momentum);
            teacher.copy_from(&values);
        }
        Ok(())
    }

    fn read(losses: &[&LossValue<Self>], norms: &[&Scalar<Self>]) -> Result<Vec<f64>> {
        let losses = losses.iter().map(|n| f64::from(n.as_vec()[0]));
        Ok(losses.chain(norms.iter().map(|n| n.as_vec()[0])).collect())
    }
}
