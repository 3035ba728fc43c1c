//! A transformer block: the one description of its parameters, and both ways to compute it.

use ijepa_registry::prelude::*;

use super::{BlockDesign, Init, Linear, Mlp, Norm, Places};
use crate::kernels::{self, Backend, BlockParams};

/// A pre-norm block, with `s1`, `s2` gains of layer-scale, `b1`, `b2` what drop-path makes of a branch, and `post1`,
/// `post2` the outer norms of a sandwich, which are the identity elsewhere:
///
/// ```text
/// x = x + b1 * s1 * post1(attention(norm1(x)))
/// x = x + b2 * s2 * post2(mlp(norm2(x)))
/// ```
///
/// Where it is the standard block, it is computed by the fused operator, else composed of single ones.
pub struct Block<D: Device<f32>> {
    /// Place in the stack, from 0.
    index: usize,
    heads: usize,
    eps: f32,
    norm1: Norm<D>,
    /// `[3 dim, dim]`: queries, keys, values.
    qkv: Linear<D>,
    /// Gains of queries and keys, `[dim / heads]` each.
    qk_norm: Option<[Param<D>; 2]>,
    proj: Linear<D>,
    /// Norms of both branches.
    post: Option<[Norm<D>; 2]>,
    /// `[dim]`
    ls1: Option<Param<D>>,
    norm2: Norm<D>,
    mlp: Mlp<D>,
    /// `[dim]`
    ls2: Option<Param<D>>,
    /// Probability that a branch is dropped in training.
    drop: f64,
}

impl<D: Backend> Block<D> {
    /// Block `index` (from 0) of a stack, whose branches are dropped with probability `drop`.
    pub fn new(init: &Init<D>, name: &str, index: usize, design: &BlockDesign, drop: f64) -> Self {
        let at = |part: &str| format!("{name}.{part}");
        let BlockDesign { dim, heads, hidden, eps, variant } = *design;
        let norm = |part| Norm::new(init, &at(part), dim, eps, variant.norm);
        let head = |part| init.constant(&at(part), &[dim / heads], 1.0);
        let gain = |part| init.constant(&at(part), &[dim], variant.layer_scale as f32);
        let scaled = variant.layer_scale > 0.0;
        Block {
            index,
            heads,
            eps: eps as f32,
            norm1: norm("norm1"),
            qkv: Linear { params: init.attention_input(&at("attn.qkv"), dim, 3) },
            qk_norm: variant.qk_norm.then(|| ["attn.q_norm.weight", "attn.k_norm.weight"].map(head)),
            proj: Linear { params: init.attention_output(&at("attn.proj"), dim, index + 1) },
            post: variant.sandwich_norm.then(|| ["post_norm1", "post_norm2"].map(norm)),
            ls1: scaled.then(|| gain("ls1.gamma")),
            norm2: norm("norm2"),
            mlp: Mlp::new(init, &at("mlp"), index + 1, variant.mlp, [dim, hidden]),
            ls2: scaled.then(|| gain("ls2.gamma")),
            drop,
        }
    }

    /// Attention heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// What the fused operator takes; none where the block is a variant, turns queries and keys, or may be dropped in
    /// this pass.
    pub fn fused(&self, places: &Places<D>, mode: Mode) -> Option<BlockParams<D>> {
        let (Some(norm1_bias), Some(norm2_bias)) = (&self.norm1.bias, &self.norm2.bias) else { return None };
        let Mlp::Gelu([fc1, fc2]) = &self.mlp else { return None };
        let plain = self.qk_norm.is_none() && self.ls1.is_none() && self.ls2.is_none();
        if !plain || self.post.is_some() || places.turns.is_some() || self.draws(mode).is_some() {
            return None;
        }
        let tensor = |p: &Param<D>| p.data.clone();
        Some(BlockParams {
            heads: self.heads,
            eps: self.eps,
            // All weights of a block round alike.
            precision: self.qkv.params[0].precision,
            norm1_weight: tensor(&self.norm1.gain),
            norm1_bias: tensor(norm1_bias),
            qkv_weight: tensor(&self.qkv.params[0]),
            qkv_bias: tensor(&self.qkv.params[1]),
            proj_weight: tensor(&self.proj.params[0]),
            proj_bias: tensor(&self.proj.params[1]),
            norm2_weight: tensor(&self.norm2.gain),
            norm2_bias: tensor(norm2_bias),
            fc1_weight: tensor(&fc1.params[0]),
            fc1_bias: tensor(&fc1.params[1]),
            fc2_weight: tensor(&fc2.params[0]),
            fc2_bias: tensor(&fc2.params[1]),
        })
    }

