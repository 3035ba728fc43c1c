//! Matrix products of activations, one thread each; the callers divide the work.
//!
//! The right factor is packed into panels of [`PANEL`] columns that a register tile reads along one
//! stream; weights are packed once per operator and shared by all groups and threads. The left factor
//! is read in place, in either orientation, or rounded beforehand ([`Factor`]). A bias and a residual are
//! what the accumulators start from.

use std::ops::Range;

use super::amx;
use super::bf16::{self, pairs};
use super::buffer::Buffer;
use super::factor::Factor;
use super::simd::{LANES, Simd, vectorised};
use super::tile::{self, Left, PANEL, Start, Strided, copy_row};
use crate::kernels::MatmulPrecision;

/// Most inner indices, or pairs of them, handled at a time: a panel of them, 24 KiB, stays in the first-level cache.
pub(super) const INNER: usize = 192;

/// A right factor (k, n) in panels, zero beyond column `n`.
pub struct Packed {
    panels: Buffer,
    /// Rows: half as many, rounded up, where they hold pairs.
    k: usize,
    n: usize,
    /// What was done to the values.
    precision: MatmulPrecision,
}

impl Packed {
    /// From a row-major (k, n) matrix.
    pub fn new(b: &[f32], k: usize, n: usize) -> Self {
        assert_eq!(b.len(), k * n, "a {k} x {n} matrix");
        let mut panels = Buffer::any(k * n.div_ceil(PANEL) * PANEL);
        fill_panels(&mut panels, b, k, n);
        Packed { panels, k, n, precision: MatmulPrecision::F32 }
    }
    /// From the transpose, a row-major (n, k) matrix.
    pub fn transposed(b: &[f32], k: usize, n: usize) -> Self {
        assert_eq!(b.len(), k * n, "a {n} x {k} matrix");
        let mut panels = Buffer::any(k * n.div_ceil(PANEL) * PANEL);
        for (p, panel) in panels.chunks_exact_mut((k * PANEL).max(1)).enumerate() {
            let width = PANEL.min(n - p * PANEL);
            for (i, to) in panel.chunks_exact_mut(PANEL).enumerate() {
                for (c, to) in to[..width].iter_mut().enumerate() {
                    *to = b[(p * PANEL + c) * k + i];
                }
                to[width..].fill(0.0);
            }
        }
        Packed { panels, k, n, precision: MatmulPrecision::F32 }
    }
    /// [`Packed::new`] of rounded values.
    pub(super) fn rounded(b: &[f32], k: usize, n: usize, precision: MatmulPrecision) -> Self {
        match precision {
            MatmulPrecision::F32 | MatmulPrecision::Tf32 => Packed::new(b, k, n),
            MatmulPrecision::Bf16 | MatmulPrecision::Bf16Amx => {
                assert_eq!(b.len(), k * n, "a {k} x {n} matrix");
                let k = pairs(k, precision);
                let mut panels = Buffer::any(k * n.div_ceil(PANEL) * PANEL);
                fill_panels_with_pairs(&mut panels, b, k, n);
                Packed { panels, k, n, precision }
            }
        }
    }
    /// [`Packed::transposed`] of rounded values.
    pub fn rounded_transposed(b: &[f32], k: usize, n: usize, precision: MatmulPrecision) -> Self {
        match precision {
            MatmulPrecision::F32 | MatmulPrecision::Tf32 => Packed::transposed(b, k, n),
            MatmulPrecision::Bf16 | MatmulPrecision::Bf16Amx => {
                let rows = Factor::rows(b, k, precision);
                Packed { precision, ..Packed::transposed(rows.values(), pairs(k, precision), n) }
            }
        }
    }
    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.n
    }
    /// Rows of values, or of pairs of them.
    pub(super) fn height(&self) -> usize {
        self.k
    }
    /// What left factors must have gone through too.
    pub(super) fn precision(&self) -> MatmulPrecision {
        self.precision
    }
}

vectorised! {
    fn fill_panels(panels: &mut [f32], b: &[f32], k: usize, n: usize) {
        for (p, panel) in panels.chunks_exact_mut((k * PANEL).max(1)).enumerate() {
            let width = PANEL.min(n - p * PANEL);
            for (to, from) in panel.chunks_exact_mut(PANEL).zip(b.chunks_exact(n)) {
                copy_row(&from[p * PANEL..][..width], &mut to[..width]);
                to[width..].fill(0.0);
            }
        }
    }
}

vectorised! {
    fn fill_panels_with_pairs<S>(panels: &mut [f32], b: &[f32], k: usize, n: usize) {
        let none = Buffer::zeros(n);
        for (p, panel) in panels.chunks_exact_mut((k * PANEL).max(1)).enumerate() {
            let width = PANEL.min(n - p * PANEL);
            for (to, from) in panel.chunks_exact_mut(PANEL).zip(b.chunks(2 * n)) {
                let (low, high) = from.split_at(n);
                let high = if high.is_empty() { &none[..] } else { high };
                bf16::pair_two::<S>(&low[p * PANEL..][..width], &high[p * PANEL..][..width], &mut to[..width]);
                to[width..].fill(0.0);
            }
            panel[b.len().div_ceil((2 * n).max(1)) * PANEL..].fill(0.0);
        }
    }
}

/// `out = start + a b`, `out` row-major (m, n), `a` row-major (m, k).
pub fn product(out: &mut [f32], start: Start, a: &[f32], b: &Packed) {
    assert!(!b.precision.is_bf16(), "both factors rounded, or none");
    let m = out.len() / b.n;
    assert_eq!(a.len(), m * b.k, "a left factor of {m} x {}", b.k);
    let out = Strided { values: out, stride: b.n };
    multiply(out, start, Left { values: a, row: b.k, col: 1 }, b);
}

