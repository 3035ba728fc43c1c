//! The pre-norm transformer block on one group of sequences, forward.
//!
//! `x2 = x + proj(attention(norm1 x))`, `out = x2 + fc2(gelu(fc1(norm2 x2)))`. When only some rows are
//! kept, keys and values still come from every token; everything after them is for the kept rows.

use super::attention::{self, Heads};
use super::buffer::Buffer;
use super::elementwise::gather_rows;
use super::factor::Factor;
use super::layer_norm;
use super::linear::Forward;
use super::mlp;
use super::split::Group;
use crate::kernels::MatmulPrecision;

/// Number of parameter tensors of a block.
pub const PARAMETERS: usize = 12;

/// Their places in PyTorch's order.
pub mod at {
    #![allow(missing_docs)]
    pub const NORM1: [usize; 2] = [0, 1];
    pub const QKV: [usize; 2] = [2, 3];
    pub const PROJ: [usize; 2] = [4, 5];
    pub const NORM2: [usize; 2] = [6, 7];
    pub const FC1: [usize; 2] = [8, 9];
    pub const FC2: [usize; 2] = [10, 11];
}

/// Copies of a block's parameters, in the order of [`at`], and what is not a tensor.
pub struct Values {
    /// The tensors.
    pub tensors: [Buffer; PARAMETERS],
    /// Heads of the attention.
    pub heads: Heads,
    /// Added to the variance in both norms.
    pub eps: f32,
    /// Of the inputs of matrix products, but for those of the attention.
    pub precision: MatmulPrecision,
}

impl Values {
    /// Columns of the activations.
    pub fn dim(&self) -> usize {
        self.heads.width()
    }
    /// Columns between the two layers of the MLP.
    pub fn hidden(&self) -> usize {
        self.tensors[at::FC1[1]].len()
    }
    /// A (weight, bias) pair of tensors.
    pub fn pair(&self, at: [usize; 2]) -> (&[f32], &[f32]) {
        (&self.tensors[at[0]], &self.tensors[at[1]])
    }
}

/// A block's parameters, ready for forward.
pub struct Layer {
    values: Values,
    q: Forward,
    kv: Forward,
    proj: Forward,
    mlp: mlp::Maps,
}

impl Layer {
    /// Transposes the weights and splits the packed query-key-value map.
    pub fn new(values: Values) -> Self {
        let d = values.dim();
        let (qkv, qkv_bias) = values.pair(at::QKV);
        let (proj, proj_bias) = values.pair(at::PROJ);
        Layer {
            q: Forward::new(&qkv[..d * d], &qkv_bias[..d], values.precision),
            kv: Forward::new(&qkv[d * d..], &qkv_bias[d..], values.precision),
            proj: Forward::new(proj, proj_bias, values.precision),
            mlp: mlp::Maps::new(&values),
            values,
        }
    }
    /// The parameters, for backward.
    pub fn into_values(self) -> Values {
        self.values
    }
    /// Columns of the activations.
    pub fn dim(&self) -> usize {
        self.values.dim()
    }
}

/// What backward needs of a group; probabilities, normalised rows and GELU are cheaper to recompute.
pub struct Saved {
    /// Input (tokens, d) and the statistics of its norm.
    pub x: Buffer,
    /// Statistics of `norm1` (tokens, 2).
    pub stats1: Buffer,
    /// Queries (rows, d).
    pub q: Buffer,
    /// Keys and values (tokens, 2d).
    pub kv: Buffer,
    /// Logarithms of the softmax sums (heads, rows).
    pub lse: Buffer,
    /// Attention output before the projection (rows, d).
    pub o: Buffer,
    /// Rows after the attention half (rows, d).
    pub x2: Buffer,
    /// Statistics of `norm2` (rows, 2).
    pub stats2: Buffer,
    /// Hidden activations before GELU, (rows, hidden) in the parts of [`mlp::Maps::forward`].
    pub h: Buffer,
}

/// The block on the tokens `x` (tokens, d); fills `out` (rows, d).
pub fn forward(layer: &Layer, group: &Group, x: Buffer, out: &mut [f32], save: bool) -> Option<Saved> {
    let (d, f) = (layer.dim(), layer.values.hidden());
    let (tokens, rows) = (group.tokens.len(), group.rows.len());
    let heads = layer.values.heads;
    let precision = layer.values.precision;

    let (gain, bias) = layer.values.pair(at::NORM1);
    let (mut y, mut stats1) = (Buffer::any(tokens * d), Buffer::any(tokens * layer_norm::STATS));
    layer_norm::forward(&x, &mut y, &mut stats1, gain, bias, layer.values.eps);
    let mut kv = Buffer::any(tokens * 2 * d);
    let factor = Factor::rows(&y, d, precision);
    layer.kv.apply(&factor, &mut kv);
    let mut q = Buffer::any(rows * d);
    layer.q.apply(&factor.pick(group.kept.as_deref()), &mut q);

    let (mut o, mut lse) = (Buffer::any(rows * d), Buffer::any(rows * heads.count));
    attention::forward(heads, group, &q, &kv, &mut o, &mut lse);
    let mut x2 = Buffer::any(rows * d);
    let factor = Factor::rows(&o, d, precision);
    match &group.kept {
        None => layer.proj.apply_residual(&factor, &x, &mut x2),
        Some(kept) => {
            let mut residual = Buffer::any(rows * d);
            gather_rows(&x, &mut residual, kept, d);
            layer.proj.apply_residual(&factor, &residual, &mut x2);
        }
    }

    let (gain, bias) = layer.values.pair(at::NORM2);
    let (mut y, mut stats2) = (Buffer::any(rows * d), Buffer::any(rows * layer_norm::STATS));
    layer_norm::forward(&x2, &mut y, &mut stats2, gain, bias, layer.values.eps);
    let mut h = Buffer::any(rows * f);
    layer.mlp.forward(&Factor::rows(&y, d, precision), &x2, &mut h, out);
    save.then_some(Saved { x, stats1, q, kv, lse, o, x2, stats2, h })
}

/// The output rows of `y` (tokens, d): `y` itself if every token is one.
pub fn kept_rows(y: Buffer, group: &Group, d: usize) -> Buffer {
    let Some(kept) = &group.kept else { return y };
    let mut rows = Buffer::any(kept.len() * d);
    gather_rows(&y, &mut rows, kept, d);
    rows
}