    /// The block from single operators, `(token, dim)` to `(token, dim)`.
    pub fn composed<T: Tape<f32, D>>(
        &self,
        x: Rows<D, T>,
        places: &Places<D>,
        mode: Mode,
    ) -> Result<Rows<D, T>, ModelError> {
        let skip = x.retaped::<T>();
        let branch = self.outer_norm(0, self.attention(self.norm1.forward(x)?, places)?)?;
        let branch = scaled(branch, self.ls1.as_ref())?;
        let x = D::add(self.dropped(branch, "attn", places.segments, mode)?, skip)?;
        let skip = x.retaped::<T>();
        let branch = self.outer_norm(1, self.mlp.forward(self.norm2.forward(x)?)?)?;
        let branch = scaled(branch, self.ls2.as_ref())?;
        D::add(self.dropped(branch, "mlp", places.segments, mode)?, skip)
    }

    /// What a sandwich makes of branch `branch` before it is added.
    fn outer_norm<T: Tape<f32, D>>(&self, branch: usize, x: Rows<D, T>) -> Result<Rows<D, T>, ModelError> {
        match &self.post {
            Some(norms) => norms[branch].forward(x),
            None => Ok(x),
        }
    }

    /// `W softmax(q k' / sqrt(dim / heads)) v` per head, within each segment.
    fn attention<T: Tape<f32, D>>(
        &self,
        x: Rows<D, T>,
        places: &Places<D>,
    ) -> Result<Rows<D, T>, ModelError> {
        let [q, k, v] = self.queries_keys_values(x, places)?;
        self.proj.forward(D::attention(q, k, v, self.heads, places.segments, places.segments)?)
    }

    /// What attention is computed from, `(token, dim)` each.
    fn queries_keys_values<T: Tape<f32, D>>(
        &self,
        x: Rows<D, T>,
        places: &Places<D>,
    ) -> Result<[Rows<D, T>; 3], ModelError> {
        let dim = x.shape().1;
        let qkv = self.qkv.forward(x)?;
        let mut q = D::columns(qkv.retaped::<T>(), 0..dim)?;
        let mut k = D::columns(qkv.retaped::<T>(), dim..2 * dim)?;
        let v = D::columns(qkv, 2 * dim..3 * dim)?;
        if let Some([q_gain, k_gain]) = &self.qk_norm {
            // Gains as wide as a head: each head is normalised alone.
            q = D::rms_norm(q, &q_gain.data, self.eps)?;
            k = D::rms_norm(k, &k_gain.data, self.eps)?;
        }
        if let Some(turns) = &places.turns {
            (q, k) = (D::rotate(q, turns)?, D::rotate(k, turns)?);
        }
        Ok([q, k, v])
    }

