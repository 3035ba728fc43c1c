//! Products of two matrices of activations, either of them transposed.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::factor::Factor;
use super::gemm::Packed;
use super::simd::{LANES, vectorised};
use super::tile::{Start, copy_row};
use crate::kernels::MatmulPrecision;

/// Rows of a product per task: few, since a matrix of moments has no more rows than columns.
const TASK_ROWS: usize = 64;

/// A row-major matrix, or its transpose.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    pub values: &'a [f32],
    pub transposed: bool,
}

impl<'a> Operand<'a> {
    /// The matrix, transposed if `transposed`.
    pub fn new(values: &'a [f32], transposed: bool) -> Self {
        Operand { values, transposed }
    }
    /// The transpose.
    pub fn turned(self) -> Self {
        Operand { transposed: !self.transposed, ..self }
    }
}

/// `out += a b`: a (n, k), b (k, m), out row-major (n, m).
pub fn add_product(
    out: &mut [f32],
    a: Operand,
    b: Operand,
    [n, k, m]: [usize; 3],
    precision: MatmulPrecision,
) {
    if n * k * m == 0 {
        return;
    }
    let right = if b.transposed {
        Packed::rounded_transposed(b.values, k, m, precision)
    } else {
        Packed::rounded(b.values, k, m, precision)
    };
    // Turning the left factor is little beside the product, and its rows can then be shared.
    let turned = a.transposed.then(|| transpose(a.values, k, n));
    let left = turned.as_deref().unwrap_or(a.values);
    out.par_chunks_mut(TASK_ROWS * m)
        .zip(left.par_chunks(TASK_ROWS * k))
        .for_each(|(out, a)| Factor::rows(a, k, precision).product(out, Start::Output, &right));
}

vectorised! {
    /// From row-major (rows, columns) to (columns, rows), sixteen of each at a time.
    fn transpose_into<S>(x: &[f32], out: &mut [f32], rows: usize, columns: usize) {
        for row0 in (0..rows).step_by(LANES) {
            for col0 in (0..columns).step_by(LANES) {
                let (height, width) = (LANES.min(rows - row0), LANES.min(columns - col0));
                let mut square = [[0.0; LANES]; LANES];
                for (i, square) in square[..height].iter_mut().enumerate() {
                    copy_row(&x[(row0 + i) * columns + col0..][..width], &mut square[..width]);
                }
                // SAFETY: a `vectorised!` body.
                let square = unsafe { S::transposed(&square) };
                for (i, square) in square[..width].iter().enumerate() {
                    copy_row(&square[..height], &mut out[(col0 + i) * rows + row0..][..height]);
                }
            }
        }
    }
}

/// The transpose of a row-major matrix (rows, columns).
pub fn transpose(x: &[f32], rows: usize, columns: usize) -> Buffer {
    let mut out = Buffer::any(x.len());
    transpose_into(x, &mut out, rows, columns);
    out
}
