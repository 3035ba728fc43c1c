//! The built encoder.

use ijepa_registry::prelude::*;

use super::stem::Stem;
use crate::{
    kernels::{Backend, NONE},
    nn::{Norm, Places, Rotary, Stack, table},
};

/// What the blocks get.
struct Input<D: Device<f32>, T: Tape<f32, D>> {
    tokens: Rows<D, T>,
    segments: Segments,
    /// Of rotary positions, `(token, head)`.
    turns: Option<Rows<D>>,
    /// Rows that are wanted of the last block; all if none.
    kept: Option<Vec<u32>>,
}

/// Learned tokens in front of every sequence, the class token first.
pub(super) struct Extra<D: Device<f32>> {
    /// `[1, 1, dim]`
    pub(super) class: Option<Param<D>>,
    /// `[1, register, dim]`
    pub(super) registers: Option<Param<D>>,
}

impl<D: Device<f32>> Extra<D> {
    fn count(&self) -> usize {
        self.params().map(|p| p.dims[1]).sum()
    }
    fn params(&self) -> impl Iterator<Item = &Param<D>> {
        self.class.iter().chain(&self.registers)
    }
    fn params_mut(&mut self) -> impl Iterator<Item = &mut Param<D>> {
        self.class.iter_mut().chain(&mut self.registers)
    }
}

/// Parameters of the encoder.
pub(super) struct VitEncoder<D: Device<f32>> {
    pub(super) stem: Stem<D>,
    /// `[1, patch, dim]`
    pub(super) positions: Option<Param<D>>,
    pub(super) rotary: Option<Rotary<D>>,
    pub(super) extra: Extra<D>,
    pub(super) blocks: Stack<D>,
    pub(super) norm: Norm<D>,
}

impl<D: Backend> VitEncoder<D> {
    /// What the first block sees.
    fn input<T: Tape<f32, D>>(
        &self,
        batch: &PatchBatch<D>,
        keep: Option<&[u32]>,
        tape: T,
    ) -> Result<Input<D, T>, ModelError> {
        let sequences = Sequences::new(&batch.layout, self.extra.count());
        let kept = match keep {
            Some(rows) => Some(rows.iter().map(|&r| sequences.patch_rows[r as usize]).collect()),
            None => (sequences.extra > 0).then(|| sequences.patch_rows.clone()),
        };
        self.input_keeping(batch, sequences, kept, tape)
    }

    /// The same, with rows of `sequences` that are wanted of the last block.
    fn input_keeping<T: Tape<f32, D>>(
        &self,
        batch: &PatchBatch<D>,
        sequences: Sequences,
        kept: Option<Vec<u32>>,
        tape: T,
    ) -> Result<Input<D, T>, ModelError> {
        let tokens = self.stem.forward(&batch.pixels, tape)?;
        let tokens = self.embed(tokens, &batch.layout, &sequences)?;
        let places = || sequences.rows(|row| batch.layout.positions[row], |_| NONE);
        let turns = self.rotary.as_ref().map(|rotary| rotary.at(&places())).transpose()?;
        Ok(Input { tokens, segments: sequences.segments, turns, kept })
    }

    /// The last `layers` blocks, each behind the final norm.
    fn layers(
        &self,
        input: Input<D, NoneTape>,
        layers: usize,
        mode: Mode,
    ) -> Result<Vec<Rows<D>>, ModelError> {
        let Input { tokens, segments, turns, kept } = input;
        let places = Places { segments: &segments, turns };
        let layers = self.blocks.layers(tokens, &places, kept.as_deref(), layers, mode)?;
        layers.into_iter().map(|layer| self.norm.forward(layer)).collect()
    }

    /// Adds positions, and class token and registers in front of every sequence.
    fn embed<T: Tape<f32, D>>(
        &self,
        tokens: Rows<D, T>,
        layout: &Layout,
        sequences: &Sequences,
    ) -> Result<Rows<D, T>, ModelError> {
        let places = sequences.rows(|row| layout.positions[row], |_| NONE);
        let class_tokens = usize::from(self.extra.class.is_some());
        let class = sequences.rows(|_| NONE, |extra| if extra < class_tokens { 0 } else { NONE });
        let register = |extra: usize| extra.checked_sub(class_tokens).map_or(NONE, |r| r as u32);
        let registers = sequences.rows(|_| NONE, register);
        let positions = self.positions.as_ref().map(|p| table(p, &places));
        let class = self.extra.class.as_ref().map(|c| table(c, &class));
        let registers = self.extra.registers.as_ref().map(|r| table(r, &registers));
        let tables: Vec<_> = positions.into_iter().chain(class).chain(registers).collect();
        if tables.is_empty() {
            return Ok(tokens);
        }
        D::gather_sum(tokens, &sequences.rows(|row| row as u32, |_| NONE), &tables)
    }
}

