//! The MLP of a transformer block, `fc2(gelu(fc1(y)))`, some hidden columns at a time.
//!
//! The hidden activations of a group are four times as wide as its rows and would not stay in the second-level
//! cache between `fc1`, GELU and `fc2`. A part of them does. The parts are the blocks of inner indices into which
//! a product is cut anyway, so the sums are the same.

use std::ops::Range;

use super::block::{Values, at};
use super::buffer::Buffer;
use super::elementwise::{add_column_sums, gelu, gelu_backward};
use super::factor::Factor;
use super::gemm::{INNER, Packed};
use super::linear::{Forward, pack_for_backward, pack_rows, weight_gradient};
use super::tile::{Start, Strided};
use crate::kernels::MatmulPrecision;

/// The hidden columns of each part.
fn parts(hidden: usize, precision: MatmulPrecision) -> impl Iterator<Item = Range<usize>> {
    // In pairs, an inner index is two columns.
    let step = if precision.is_bf16() { 2 } else { 1 };
    let indices = hidden.div_ceil(step);
    let count = indices.div_ceil(INNER).max(1);
    let bound = move |i: usize| (i * indices / count * step).min(hidden);
    (0..count).map(move |i| bound(i)..bound(i + 1))
}

/// Some columns of `w`, rows of `width` values.
fn columns(w: &[f32], width: usize, part: &Range<usize>) -> Buffer {
    let mut out = Buffer::any(w.len() / width * part.len());
    for (out, row) in out.chunks_exact_mut(part.len()).zip(w.chunks_exact(width)) {
        out.copy_from_slice(&row[part.clone()]);
    }
    out
}

/// Columns of the widest part.
fn widest<A, B>(parts: &[(Range<usize>, A, B)]) -> usize {
    parts.iter().map(|(part, ..)| part.len()).max().unwrap_or(0)
}

/// The weights of both layers, ready for forward.
pub struct Maps {
    parts: Vec<(Range<usize>, Forward, Packed)>,
    bias: Buffer,
    precision: MatmulPrecision,
}

impl Maps {
    /// Transposes the weights.
    pub fn new(values: &Values) -> Self {
        let (d, hidden, precision) = (values.dim(), values.hidden(), values.precision);
        let ((w1, b1), (w2, b2)) = (values.pair(at::FC1), values.pair(at::FC2));
        let part = |part: Range<usize>| {
            let fc1 = Forward::new(&w1[part.start * d..part.end * d], &b1[part.clone()], precision);
            let fc2 = Packed::rounded_transposed(&columns(w2, hidden, &part), part.len(), d, precision);
            (part, fc1, fc2)
        };
        Maps { parts: parts(hidden, precision).map(part).collect(), bias: Buffer::copy_of(b2), precision }
    }

    /// `out = residual + fc2(gelu(fc1(y)))` for rows `y` (n, d). Leaves the output of `fc1` in `h`, one part
    /// (n, its columns) after another.
    pub fn forward(&self, y: &Factor, residual: &[f32], h: &mut [f32], out: &mut [f32]) {
        let rows = out.len() / self.bias.len();
        let mut g = Buffer::any(rows * widest(&self.parts));
        let mut start = Start::RowAndMatrix(&self.bias, residual);
        for (part, fc1, fc2) in &self.parts {
            let h = &mut h[rows * part.start..rows * part.end];
            let g = &mut g[..h.len()];
            fc1.apply(y, h);
            gelu(h, g);
            Factor::rows(g, part.len(), self.precision).product(out, start, fc2);
            start = Start::Output;
        }
    }
}

/// The weights of both layers, ready for backward.
pub struct Weights {
    parts: Vec<(Range<usize>, Packed, Packed)>,
    precision: MatmulPrecision,
}

impl Weights {
    /// Packs the weights.
    pub fn new(values: &Values) -> Self {
        let (d, hidden, precision) = (values.dim(), values.hidden(), values.precision);
        let ((w1, _), (w2, _)) = (values.pair(at::FC1), values.pair(at::FC2));
        let part = |part: Range<usize>| {
            let fc1 = pack_for_backward(&w1[part.start * d..part.end * d], part.len(), precision);
            let fc2 = pack_for_backward(&columns(w2, hidden, &part), d, precision);
            (part, fc1, fc2)
        };
        Weights { parts: parts(hidden, precision).map(part).collect(), precision }
    }

    /// The gradient of the rows `y` (n, d) from that of the output, `dy`; `h` as forward left it. Those of the
    /// weights and biases `[w1, b1, w2, b2]` start from `start`, or are added to.
    pub fn backward(
        &self,
        y: &[f32],
        h: &[f32],
        dy: &[f32],
        [dw1, db1, dw2, db2]: [&mut [f32]; 4],
        start: Start,
    ) -> Buffer {
        let (d, hidden) = (db2.len(), db1.len());
        let rows = dy.len() / d;
        let y = pack_rows(y, d, self.precision);
        let (by_rows, by_columns) =
            (Factor::rows(dy, d, self.precision), Factor::transposed(dy, d, self.precision));
        add_column_sums(db2, dy);
        let mut dx = Buffer::any(dy.len());
        let len = rows * widest(&self.parts);
        let (mut dh, mut g) = (Buffer::any(len), Buffer::any(len));
        let mut first = Start::Zero;
        for (part, fc1, fc2) in &self.parts {
            let h = &h[rows * part.start..rows * part.end];
            let (dh, g) = (&mut dh[..h.len()], &mut g[..h.len()]);
            by_rows.product(dh, Start::Zero, fc2);
            gelu_backward(h, g, dh);
            let of_part = Strided { values: &mut dw2[part.start..], stride: hidden };
            by_columns.product_into(of_part, start, &pack_rows(g, part.len(), self.precision));
            let dw1 = &mut dw1[part.start * d..part.end * d];
            weight_gradient(dw1, &mut db1[part.clone()], start, dh, &y);
            Factor::rows(dh, part.len(), self.precision).product(&mut dx, first, fc1);
            first = Start::Output;
        }
        dx
    }
}
