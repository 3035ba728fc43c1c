//! Transformer blocks in a row as one node of the tape.

use std::sync::Arc;

use dfdx::prelude::{Cuda, HasShape, PutTape};
use ijepa_registry::tensor::{ModelError, Rows, Segments, Tape};

use super::super::check::{check_blocks, ensure};
use super::super::{BlockParams, Result};
use super::address::{self, slope};
use super::attention::{LARGEST_HEAD, Sequences};
use super::block::{Batch, Kept, Layer, Saved, Tensors};
use super::block_backward::Slope;
use super::gpu::{Done, Gpu};
use super::launch::args;
use super::nodes::split;
use super::scatter::Scatter;
use super::update::{Entry, Table};
use super::values::{At, Floats, Operand, at};

/// The blocks, their batches, and what forward saved.
struct Stack {
    layers: Vec<Layer>,
    /// Of every block but the last, and of the last.
    inner: Batch,
    last: Option<Batch>,
    saved: Vec<Saved>,
    /// Outputs of all blocks but the last: inputs of the next.
    between: Vec<Floats>,
    /// What `layers` point to, where products read rounded copies of the weights.
    _weights: Option<Operand>,
}

impl Stack {
    fn new(
        gpu: &Gpu,
        blocks: &[BlockParams<Cuda>],
        segments: &Segments,
        keep: Option<&[u32]>,
        taped: bool,
    ) -> Done<Stack> {
        let tokens = segments.rows();
        let inner = Batch { tokens, sequences: Sequences::new(gpu, segments, None)?, kept: None };
        let last = keep.map(|keep| {
            let kept = Kept { index: gpu.upload(keep)?, back: taped.then(|| Scatter::new(keep)) };
            Done::Ok(Batch {
                tokens,
                sequences: Sequences::new(gpu, segments, Some(keep))?,
                kept: Some(kept),
            })
        });
        let mut layers = blocks.iter().map(Layer::new).collect::<Done<Vec<_>>>()?;
        let _weights = gpu.round_weights(&mut layers)?;
        Ok(Stack { layers, inner, last: last.transpose()?, saved: Vec::new(), between: Vec::new(), _weights })
    }

    fn batch(&self, block: usize) -> &Batch {
        let last = self.last.as_ref().filter(|_| block + 1 == self.layers.len());
        last.unwrap_or(&self.inner)
    }

    /// Rows that come out of the last block.
    fn rows(&self) -> usize {
        self.batch(self.layers.len() - 1).rows()
    }

    /// Writes the last block's rows to `y`. Keeps what backward needs if `taped`.
    fn forward(&mut self, gpu: &Gpu, mut x: At, y: At, taped: bool) -> Done<()> {
        let mut norm = gpu.first_norm(&self.layers[0], x, self.inner.tokens)?;
        for block in 0..self.layers.len() {
            let (layer, next) = (self.layers[block], self.layers.get(block + 1));
            let out = next.map(|_| gpu.floats(self.inner.tokens * layer.d)).transpose()?;
            let to = out.as_ref().map_or(y, at);
            let (saved, next_norm) = gpu.block(&layer, self.batch(block), (x, norm), to, next)?;
            if taped {
                self.saved.push(saved);
            } else {
                self.between.clear();
            }
            self.between.extend(out);
            x = to;
            let Some(next_norm) = next_norm else { break };
            norm = next_norm;
        }
        Ok(())
    }

    /// Adds all gradients, from that of the output: of tensors to `to`, of the input to `dx`.
    fn backward(mut self, gpu: &Gpu, dy: At, to: &[Tensors], dx: At) -> Done<()> {
        let Some(top) = self.layers.last() else { return Ok(()) };
        let half = gpu.rounded_copy(top, self.rows() * top.d)?;
        let operand = half.as_ref().map_or(dy.into(), Operand::values);
        let mut dy = Slope { full: dy, operand };
        gpu.round(dy, self.rows() * top.d)?;
        let mut owned = None;
        while let Some(saved) = self.saved.pop() {
            let block = self.saved.len();
            let layer = self.layers[block];
            let below = (block > 0).then(|| gpu.slope(&layer, self.inner.tokens)).transpose()?;
            let whole = Slope { full: dx, operand: dx.into() };
            let input = below.as_ref().map_or((whole, true), |b| (b.slope(), false));
            gpu.block_back(&layer, self.batch(block), &saved, dy, &to[block], input)?;
            dy = input.0;
            // Frees the gradient above: the stream has a place for that after the kernels that read it.
            drop(std::mem::replace(&mut owned, below));
        }
        Ok(())
    }
}

impl Gpu {
    /// Has the layers read rounded copies of their weights where their precision has such, and returns the memory.
    fn round_weights(&self, layers: &mut [Layer]) -> Done<Option<Operand>> {
        // Copies begin at multiples of 16 bytes.
        let room = |n: usize| n.next_multiple_of(8);
        let total = layers.iter_mut().flat_map(|layer| layer.weights()).map(|(_, n)| room(n)).sum();
        let Some(copies) = layers.first().map(|layer| self.rounded_copy(layer, total)).transpose()?.flatten()
        else {
            return Ok(None);
        };
        let (mut table, mut next) = (Table::default(), copies.values());
        for (weight, n) in layers.iter_mut().flat_map(|layer| layer.weights()) {
            table.push(Entry { param: weight.at(), shadow: next.at(), ..Entry::default() }, n);
            *weight = next;
            next = next.skip(room(n));
        }
        self.launch("round_values", table.grid(), &args![&*self.list(&table.words)?, table.count])?;
        Ok(Some(copies))
    }
}

/// See [`super::super::Backend::blocks`].
pub fn blocks<T: Tape<f32, Cuda>>(
    x: Rows<Cuda, T>,
    blocks: &[BlockParams<Cuda>],
    segments: &Segments,
    keep: Option<&[u32]>,
) -> Result<Rows<Cuda, T>> {
    check_blocks(&x, blocks, segments, keep)?;
    for size in blocks.iter().map(|b| b.dim() / b.heads) {
        ensure(size <= LARGEST_HEAD, || {
            format!("heads of {size} columns; the GPU takes up to {LARGEST_HEAD}")
        })?;
    }
    let (x, tape) = split(x)?;
    node(x, blocks, segments, keep, tape).map_err(ModelError::from_debug)
}

fn node<T: Tape<f32, Cuda>>(
    x: Rows<Cuda>,
    blocks: &[BlockParams<Cuda>],
    segments: &Segments,
    keep: Option<&[u32]>,
    mut tape: T,
) -> Done<Rows<Cuda, T>> {
    let gpu: Arc<Gpu> = Gpu::of(x.device())?;
    let mut stack = Stack::new(&gpu, blocks, segments, keep, T::OWNS_TAPE)?;
    let y: Rows<Cuda> = address::unfilled(x.device(), (stack.rows(), x.shape().1))?;
    stack.forward(&gpu, address::of(&x)?, address::of(&y)?, T::OWNS_TAPE)?;
    if T::OWNS_TAPE {
        let (ghost, blocks) = (y.ghost(), blocks.to_vec());
        tape.add_backward_op(move |g| {
            let to = blocks.iter().map(|b| Tensors::new(b, |t| Ok(slope!(g, t))));
            let to = to.collect::<Done<Vec<_>>>()?;
            let (dy, dx) = (slope!(g, &ghost), slope!(g, &x));
            stack.backward(&gpu, dy, &to, dx)
        });
    }
    Ok(y.put_tape(tape))
}