    /// Who attends to whom, `softmax(q k' / sqrt(dim / heads))`, to be looked at: `(head, token, token)` of every
    /// segment, on the host.
    pub fn attention_weights(&self, x: Rows<D>, places: &Places<D>) -> Result<Vec<Vec<f32>>, ModelError> {
        let dim = x.shape().1;
        let [q, k, _] = self.queries_keys_values(self.norm1.forward(x)?, places)?;
        let (q, k) = (kernels::to_host(&q)?, kernels::to_host(&k)?);
        let width = dim / self.heads;
        let of_head = |values: &[f32], row: usize, head: usize| -> Vec<f32> {
            values[row * dim + head * width..][..width].to_vec()
        };
        let of_segment = |rows: std::ops::Range<usize>| {
            let of_row = |head: usize, row: usize| {
                let query = of_head(&q, row, head);
                let score = |other| dot(&query, &of_head(&k, other, head)) / (width as f32).sqrt();
                softmax(rows.clone().map(score).collect())
            };
            (0..self.heads).flat_map(|head| rows.clone().flat_map(move |row| of_row(head, row))).collect()
        };
        Ok(places.segments.ranges().map(of_segment).collect())
    }

    /// What a pass draws from, if the block may be dropped in it.
    fn draws<'a>(&self, mode: Mode<'a>) -> Option<&'a TrainDraw> {
        match mode {
            Mode::Train(draw) if self.drop > 0.0 => Some(draw),
            _ => None,
        }
    }

    /// Drop-path: the branch of each sequence is 0 with probability `drop`, else `1 / (1 - drop)` times itself.
    fn dropped<T: Tape<f32, D>>(
        &self,
        branch: Rows<D, T>,
        name: &str,
        segments: &Segments,
        mode: Mode,
    ) -> Result<Rows<D, T>, ModelError> {
        let Some(draw) = self.draws(mode) else { return Ok(branch) };
        if draw.sequences.len() != segments.len() {
            let (keys, sequences) = (draw.sequences.len(), segments.len());
            return Err(ModelError(format!("drop_path: {keys} keys for {sequences} sequences")));
        }
        let purpose = format!("drop_path/{}/{name}", self.index);
        let factor = |sequence| {
            let dropped = draw.stream(&purpose, sequence).chance(self.drop);
            if dropped { 0.0 } else { (1.0 / (1.0 - self.drop)) as f32 }
        };
        let of_rows = |(sequence, rows): (usize, std::ops::Range<usize>)| {
            std::iter::repeat_n(factor(sequence), rows.len())
        };
        let factors: Vec<f32> = segments.ranges().enumerate().flat_map(of_rows).collect();
        D::scale_rows(branch, &factors)
    }

    /// Every parameter, in a fixed order.
    pub fn params(&self) -> impl Iterator<Item = &Param<D>> {
        let attention = self.norm1.params().chain(&self.qkv.params).chain(self.qk_norm.iter().flatten());
        let attention = attention.chain(&self.proj.params).chain(&self.ls1);
        let mlp = self.norm2.params().chain(self.mlp.params()).chain(&self.ls2);
        attention.chain(mlp).chain(self.post.iter().flatten().flat_map(Norm::params))
    }
    /// The same, to be updated.
    pub fn params_mut(&mut self) -> impl Iterator<Item = &mut Param<D>> {
        let head = self.qk_norm.iter_mut().flatten();
        let attention = self.norm1.params_mut().chain(&mut self.qkv.params).chain(head);
        let attention = attention.chain(&mut self.proj.params).chain(&mut self.ls1);
        let mlp = self.norm2.params_mut().chain(self.mlp.params_mut()).chain(&mut self.ls2);
        attention.chain(mlp).chain(self.post.iter_mut().flatten().flat_map(Norm::params_mut))
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `exp(s_i) / sum_j exp(s_j)`, relative to the largest score, so that nothing overflows.
fn softmax(mut scores: Vec<f32>) -> Vec<f32> {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|s| *s = (*s - largest).exp());
    let sum: f32 = scores.iter().sum();
    scores.into_iter().map(|s| s / sum).collect()
}

/// Layer-scale: `gain[j] x[i, j]`.
fn scaled<D: Backend, T: Tape<f32, D>>(
    x: Rows<D, T>,
    gain: Option<&Param<D>>,
) -> Result<Rows<D, T>, ModelError> {
    match gain {
        Some(gain) => D::scale_columns(x, &gain.data),
        None => Ok(x),
    }
}
