//! Attention between paired segments on whole batches: the kernel of `attention` for every group of segments.

use rayon::prelude::*;

use super::attention::{self, Heads};
use super::buffer::Buffer;
use super::elementwise::add;
use super::split::{Group, slices};

/// What forward leaves for backward.
pub struct Attended {
    pub heads: Heads,
    pub groups: Vec<Group>,
    pub q: Buffer,
    /// Keys and values side by side, (tokens, 2d).
    pub kv: Buffer,
    pub o: Buffer,
    /// Of each group (heads, rows), one after another.
    pub lse: Buffer,
}

/// `o = softmax(q k' / sqrt(size)) v` within the sequences of each group.
pub fn forward(heads: Heads, groups: Vec<Group>, q: Buffer, k: &[f32], v: &[f32]) -> (Vec<f32>, Attended) {
    let d = heads.width();
    let (kv, rows) = (beside(k, v, d), q.len() / d);
    let (mut o, mut lse) = (vec![0.0; q.len()], Buffer::any(rows * heads.count));
    let outputs = slices(&mut o, groups.iter().map(|g| g.rows.len() * d));
    let sums = slices(&mut lse, groups.iter().map(|g| g.rows.len() * heads.count));
    outputs.into_par_iter().zip(sums).zip(&groups).for_each(|((o, lse), g)| {
        attention::forward(heads, g, of_rows(&q, g, d), of_tokens(&kv, g, d), o, lse);
    });
    let kept = Buffer::copy_of(&o);
    (o, Attended { heads, groups, q, kv, o: kept, lse })
}

/// The gradients of queries (rows, d), and of keys and values (tokens, 2d), from `d_o` (rows, d).
pub fn backward(from: &Attended, d_o: &[f32]) -> (Buffer, Buffer) {
    let Attended { heads, groups, q, kv, o, lse } = from;
    let d = heads.width();
    let (mut dq, mut dkv) = (Buffer::any(q.len()), Buffer::any(kv.len()));
    let queries = slices(&mut dq, groups.iter().map(|g| g.rows.len() * d));
    let keys = slices(&mut dkv, groups.iter().map(|g| g.tokens.len() * 2 * d));
    queries.into_par_iter().zip(keys).zip(groups).for_each(|((dq, dkv), g)| {
        let lse = &lse[g.rows.start * heads.count..g.rows.end * heads.count];
        let saved = (of_rows(q, g, d), of_tokens(kv, g, d), of_rows(o, g, d), lse);
        attention::backward(*heads, g, saved, of_rows(d_o, g, d), dq, dkv);
    });
    (dq, dkv)
}

/// Adds the columns `first..first + d` of rows of `2d` values to rows of `d`.
pub fn add_half(to: &mut [f32], from: &[f32], first: usize, d: usize) {
    for (to, from) in to.chunks_exact_mut(d).zip(from.chunks_exact(2 * d)) {
        add(to, &from[first..first + d]);
    }
}

fn of_rows<'a>(values: &'a [f32], g: &Group, d: usize) -> &'a [f32] {
    &values[g.rows.start * d..g.rows.end * d]
}

fn of_tokens<'a>(values: &'a [f32], g: &Group, d: usize) -> &'a [f32] {
    &values[g.tokens.start * 2 * d..g.tokens.end * 2 * d]
}

/// Rows of `k` beside those of `v`.
fn beside(k: &[f32], v: &[f32], d: usize) -> Buffer {
    let mut kv = Buffer::any(2 * k.len());
    for ((to, k), v) in kv.chunks_exact_mut(2 * d).zip(k.chunks_exact(d)).zip(v.chunks_exact(d)) {
        to[..d].copy_from_slice(k);
        to[d..].copy_from_slice(v);
    }
    kv
}