/// `out = start + a' b` for some columns of `a`: `out` row-major (columns.len(), n), `a` row-major with
/// the k rows of `b`.
pub fn product_of_columns(out: &mut [f32], start: Start, a: &[f32], columns: Range<usize>, b: &Packed) {
    assert!(!b.precision.is_bf16(), "both factors rounded, or none");
    let width = a.len() / b.k.max(1);
    assert!(a.len() == width * b.k && columns.end <= width, "a left factor of {} x {width}", b.k);
    assert_eq!(out.len(), columns.len() * b.n, "an output of {} x {}", columns.len(), b.n);
    let out = Strided { values: out, stride: b.n };
    multiply(out, start, Left { values: &a[columns.start..], row: 1, col: width }, b);
}

/// `out = start + a b`; `a` and `b` both consist of pairs, or neither.
pub(super) fn multiply(out: Strided<&mut [f32]>, start: Start, a: Left, b: &Packed) {
    match b.precision {
        MatmulPrecision::Bf16Amx => amx::multiply(out, start, a, &b.panels, b.k, b.n),
        _ => multiply_tiles(out, start, a, b),
    }
}

vectorised! {
    fn multiply_tiles<S>(out: Strided<&mut [f32]>, start: Start, a: Left, b: &Packed) {
        if b.precision.is_bf16() {
            multiply_panels::<S, true>(out, start, a, b)
        } else {
            multiply_panels::<S, false>(out, start, a, b)
        }
    }
}

/// [`multiply`] panel by panel, a block of inner indices at a time.
#[inline(always)]
fn multiply_panels<S: Simd, const PAIRS: bool>(out: Strided<&mut [f32]>, start: Start, a: Left, b: &Packed) {
    let (k, n, Strided { values: out, stride }) = (b.k, b.n, out);
    // The last row may end with its last column.
    let m = (out.len() + stride - n) / stride;
    assert!(stride > n || out.len() == m * n, "an output of {m} x {n}");
    let blocks = k.div_ceil(INNER).max(1);
    for block in 0..blocks {
        let (k0, k1) = (block * k / blocks, (block + 1) * k / blocks);
        let start = if block == 0 { start } else { Start::Output };
        let a = Left { values: a.values.get(k0 * a.col..).unwrap_or(&[]), ..a };
        for col in (0..n).step_by(PANEL) {
            let panel = &b.panels[col * k + k0 * PANEL..col * k + k1 * PANEL];
            let whole = (n - col).min(PANEL) / LANES * LANES;
            let right = Strided { values: panel, stride: PANEL };
            let to = Strided { values: &mut out[col.min(m * stride)..], stride };
            tile::product::<S, PAIRS>(to, start.at_column(col), a, right, (m, k1 - k0, whole));
            let rest = (n - col).min(PANEL) - whole;
            if rest > 0 {
                let right = Strided { values: &panel[whole.min(panel.len())..], stride: PANEL };
                let to = Strided { values: &mut out[(col + whole).min(m * stride)..], stride };
                narrow_product::<S, PAIRS>(to, start.at_column(col + whole), a, right, (m, k1 - k0, rest));
            }
        }
    }
}

/// Rows handled at a time by [`narrow_product`].
const NARROW_ROWS: usize = 48;

/// [`tile::product`] for the last columns, fewer than a vector: through a padded copy.
#[inline(always)]
fn narrow_product<S: Simd, const PAIRS: bool>(
    out: Strided<&mut [f32]>,
    start: Start,
    a: Left,
    b: Strided<&[f32]>,
    (m, k, rest): (usize, usize, usize),
) {
    let mut padded = [0.0; NARROW_ROWS * LANES];
    for row0 in (0..m).step_by(NARROW_ROWS) {
        let rows = NARROW_ROWS.min(m - row0);
        for r in 0..rows {
            let at = (row0 + r) * out.stride;
            for c in 0..rest {
                padded[r * LANES + c] = match start {
                    Start::Zero => 0.0,
                    Start::Output => out.values[at + c],
                    Start::Row(row) => row[c],
                    Start::RowAndMatrix(row, x) => row[c] + x[at + c],
                };
            }
        }
        let a = Left { values: &a.values[(row0 * a.row).min(a.values.len())..], ..a };
        let (to, b) = (Strided { values: &mut padded[..], stride: LANES }, Strided { ..b });
        tile::product::<S, PAIRS>(to, Start::Output, a, b, (rows, k, LANES));
        for r in 0..rows {
            let at = (row0 + r) * out.stride;
            out.values[at..at + rest].copy_from_slice(&padded[r * LANES..][..rest]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_of_some_columns_equals_the_definition() {
        let numbers = |n: usize, step: f32| (0..n).map(|i| (i as f32 * step).sin()).collect::<Vec<_>>();
        for (k, width, n) in [(1, 3, 1), (5, 40, 10), (200, 33, 70)] {
            let (a, b, bias) = (numbers(k * width, 0.7), numbers(k * n, 1.3), numbers(n, 0.3));
            let columns = width / 3..width;
            let mut out = vec![f32::NAN; columns.len() * n];
            product_of_columns(&mut out, Start::Row(&bias), &a, columns.clone(), &Packed::new(&b, k, n));
            for (i, value) in out.iter().enumerate() {
                let (row, col) = (columns.start + i / n, i % n);
                let sum: f32 = (0..k).map(|p| a[p * width + row] * b[p * n + col]).sum();
                assert!((value - sum - bias[col]).abs() < 1e-4, "{k} x {width} x {n} at {i}");
            }
        }
    }
}
