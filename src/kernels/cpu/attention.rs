//! Softmax attention inside each sequence of a group, one head at a time, in first-level-cache tiles.
//!
//! Queries `q` are (rows, d), keys and values `kv` are (tokens, 2d) with the keys in the first half;
//! head `h` owns the columns `h * size..(h + 1) * size` of each. A head's operands are copied into
//! padded, contiguous scratch first: small next to the products, which then run without tails.

use super::buffer::Buffer;
use super::lanes::{join_lanes, join_row};
use super::math;
use super::simd::{LANES, Simd, vectorised};
use super::split::{Group, Sequence};
use super::tile::{self, Left, Start, Strided, copy_row, padded};

/// Heads of a block.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// How many.
    pub count: usize,
    /// Columns of each.
    pub size: usize,
}

impl Heads {
    /// Columns of all heads together.
    pub fn width(self) -> usize {
        self.count * self.size
    }
    /// Scores are divided by the square root of the head size.
    fn scale(self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }
}

/// `o = softmax(q k' / sqrt(size)) v` (rows, d), and per head and row the logarithm `lse` (heads, rows)
/// of the sum of exponentials, from which backward recomputes the probabilities.
pub fn forward(heads: Heads, group: &Group, q: &[f32], kv: &[f32], o: &mut [f32], lse: &mut [f32]) {
    let (d, rows) = (heads.width(), group.rows.len());
    assert!(q.len() == rows * d && o.len() == rows * d && lse.len() == rows * heads.count);
    assert!(kv.len() == group.tokens.len() * 2 * d);
    let mut scratch = Scratch::new(heads, group);
    for sequence in group.sequences.iter().filter(|s| !s.rows.is_empty()) {
        for head in 0..heads.count {
            let lse = &mut lse[head * rows..][sequence.rows.clone()];
            head_forward(heads, head, sequence, q, kv, o, lse, &mut scratch);
        }
    }
}

/// Gradients `dq` and `dkv` (overwritten) from the gradient `d_o` of the output.
#[allow(clippy::too_many_arguments)]
pub fn backward(
    heads: Heads,
    group: &Group,
    (q, kv, o, lse): (&[f32], &[f32], &[f32], &[f32]),
    d_o: &[f32],
    dq: &mut [f32],
    dkv: &mut [f32],
) {
    let (d, rows) = (heads.width(), group.rows.len());
    assert!(q.len() == rows * d && o.len() == rows * d && lse.len() == rows * heads.count);
    assert!(d_o.len() == rows * d && dq.len() == rows * d);
    assert!(kv.len() == group.tokens.len() * 2 * d && dkv.len() == kv.len());
    let mut scratch = Scratch::new(heads, group);
    for sequence in &group.sequences {
        if sequence.rows.is_empty() {
            dkv[sequence.tokens.start * 2 * d..sequence.tokens.end * 2 * d].fill(0.0);
            continue;
        }
        for head in 0..heads.count {
            let lse = &lse[head * rows..][sequence.rows.clone()];
            head_backward(heads, head, sequence, q, kv, o, lse, d_o, dq, dkv, &mut scratch);
        }
    }
}

/// One head's operands and results, for the longest sequence of a group.
struct Scratch {
    /// Keys or values, transposed: (size, padded tokens).
    k_t: Buffer,
    v_t: Buffer,
    /// Rows padded to whole vectors: (tokens or rows, padded size).
    k: Buffer,
    v: Buffer,
    q: Buffer,
    d_o: Buffer,
    out: Buffer,
    /// Scores and their gradients: (rows, padded tokens).
    p: Buffer,
    ds: Buffer,
    /// One over the sum of exponentials of each row.
    shares: Buffer,
}

impl Scratch {
    fn new(heads: Heads, group: &Group) -> Self {
        let longest = group.sequences.iter().map(|s| s.tokens.len().max(s.rows.len())).max().unwrap_or(0);
        let (n, size) = (padded(longest), padded(heads.size));
        let head = || Buffer::any(n * size);
        let square = || Buffer::any(longest * n);
        Scratch {
            k_t: head(),
            v_t: head(),
            k: head(),
            v: head(),
            q: head(),
            d_o: head(),
            out: head(),
            p: square(),
            ds: square(),
            shares: Buffer::any(longest),
        }
    }
}

/// Copies a head's columns `from[row * stride + col..][..size]` to rows of `padded(size)` values.
#[inline(always)]
fn pack(from: &[f32], stride: usize, col: usize, size: usize, rows: usize, to: &mut [f32]) {
    let from = from[col..].chunks(stride);
    for (to, from) in to.chunks_exact_mut(padded(size)).zip(from).take(rows) {
        copy_row(&from[..size], &mut to[..size]);
        to[size..].fill(0.0);
    }
}

