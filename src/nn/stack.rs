//! Transformer blocks in a row.

use std::ops::Range;

use ijepa_registry::prelude::*;

use super::{Block, BlockDesign, Init};
use crate::kernels::Backend;

/// Where the tokens of a packed batch are.
pub struct Places<'a, D: Device<f32>> {
    /// The sequences; attention stays within each.
    pub segments: &'a Segments,
    /// What turns queries and keys, `(token, head)`, where positions are rotary.
    pub turns: Option<Rows<D>>,
}

impl<'a, D: Device<f32>> Places<'a, D> {
    /// Sequences whose positions, if any, have been added.
    pub fn of(segments: &'a Segments) -> Self {
        Places { segments, turns: None }
    }
}

/// Blocks of one design.
pub struct Stack<D: Device<f32>> {
    blocks: Vec<Block<D>>,
}

impl<D: Backend> Stack<D> {
    /// `depth` blocks named `{name}.0`, `{name}.1`, ...; the rate of drop-path grows linearly from 0 at the first
    /// to the design's at the last (Huang et al. 2016, arXiv 1603.09382, as timm spaces the rates).
    pub fn new(init: &Init<D>, name: &str, depth: usize, design: &BlockDesign) -> Self {
        let drop = |i: usize| design.variant.drop_path * i as f64 / depth.saturating_sub(1).max(1) as f64;
        let block = |i| Block::new(init, &format!("{name}.{i}"), i, design, drop(i));
        Stack { blocks: (0..depth).map(block).collect() }
    }

    /// `(token, dim)` to `(token, dim)`, or to the rows listed in `keep` (sorted).
    pub fn forward<T: Tape<f32, D>>(
        &self,
        x: Rows<D, T>,
        places: &Places<D>,
        keep: Option<&[u32]>,
        mode: Mode,
    ) -> Result<Rows<D, T>, ModelError> {
        self.part(x, 0..self.blocks.len(), places, keep, mode)
    }

    /// What comes out of the last `count` blocks, the last one last, without gradient; each holds the rows of
    /// `keep`, or all.
    pub fn layers(
        &self,
        x: Rows<D>,
        places: &Places<D>,
        keep: Option<&[u32]>,
        count: usize,
        mode: Mode,
    ) -> Result<Vec<Rows<D>>, ModelError> {
        if count <= 1 {
            return Ok(vec![self.forward(x, places, keep, mode)?]);
        }
        let whole = (self.blocks.len() + 1).saturating_sub(count).max(1);
        let mut outputs = vec![self.part(x, 0..whole, places, None, mode)?];
        for i in whole..self.blocks.len() {
            let last = outputs[outputs.len() - 1].clone();
            outputs.push(self.part(last, i..i + 1, places, None, mode)?);
        }
        let Some(keep) = keep else { return Ok(outputs) };
        outputs.into_iter().map(|layer| D::gather_sum(layer, keep, &[])).collect()
    }

    /// Who attends to whom in the last block: `(head, token, token)` of every segment; none without a block.
    pub fn attention(&self, x: Rows<D>, places: &Places<D>) -> Result<Option<Vec<Vec<f32>>>, ModelError> {
        let Some((last, before)) = self.blocks.split_last() else { return Ok(None) };
        let x = if before.is_empty() { x } else { self.part(x, 0..before.len(), places, None, Mode::Eval)? };
        last.attention_weights(x, places).map(Some)
    }

    /// Attention heads of a block.
    pub fn heads(&self) -> usize {
        self.blocks.first().map_or(0, Block::heads)
    }

    /// Some of the blocks: fused if all of them can be, else composed.
    fn part<T: Tape<f32, D>>(
        &self,
        mut x: Rows<D, T>,
        range: Range<usize>,
        places: &Places<D>,
        keep: Option<&[u32]>,
        mode: Mode,
    ) -> Result<Rows<D, T>, ModelError> {
        let blocks = &self.blocks[range];
        let fused = blocks.iter().map(|block| block.fused(places, mode)).collect::<Option<Vec<_>>>();
        if let Some(fused) = fused {
            return D::blocks(x, &fused, places.segments, keep);
        }
        for block in blocks {
            x = block.composed(x, places, mode)?;
        }
        match keep {
            Some(keep) => D::gather_sum(x, keep, &[]),
            None => Ok(x),
        }
    }

    /// Every parameter, block by block.
    pub fn params(&self) -> impl Iterator<Item = &Param<D>> {
        self.blocks.iter().flat_map(Block::params)
    }
    /// The same, to be updated.
    pub fn params_mut(&mut self) -> impl Iterator<Item = &mut Param<D>> {
        self.blocks.iter_mut().flat_map(Block::params_mut)
    }
}