/// Row bookkeeping of sequences that start with tokens that are no patches.
struct Sequences {
    segments: Segments,
    /// Row of every patch, in layout order.
    patch_rows: Vec<u32>,
    extra: usize,
    lengths: Vec<usize>,
}

impl Sequences {
    fn new(layout: &Layout, extra: usize) -> Self {
        let lengths: Vec<usize> = layout.segments.ranges().map(|r| r.len()).collect();
        let segments = Segments::from_lengths(lengths.iter().map(|n| n + extra));
        let patch_rows = segments.ranges().flat_map(|r| (r.start + extra) as u32..r.end as u32).collect();
        Sequences { segments, patch_rows, extra, lengths }
    }

    /// One index per row: `patch` is given the layout row, `extra` the number of the token in front.
    fn rows(&self, patch: impl Fn(usize) -> u32, extra: impl Fn(usize) -> u32) -> Vec<u32> {
        let mut index = Vec::with_capacity(self.segments.rows());
        let mut next = 0;
        for &length in &self.lengths {
            index.extend((0..self.extra).map(&extra));
            index.extend((next..next + length).map(&patch));
            next += length;
        }
        index
    }
}

impl<D: Backend> Encoder<D> for VitEncoder<D> {
    fn encode(&self, batch: &PatchBatch<D>, request: &EncodeRequest) -> Result<Vec<Rows<D>>, ModelError> {
        self.layers(self.input(batch, request.keep, NoneTape)?, request.layers, request.mode)
    }
    fn class_tokens(&self, batch: &PatchBatch<D>, layers: usize) -> Result<Option<Vec<Rows<D>>>, ModelError> {
        if self.extra.class.is_none() {
            return Ok(None);
        }
        let sequences = Sequences::new(&batch.layout, self.extra.count());
        let first = sequences.segments.ranges().map(|tokens| tokens.start as u32).collect();
        self.layers(self.input_keeping(batch, sequences, Some(first), NoneTape)?, layers, Mode::Eval)
            .map(Some)
    }
    fn encode_taped(&self, batch: &PatchBatch<D>, mode: Mode) -> Result<TapedRows<D>, ModelError> {
        let Input { tokens, segments, turns, kept } = self.input(batch, None, OwnedTape::default())?;
        let places = Places { segments: &segments, turns };
        self.norm.forward(self.blocks.forward(tokens, &places, kept.as_deref(), mode)?)
    }
    fn attention(&self, images: &PatchBatch<D>) -> Result<Option<AttentionMaps>, ModelError> {
        let Input { tokens, segments, turns, .. } = self.input(images, None, NoneTape)?;
        let places = Places { segments: &segments, turns };
        let Some(all) = self.blocks.attention(tokens, &places)? else { return Ok(None) };
        let (heads, patches) = (self.blocks.heads(), images.grid.len());
        let weights = all
            .iter()
            .flat_map(|maps| among_patches(maps, segments.rows() / segments.len(), patches))
            .collect();
        Ok(Some(AttentionMaps { heads, patches, weights }))
    }
}

/// The last `patches` rows and columns of every square of `tokens`: other tokens stand before them.
fn among_patches(maps: &[f32], tokens: usize, patches: usize) -> Vec<f32> {
    let extra = tokens - patches;
    let rows = maps.chunks_exact(tokens).enumerate().filter(|(row, _)| row % tokens >= extra);
    rows.flat_map(|(_, row)| row[extra..].to_vec()).collect()
}

impl<D: Backend> Parameters<D> for VitEncoder<D> {
    fn params(&self) -> Vec<&Param<D>> {
        let mut all = self.stem.params();
        all.extend(&self.positions);
        all.extend(self.extra.params());
        all.extend(self.blocks.params());
        all.extend(self.norm.params());
        all
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let mut all = self.stem.params_mut();
        all.extend(&mut self.positions);
        all.extend(self.extra.params_mut());
        all.extend(self.blocks.params_mut());
        all.extend(self.norm.params_mut());
        all
    }
}