/// The transpose of [`pack`]: (size, padded(rows)), zero beyond `rows`; a square of values at a time.
#[inline(always)]
fn pack_transposed<S: Simd>(
    from: &[f32],
    stride: usize,
    col: usize,
    size: usize,
    rows: usize,
    to: &mut [f32],
) {
    let n = padded(rows);
    for row0 in (0..rows).step_by(LANES) {
        for col0 in (0..size).step_by(LANES) {
            let mut square = [[0.0; LANES]; LANES];
            for (r, to) in square.iter_mut().enumerate().take(rows - row0) {
                let at = (row0 + r) * stride + col + col0;
                match from.get(at..at + LANES) {
                    // Columns of the next head beyond the last of this one are left out below.
                    Some(from) => to.copy_from_slice(from),
                    None => copy_row(&from[at..at + size - col0], &mut to[..size - col0]),
                }
            }
            // SAFETY: only called inside a `vectorised!` body of this level.
            let square = unsafe { S::transposed(&square) };
            for (c, column) in square.iter().enumerate().take(size - col0) {
                to[(col0 + c) * n + row0..][..LANES].copy_from_slice(column);
            }
        }
    }
}

/// Copies padded rows back to a head's columns.
#[inline(always)]
fn unpack(from: &[f32], to: &mut [f32], stride: usize, col: usize, size: usize, rows: usize) {
    let to = to[col..].chunks_mut(stride);
    for (from, to) in from.chunks_exact(padded(size)).zip(to).take(rows) {
        copy_row(&from[..size], &mut to[..size]);
    }
}

/// `out = a b` with padded, contiguous rows.
#[inline(always)]
fn multiply<S: Simd>(out: &mut [f32], a: Left, b: &[f32], (m, k, n): (usize, usize, usize)) {
    let (out, b) = (Strided { values: out, stride: n }, Strided { values: b, stride: n });
    tile::product::<S, false>(out, Start::Zero, a, b, (m, k, n));
}

/// Scores become exponentials of the first `n` values of each padded row; those beyond are next to nothing.
/// `lse` becomes the logarithm of their sum, `shares` one over it.
#[inline(always)]
fn exponentials<S: Simd>(p: &mut [f32], n: usize, scale: f32, lse: &mut [f32], shares: &mut [f32]) {
    let wide = padded(n);
    let mut beyond = [0.0; LANES];
    beyond[LANES - (wide - n)..].fill(f32::NEG_INFINITY);
    let blocks = p.chunks_mut(LANES * wide).zip(lse.chunks_mut(LANES)).zip(shares.chunks_mut(LANES));
    for ((p, lse), shares) in blocks {
        let mut partials = [[0.0; LANES]; LANES];
        for (p, partial) in p.chunks_exact_mut(wide).zip(&mut partials) {
            for (p, beyond) in p[wide - LANES..].iter_mut().zip(&beyond) {
                *p += beyond;
            }
            *partial = join_row::<S>(p, f32::NEG_INFINITY, S::max);
        }
        let mut largest = join_lanes::<S>(&partials, S::max);
        largest.iter_mut().for_each(|v| *v *= scale);
        for ((p, partial), largest) in p.chunks_exact_mut(wide).zip(&mut partials).zip(&largest) {
            for v in p.iter_mut() {
                *v = math::exp(v.mul_add(scale, -largest));
            }
            *partial = join_row::<S>(p, 0.0, S::add);
        }
        let sums = join_lanes::<S>(&partials, S::add);
        for (((lse, share), largest), sum) in lse.iter_mut().zip(shares).zip(&largest).zip(&sums) {
            (*lse, *share) = (largest + sum.ln(), 1.0 / sum);
        }
    }
}

vectorised! {
    fn head_forward<S>(
        heads: Heads,
        head: usize,
        sequence: &Sequence,
        q: &[f32],
        kv: &[f32],
        o: &mut [f32],
        lse: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let (d, size, col) = (heads.width(), heads.size, head * heads.size);
        let (rows, n) = (sequence.rows.len(), sequence.tokens.len());
        let (wide, n_wide) = (padded(size), padded(n));
        let kv = &kv[sequence.tokens.start * 2 * d..];
        let q = &q[sequence.rows.start * d + col..];
        pack_transposed::<S>(kv, 2 * d, col, size, n, &mut scratch.k_t);
        pack(kv, 2 * d, d + col, size, n, &mut scratch.v);
        let p = &mut scratch.p[..rows * n_wide];
        multiply::<S>(p, Left { values: q, row: d, col: 1 }, &scratch.k_t, (rows, size, n_wide));
        exponentials::<S>(p, n, heads.scale(), lse, &mut scratch.shares);
        let out = &mut scratch.out[..rows * wide];
        multiply::<S>(out, Left { values: p, row: n_wide, col: 1 }, &scratch.v, (rows, n, wide));
        // Dividing the output instead of the probabilities: it has fewer columns.
        let o = o[sequence.rows.start * d + col..].chunks_mut(d);
        for ((out, share), o) in out.chunks_exact(wide).zip(&*scratch.shares).zip(o) {
            for (o, v) in o[..size].iter_mut().zip(out) {
                *o = v * share;
            }
        }
    }
}

