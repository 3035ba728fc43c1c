//! Products of two matrices of activations, either of them transposed.

use rayon::prelude::*;

use super::elementwise::transpose;
use super::factor::Factor;
use super::gemm::Packed;
use super::tile::Start;
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
