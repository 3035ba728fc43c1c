//! The built encoder.

use ijepa_registry::prelude::*;

use crate::{
    kernels::{Backend, NONE},
    nn::{Linear, Norm, Stack, table},
};

/// What the blocks get.
struct Input<D: Device<f32>, T: Tape<f32, D>> {
    tokens: Rows<D, T>,
    segments: Segments,
    /// Rows that are wanted of the last block; all if none.
    kept: Option<Vec<u32>>,
}

/// Parameters of the encoder.
pub(super) struct VitEncoder<D: Device<f32>> {
    pub(super) patch_embed: Linear<D>,
    /// `[1, patch, dim]`
    pub(super) positions: Option<Param<D>>,
    /// `[1, register, dim]`
    pub(super) registers: Option<Param<D>>,
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
        let sequences = Sequences::new(&batch.layout, self.registers.as_ref().map_or(0, |r| r.dims[1]));
        let tokens = self.patch_embed.forward_input(&batch.pixels, tape)?;
        let tokens = self.embed(tokens, &batch.layout, &sequences)?;
        let kept: Option<Vec<u32>> = match keep {
            Some(rows) => Some(rows.iter().map(|&r| sequences.patch_rows[r as usize]).collect()),
            None => self.registers.as_ref().map(|_| sequences.patch_rows.clone()),
        };
        Ok(Input { tokens, segments: sequences.segments, kept })
    }

    /// Adds positions, and register tokens in front of every sequence.
    fn embed<T: Tape<f32, D>>(
        &self,
        tokens: Rows<D, T>,
        layout: &Layout,
        sequences: &Sequences,
    ) -> Result<Rows<D, T>, ModelError> {
        let places = sequences.rows(|row| layout.positions[row], |_| NONE);
        let registers = sequences.rows(|_| NONE, |register| register as u32);
        let positions = self.positions.as_ref().map(|p| table(p, &places));
        let registers = self.registers.as_ref().map(|r| table(r, &registers));
        let tables: Vec<_> = positions.into_iter().chain(registers).collect();
        if tables.is_empty() {
            return Ok(tokens);
        }
        D::gather_sum(tokens, &sequences.rows(|row| row as u32, |_| NONE), &tables)
    }
}

/// Row bookkeeping of sequences that start with register tokens.
struct Sequences {
    segments: Segments,
    /// Row of every patch, in layout order.
    patch_rows: Vec<u32>,
    registers: usize,
    lengths: Vec<usize>,
}

impl Sequences {
    fn new(layout: &Layout, registers: usize) -> Self {
        let lengths: Vec<usize> = layout.segments.ranges().map(|r| r.len()).collect();
        let segments = Segments::from_lengths(lengths.iter().map(|n| n + registers));
        let patch_rows = segments.ranges().flat_map(|r| (r.start + registers) as u32..r.end as u32).collect();
        Sequences { segments, patch_rows, registers, lengths }
    }

    /// One index per row: `patch` is given the layout row, `register` the register number.
    fn rows(&self, patch: impl Fn(usize) -> u32, register: impl Fn(usize) -> u32) -> Vec<u32> {
        let mut index = Vec::with_capacity(self.segments.rows());
        let mut next = 0;
        for &length in &self.lengths {
            index.extend((0..self.registers).map(&register));
            index.extend((next..next + length).map(&patch));
            next += length;
        }
        index
    }
}

impl<D: Backend> Encoder<D> for VitEncoder<D> {
    fn encode(&self, batch: &PatchBatch<D>, request: &EncodeRequest) -> Result<Vec<Rows<D>>, ModelError> {
        let Input { tokens, segments, kept } = self.input(batch, request.keep, NoneTape)?;
        let layers = self.blocks.layers(tokens, &segments, kept.as_deref(), request.layers, request.mode)?;
        layers.into_iter().map(|layer| self.norm.forward(layer)).collect()
    }
    fn encode_taped(&self, batch: &PatchBatch<D>, mode: Mode) -> Result<TapedRows<D>, ModelError> {
        let Input { tokens, segments, kept } = self.input(batch, None, OwnedTape::default())?;
        self.norm.forward(self.blocks.forward(tokens, &segments, kept.as_deref(), mode)?)
    }
    fn attention(&self, images: &PatchBatch<D>) -> Result<Option<AttentionMaps>, ModelError> {
        let Input { tokens, segments, .. } = self.input(images, None, NoneTape)?;
        let Some(all) = self.blocks.attention(tokens, &segments)? else { return Ok(None) };
        let (heads, patches) = (self.blocks.heads(), images.grid.len());
        let weights = all
            .iter()
            .flat_map(|maps| among_patches(maps, segments.rows() / segments.len(), patches))
            .collect();
        Ok(Some(AttentionMaps { heads, patches, weights }))
    }
}

/// The last `patches` rows and columns of every square of `tokens`: register tokens stand before them.
fn among_patches(maps: &[f32], tokens: usize, patches: usize) -> Vec<f32> {
    let registers = tokens - patches;
    let rows = maps.chunks_exact(tokens).enumerate().filter(|(row, _)| row % tokens >= registers);
    rows.flat_map(|(_, row)| row[registers..].to_vec()).collect()
}

impl<D: Backend> Parameters<D> for VitEncoder<D> {
    fn params(&self) -> Vec<&Param<D>> {
        let mut all: Vec<&Param<D>> = self.patch_embed.params.iter().collect();
        all.extend(&self.positions);
        all.extend(&self.registers);
        all.extend(self.blocks.params());
        all.extend(self.norm.params());
        all
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let mut all: Vec<&mut Param<D>> = self.patch_embed.params.iter_mut().collect();
        all.extend(&mut self.positions);
        all.extend(&mut self.registers);
        all.extend(self.blocks.params_mut());
        all.extend(self.norm.params_mut());
        all
    }
}