/// Scores `p` become probabilities, their gradients `ds` (of the probabilities) those of the scores:
/// `ds = p (dp - <d_o, o>) scale`. What comes out beyond the first `n` values of a padded row means nothing.
#[inline(always)]
fn softmax_backward<S: Simd>(
    (p, ds): (&mut [f32], &mut [f32]),
    (d_o, o, stride, size): (&[f32], &[f32], usize, usize),
    n: usize,
    scale: f32,
    lse: &[f32],
) {
    let block = LANES * padded(n);
    let outputs = d_o.chunks(LANES * stride).zip(o.chunks(LANES * stride));
    let blocks = p.chunks_mut(block).zip(ds.chunks_mut(block)).zip(lse.chunks(LANES)).zip(outputs);
    for (((p, ds), lse), (d_o, o)) in blocks {
        let (mut partials, mut rests) = ([[0.0; LANES]; LANES], [0.0; LANES]);
        let rows = d_o.chunks(stride).zip(o.chunks(stride)).take(lse.len());
        for (((d_o, o), partial), rest) in rows.zip(&mut partials).zip(&mut rests) {
            (*partial, *rest) = math::partial_dot(&d_o[..size], &o[..size]);
        }
        let means = join_lanes::<S>(&partials, S::add);
        let rows = p.chunks_exact_mut(padded(n)).zip(ds.chunks_exact_mut(padded(n))).zip(lse);
        for (((p, ds), lse), (mean, rest)) in rows.zip(means.iter().zip(&rests)) {
            let mean = mean + rest;
            for (p, ds) in p.iter_mut().zip(ds.iter_mut()) {
                *p = math::exp(p.mul_add(scale, -lse));
                *ds = *p * (*ds - mean) * scale;
            }
        }
    }
}

vectorised! {
    fn head_backward<S>(
        heads: Heads,
        head: usize,
        sequence: &Sequence,
        q: &[f32],
        kv: &[f32],
        o: &[f32],
        lse: &[f32],
        d_o: &[f32],
        dq: &mut [f32],
        dkv: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let (d, size, col) = (heads.width(), heads.size, head * heads.size);
        let (rows, n) = (sequence.rows.len(), sequence.tokens.len());
        let (wide, n_wide) = (padded(size), padded(n));
        let kv = &kv[sequence.tokens.start * 2 * d..];
        let row0 = sequence.rows.start * d;
        let Scratch { k_t, v_t, k, q: q_pad, d_o: d_o_pad, out, p, ds, .. } = scratch;
        pack_transposed::<S>(kv, 2 * d, col, size, n, k_t);
        pack_transposed::<S>(kv, 2 * d, d + col, size, n, v_t);
        pack(kv, 2 * d, col, size, n, k);
        pack(&q[row0..], d, col, size, rows, q_pad);
        pack(&d_o[row0..], d, col, size, rows, d_o_pad);
        let (p, ds) = (&mut p[..rows * n_wide], &mut ds[..rows * n_wide]);
        let by_row = |values, row| Left { values, row, col: 1 };
        multiply::<S>(p, by_row(q_pad, wide), k_t, (rows, size, n_wide));
        multiply::<S>(ds, by_row(d_o_pad, wide), v_t, (rows, size, n_wide));
        let outputs = (&d_o[row0 + col..], &o[row0 + col..], d, size);
        softmax_backward::<S>((p, ds), outputs, n, heads.scale(), lse);
        // dq = ds k
        multiply::<S>(out, by_row(ds, n_wide), k, (rows, n, wide));
        unpack(out, &mut dq[row0..], d, col, size, rows);
        // dk = ds' q, dv = p' d_o
        let dkv = &mut dkv[sequence.tokens.start * 2 * d..];
        let by_col = |values| Left { values, row: 1, col: n_wide };
        multiply::<S>(out, by_col(ds), q_pad, (n, rows, wide));
        unpack(out, dkv, 2 * d, col, size, n);
        multiply::<S>(out, by_col(p), d_o_pad, (n, rows, wide));
        unpack(out, dkv, 2 * d, d + col, size, n);
    }
}
