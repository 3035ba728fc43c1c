//! Layers: a few named parameters and the operator that uses them.

use ijepa_registry::prelude::*;

use super::Init;
use crate::kernels::{Backend, BlockParams};

/// `y = x W^T + b` on `(token, in)` rows.
pub struct Linear<D: Device<f32>> {
    /// `[out, in]` and `[out]`.
    pub params: [Param<D>; 2],
}

impl<D: Backend> Linear<D> {
    /// A layer from `dims[1]` to `dims[0]` features; further entries of `dims` are folded into
    /// the input (`[out, channel, patch, patch]` for a patch embedding).
    pub fn new(init: &Init<D>, name: &str, dims: &[usize]) -> Self {
        Linear { params: init.linear(name, dims) }
    }
    /// `(token, in)` to `(token, out)`.
    pub fn forward<T: Tape<f32, D>>(&self, x: Rows<D, T>) -> Result<Rows<D, T>, ModelError> {
        let [weight, bias] = &self.params;
        D::linear(x, &weight.data, &bias.data, weight.rounding)
    }
    /// The same for model inputs: no gradient of `x` is computed, and `tape` starts here.
    pub fn forward_input<T: Tape<f32, D>>(&self, x: &Rows<D>, tape: T) -> Result<Rows<D, T>, ModelError> {
        let [weight, bias] = &self.params;
        D::linear_of_input(x, &weight.data, &bias.data, weight.rounding, tape)
    }
}

/// Layer norm over the features of each token (Ba et al. 2016).
pub struct LayerNorm<D: Device<f32>> {
    /// Gain and bias, `[dim]` each.
    pub params: [Param<D>; 2],
    eps: f32,
}

impl<D: Backend> LayerNorm<D> {
    /// A norm of `dim` features.
    pub fn new(init: &Init<D>, name: &str, dim: usize, eps: f64) -> Self {
        LayerNorm { params: init.norm(name, dim), eps: eps as f32 }
    }
    /// `(token, dim)` to `(token, dim)`.
    pub fn forward<T: Tape<f32, D>>(&self, x: Rows<D, T>) -> Result<Rows<D, T>, ModelError> {
        D::layer_norm(x, &self.params[0].data, &self.params[1].data, self.eps)
    }
}

/// Sizes of a transformer block.
#[derive(Clone, Copy, Debug)]
pub struct BlockSize {
    /// Width of the tokens.
    pub dim: usize,
    /// Attention heads; divides `dim`.
    pub heads: usize,
    /// Width of the MLP's hidden layer.
    pub hidden: usize,
    /// Layer-norm epsilon.
    pub eps: f64,
}

impl BlockSize {
    /// Number of values that a block learns.
    pub fn parameters(&self) -> u64 {
        let (dim, hidden) = (self.dim as u64, self.hidden as u64);
        let (norms, attention) = (4 * dim, 4 * dim * (dim + 1));
        norms + attention + 2 * dim * hidden + hidden + dim
    }
}

/// Place of the packed query, key and value weight among the parameters of a block.
const QKV: usize = 2;

/// Transformer blocks in a row, each pre-norm: attention, then MLP, each on a residual path.
pub struct Stack<D: Device<f32>> {
    blocks: Vec<[Param<D>; 12]>,
    heads: usize,
    eps: f32,
}

impl<D: Backend> Stack<D> {
    /// `depth` blocks named `{name}.0`, `{name}.1`, ...
    pub fn new(init: &Init<D>, name: &str, depth: usize, size: BlockSize) -> Self {
        let block = |i| block(init, &format!("{name}.{i}"), i + 1, size);
        Stack { blocks: (0..depth).map(block).collect(), heads: size.heads, eps: size.eps as f32 }
    }

    /// `(token, dim)` to `(token, dim)`, or to the rows listed in `keep` (sorted).
    pub fn forward<T: Tape<f32, D>>(
        &self,
        x: Rows<D, T>,
        segments: &Segments,
        keep: Option<&[u32]>,
    ) -> Result<Rows<D, T>, ModelError> {
        let blocks: Vec<_> = self.blocks.iter().map(|p| self.operands(p)).collect();
        D::blocks(x, &blocks, segments, keep)
    }

    /// Every parameter, block by block.
    pub fn params(&self) -> impl Iterator<Item = &Param<D>> {
        self.blocks.iter().flatten()
    }
    /// The same, to be updated.
    pub fn params_mut(&mut self) -> impl Iterator<Item = &mut Param<D>> {
        self.blocks.iter_mut().flatten()
    }

    fn operands(&self, params: &[Param<D>; 12]) -> BlockParams<D> {
        // All weights of a block round alike.
        let rounding = params[QKV].rounding;
        BlockParams::from_tensors(self.heads, self.eps, rounding, params.each_ref().map(|p| p.data.clone()))
    }
}

/// Parameters of block number `number` (from 1), in the order of [`BlockParams`].
fn block<D: Device<f32>>(init: &Init<D>, name: &str, number: usize, size: BlockSize) -> [Param<D>; 12] {
    let at = |part: &str| format!("{name}.{part}");
    let dim = size.dim;
    let pairs = [
        init.norm(&at("norm1"), dim),
        init.attention_input(&at("attn.qkv"), dim),
        init.attention_output(&at("attn.proj"), dim, number),
        init.norm(&at("norm2"), dim),
        init.linear(&at("mlp.fc1"), &[size.hidden, dim]),
        init.mlp_output(&at("mlp.fc2"), &[dim, size.hidden], number),
    ];
    let mut flat = pairs.into_iter().flatten();
    std::array::from_fn(|_| flat.next().expect("six pairs"))
}
