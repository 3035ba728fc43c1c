//! Several transformer blocks in a row on a packed batch, shared between threads.
//!
//! Forward walks each group of sequences through all blocks, so that activations stay in cache and
//! threads meet only once. Backward goes block by block, because the partial sums of a weight gradient
//! are as large as the weights and only one block's fit in cache.

use rayon::prelude::*;

use ijepa_registry::tensor::Segments;

use super::block::{self, Layer, Saved, Values};
use super::block_backward::{self, Gradient, Weights};
use super::buffer::Buffer;
use super::elementwise::add;
use super::split::{self, Group};

/// How the batch is cut, for all blocks but the last and for the last.
pub struct Plan {
    all: Vec<Group>,
    last: Vec<Group>,
    /// Rows that come out of the last block.
    pub rows: usize,
}

impl Plan {
    /// `keep`: the sorted tokens that come out of the last block; all of them without it.
    pub fn new(segments: &Segments, keep: Option<&[u32]>) -> Self {
        let last = split::groups(segments, keep);
        Plan {
            all: last.iter().map(Group::complete).collect(),
            rows: keep.map_or(segments.rows(), <[u32]>::len),
            last,
        }
    }
    fn groups(&self, block: usize, blocks: usize) -> &[Group] {
        if block + 1 == blocks { &self.last } else { &self.all }
    }
}

/// What backward needs: per block, per group.
pub type Kept = Vec<Vec<Saved>>;

/// `x` (tokens, d) through all `layers`; saves for backward if asked.
pub fn forward(layers: &[Layer], plan: &Plan, x: &[f32], save: bool) -> (Vec<f32>, Kept) {
    let d = layers[0].dim();
    let mut out = vec![0.0; plan.rows * d];
    let outs = split::slices(&mut out, plan.last.iter().map(|g| g.rows.len() * d));
    let saved: Vec<Vec<Saved>> = outs
        .into_par_iter()
        .enumerate()
        .map(|(i, out)| {
            let tokens = &plan.all[i].tokens;
            let mut x = Buffer::copy_of(&x[tokens.start * d..tokens.end * d]);
            let mut saved = Vec::new();
            for (b, layer) in layers.iter().enumerate() {
                let group = &plan.groups(b, layers.len())[i];
                if b + 1 == layers.len() {
                    let x = std::mem::take(&mut x);
                    saved.extend(block::forward(layer, group, x, out, save));
                } else {
                    let mut y = Buffer::any(x.len());
                    saved.extend(block::forward(layer, group, x, &mut y, save));
                    x = y;
                }
            }
            saved
        })
        .collect();
    (out, by_block(saved, if save { layers.len() } else { 0 }))
}

/// From per group, per block to per block, per group.
fn by_block(groups: Vec<Vec<Saved>>, blocks: usize) -> Kept {
    let mut kept: Kept = (0..blocks).map(|_| Vec::with_capacity(groups.len())).collect();
    for group in groups {
        for (block, saved) in kept.iter_mut().zip(group) {
            block.push(saved);
        }
    }
    kept
}

/// Adds the gradients of all parameters to `grads` (per block), given that of the output `dy` (rows, d);
/// adds the gradient of the input to `dx` (tokens, d).
pub fn backward(
    layers: &[Values],
    plan: &Plan,
    mut kept: Kept,
    dy: Vec<f32>,
    dx: &mut [f32],
    grads: &mut [Vec<Vec<f32>>],
) {
    let d = layers[0].dim();
    let rows = |g: &Group| &dy[g.rows.start * d..g.rows.end * d];
    let mut flow: Vec<Buffer> = plan.last.iter().map(|g| Buffer::copy_of(rows(g))).collect();
    drop(dy);
    for (b, values) in layers.iter().enumerate().rev() {
        let groups = plan.groups(b, layers.len());
        let saved = kept.pop().expect("one entry per block");
        flow = block_gradient(values, groups, saved, flow, &mut grads[b]);
    }
    let parts = split::slices(dx, plan.all.iter().map(|g| g.tokens.len() * d));
    parts.into_par_iter().zip(flow).for_each(|(dx, flow)| add(dx, &flow));
}

/// One block of [`backward`]: from the gradients of its output rows, per group, to those of its tokens.
fn block_gradient(
    values: &Values,
    groups: &[Group],
    saved: Vec<Saved>,
    flow: Vec<Buffer>,
    grads: &mut [Vec<f32>],
) -> Vec<Buffer> {
    let tokens = groups.last().map_or(0, |g| g.tokens.end);
    let weights = Weights::new(values);
    let work: Vec<_> = groups.iter().zip(saved).zip(flow).collect();
    let lanes = split::lanes(tokens, groups.len());
    let results: Vec<(Vec<Buffer>, Gradient)> = split::runs(work, lanes)
        .into_par_iter()
        .map(|run| {
            let mut sum = Gradient::new(values);
            let flow = run
                .into_iter()
                .map(|((group, saved), dy)| block_backward::backward(&weights, group, saved, &dy, &mut sum))
                .collect();
            (flow, sum)
        })
        .collect();
    let (flow, sums): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    grads.par_iter_mut().enumerate().for_each(|(i, grad)| {
        for sum in &sums {
            add(grad, &sum.tensors[i]);
        }
    });
    flow.into_iter().flatten().collect()
}
