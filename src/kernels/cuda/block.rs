//! One transformer block, forward.

use std::sync::Arc;

use cudarc::driver::CudaSlice;
use dfdx::prelude::Cuda;
use ijepa_registry::tensor::Flat;

use super::super::{BlockParams, MatmulPrecision};
use super::address;
use super::attention::{Heads, Operands, Output, Sequences};
use super::gather::Term;
use super::gpu::{Done, Gpu};
use super::launch::{Grid, args};
use super::product::Map;
use super::scatter::Scatter;
use super::values::{At, Floats, Operand, Values, at, floats};

/// Addresses of a block's tensors, or of their gradients.
#[derive(Clone, Copy, Debug)]
pub struct Tensors {
    pub norm1: [At; 2],
    pub qkv: [At; 2],
    pub proj: [At; 2],
    pub norm2: [At; 2],
    pub fc1: [At; 2],
    pub fc2: [At; 2],
}

impl Tensors {
    /// From the addresses in the order of [`BlockParams::tensors`], weight before bias.
    pub fn new(params: &BlockParams<Cuda>, of: impl FnMut(&Flat<Cuda>) -> Done<At>) -> Done<Tensors> {
        let all = params.tensors().into_iter().map(of).collect::<Done<Vec<_>>>()?;
        let pair = |i: usize| [all[2 * i], all[2 * i + 1]];
        Ok(Tensors {
            norm1: pair(0),
            qkv: pair(1),
            proj: pair(2),
            norm2: pair(3),
            fc1: pair(4),
            fc2: pair(5),
        })
    }
}

/// A block's weights, as its products read them.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    pub qkv: Values,
    pub proj: Values,
    pub fc1: Values,
    pub fc2: Values,
}

/// A block's sizes and the addresses of its values.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    pub d: usize,
    pub hidden: usize,
    pub heads: Heads,
    pub eps: f32,
    pub precision: MatmulPrecision,
    pub values: Tensors,
    pub weights: Weights,
}

impl Layer {
    /// The block with these parameters.
    pub fn new(params: &BlockParams<Cuda>) -> Done<Layer> {
        let (d, values, precision) = (params.dim(), Tensors::new(params, address::of)?, params.precision);
        let [qkv, proj, fc1, fc2] = [values.qkv, values.proj, values.fc1, values.fc2].map(|v| v[0].into());
        Ok(Layer {
            d,
            hidden: params.hidden(),
            heads: Heads { count: params.heads, size: d / params.heads, precision },
            eps: params.eps,
            precision,
            values,
            weights: Weights { qkv, proj, fc1, fc2 },
        })
    }

    /// The weights with the number of values that each has.
    pub fn weights(&mut self) -> [(&mut Values, usize); 4] {
        let (d, f, Weights { qkv, proj, fc1, fc2 }) = (self.d, self.hidden, &mut self.weights);
        [(qkv, 3 * d * d), (proj, d * d), (fc1, f * d), (fc2, f * d)]
    }

    /// The map with this many rows between columns of these numbers.
    pub fn map(&self, rows: usize, inputs: usize, outputs: usize) -> Map {
        Map { rows, inputs, outputs, precision: self.precision }
    }
}

/// Rows of a batch that one block works on.
pub struct Batch {
    /// Rows that come in.
    pub tokens: usize,
    /// Which rows attend to which.
    pub sequences: Sequences,
    /// The rows that come out, unless all do.
    pub kept: Option<Kept>,
}

/// The rows that come out of a block.
pub struct Kept {
    /// Which of those that come in.
    pub index: CudaSlice<u32>,
    /// The way back; there is none without a tape.
    pub back: Option<Arc<Scatter>>,
}

impl Batch {
    /// Rows that come out.
    pub fn rows(&self) -> usize {
        self.sequences.rows
    }

    /// How gradients of the rows that came out reach those that came in, unless all did.
    pub fn back(&self) -> Option<&Scatter> {
        self.kept.as_ref()?.back.as_deref()
    }
}

/// Normalised rows and, per row, mean and one over the standard deviation.
pub struct Normed {
    pub y: Operand,
    pub stats: Floats,
}

/// Queries, keys and values of all tokens in one matrix, or, where only some rows are queries, apart.
pub enum Projected {
    Together { qkv: Floats },
    Apart { y: Operand, q: Floats, kv: Floats },
}

impl Projected {
    /// What attention reads; gradients have the same layout.
    pub fn operands(&self, d: usize, bias: At) -> Operands {
        let biases = [bias, bias + floats(d), bias + floats(2 * d)];
        match self {
            Projected::Together { qkv } => {
                let q = at(qkv);
                Operands { q, k: q + floats(d), v: q + floats(2 * d), biases, strides: [3 * d; 2] }
            }
            Projected::Apart { q, kv, .. } => {
                let k = at(kv);
                Operands { q: at(q), k, v: k + floats(d), biases, strides: [d, 2 * d] }
            }
        }
    }
}

/// What backward needs of a block.
pub struct Saved {
    /// Input of the block; owned by whoever made it.
    pub x: At,
    /// Rows that came out.
    pub rows: usize,
    pub norm1: Normed,
    pub projected: Projected,
    pub o: Operand,
    pub lse: Floats,
    pub x2: Floats,
    pub norm2: Normed,
    /// Between the layers of the MLP, before its bias and after the GELU.
    pub h: Operand,
    pub a: Operand,
}

impl Saved {
    /// The output of attention.
    pub fn attended(&self) -> Output {
        Output { o: self.o.values(), lse: at(&self.lse) }
    }
}

/// A launch of `residual_norm`; null what does not take part.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowNorm {
    pub residual: At,
    pub index: At,
    pub t: At,
    pub t_bias: At,
    pub x: At,
    pub gain: At,
    pub bias: At,
    pub y: Values,
    pub stats: At,
}

impl Gpu {
    /// `x = residual[index] + t + t_bias`, then `y` its normalised rows of d columns.
    pub fn row_norm(&self, n: RowNorm, rows: usize, d: usize, eps: f32) -> Done<()> {
        let args = args![n.residual, n.index, n.t, n.t_bias, n.x, n.gain, n.bias, n.y, n.stats, rows, d, eps];
        self.launch("residual_norm", Grid::warps(rows), &args)
    }

    /// Memory for normalised rows, which the products of a layer read.
    fn normed(&self, layer: &Layer, rows: usize) -> Done<Normed> {
        Ok(Normed { y: self.operand(layer.precision, rows * layer.d)?, stats: self.floats(2 * rows)? })
    }

    /// The first norm of the first block.
    pub fn first_norm(&self, layer: &Layer, x: At, rows: usize) -> Done<Normed> {
        let normed = self.normed(layer, rows)?;
        let [gain, bias] = layer.values.norm1;
        let (y, stats) = (normed.y.values(), at(&normed.stats));
        let norm = RowNorm { residual: x, gain, bias, y, stats, ..RowNorm::default() };
        self.row_norm(norm, rows, layer.d, layer.eps)?;
        Ok(normed)
    }

    /// Writes the block's output rows to `out`; with `next`, also the first norm of the next block.
    pub fn block(
        &self,
        layer: &Layer,
        batch: &Batch,
        (x, norm1): (At, Normed),
        out: At,
        next: Option<&Layer>,
    ) -> Done<(Saved, Option<Normed>)> {
        let (d, f, rows, v, w) = (layer.d, layer.hidden, batch.rows(), layer.values, layer.weights);
        let projected = self.project(layer, batch, &norm1.y)?;
        let (o, lse) = (self.operand(layer.precision, rows * d)?, self.floats(layer.heads.count * rows)?);
        let attended = Output { o: o.values(), lse: at(&lse) };
        self.attention(layer.heads, &batch.sequences, projected.operands(d, v.qkv[1]), attended)?;
        let t = self.floats(rows * d)?;
        self.map(layer.map(rows, d, d), o.values(), w.proj, at(&t))?;
        let (x2, norm2) = (self.floats(rows * d)?, self.normed(layer, rows)?);
        let index = batch.kept.as_ref().map_or(0, |kept| at(&kept.index));
        let sum =
            RowNorm { residual: x, index, t: at(&t), t_bias: v.proj[1], x: at(&x2), ..RowNorm::default() };
        self.row_norm(sum.then(v.norm2, &norm2), rows, d, layer.eps)?;
        let between = || self.operand(layer.precision, rows * f);
        let (h, a) = (between()?, between()?);
        self.map(layer.map(rows, d, f), norm2.y.values(), w.fc1, h.values())?;
        self.launch("gelu_forward", Grid::warps(rows), &args![&h, v.fc1[1], &a, rows, f])?;
        self.map(layer.map(rows, f, d), a.values(), w.fc2, at(&t))?;
        let sum = RowNorm { residual: at(&x2), t: at(&t), t_bias: v.fc2[1], x: out, ..RowNorm::default() };
        let next_norm = next.map(|next| self.normed(next, rows)).transpose()?;
        let both = next.zip(next_norm.as_ref());
        let sum = both.map_or(sum, |(next, norm)| sum.then(next.values.norm1, norm));
        self.row_norm(sum, rows, d, next.map_or(0.0, |n| n.eps))?;
        Ok((Saved { x, rows, norm1, projected, o, lse, x2, norm2, h, a }, next_norm))
    }

    /// Queries, keys and values without their biases.
    fn project(&self, layer: &Layer, batch: &Batch, y: &Operand) -> Done<Projected> {
        let (d, n, rows, w) = (layer.d, batch.tokens, batch.rows(), layer.weights.qkv);
        let Some(kept) = &batch.kept else {
            let qkv = self.floats(n * 3 * d)?;
            self.map(layer.map(n, d, 3 * d), y.values(), w, at(&qkv))?;
            return Ok(Projected::Together { qkv });
        };
        let picked = self.pick(layer, y, at(&kept.index), rows)?;
        let (q, kv) = (self.floats(rows * d)?, self.floats(n * 2 * d)?);
        self.map(layer.map(rows, d, d), picked.values(), w, at(&q))?;
        self.map(layer.map(n, d, 2 * d), y.values(), w.skip(d * d), at(&kv))?;
        Ok(Projected::Apart { y: picked, q, kv })
    }

    /// Rows of `y` by their indices.
    fn pick(&self, layer: &Layer, y: &Operand, index: At, rows: usize) -> Done<Operand> {
        let (d, picked) = (layer.d, self.operand(layer.precision, rows * layer.d)?);
        match (y, &picked) {
            (Operand::Half(from), Operand::Half(to)) => {
                self.launch("pick_rows", Grid::warps(rows), &args![from, index, to, rows, d])?;
            }
            _ => self.gather(&[Term { rows: y.values().at(), index }], picked.values().at(), (rows, d))?,
        }
        Ok(picked)
    }
}

impl RowNorm {
    /// Also normalises, with this gain and bias, into `to`.
    fn then(self, [gain, bias]: [At; 2], to: &Normed) -> RowNorm {
        RowNorm { gain, bias, y: to.y.values(), stats: at(&to.stats), ..self }
    }
}
