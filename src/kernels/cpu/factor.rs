//! Left factors of products, in the form that the rounding asks for.

use super::bf16;
use super::buffer::Buffer;
use super::elementwise::{gather_rows, transpose};
use super::gemm::{Packed, multiply};
use super::tile::{Left, Start, Strided};
use crate::kernels::MatmulPrecision;

/// A matrix as the left factor of products: read in place, or rounded once for all of them.
pub struct Factor<'a> {
    values: Values<'a>,
    /// Values in a row, or pairs of them.
    width: usize,
    /// Whether it is the transpose of the matrix that multiplies.
    transposed: bool,
    /// What was done to the values.
    precision: MatmulPrecision,
}

enum Values<'a> {
    Borrowed(&'a [f32]),
    Owned(Buffer),
}

impl<'a> Factor<'a> {
    /// The factor `a` from its rows of `d` values.
    pub fn rows(a: &'a [f32], d: usize, precision: MatmulPrecision) -> Self {
        match precision {
            MatmulPrecision::F32 | MatmulPrecision::Tf32 => Factor::in_place(a, d, false),
            MatmulPrecision::Bf16 | MatmulPrecision::Bf16Amx => {
                let width = bf16::pairs(d, precision);
                let mut pairs = Buffer::any(a.len() / d * width);
                bf16::pair_columns(a, &mut pairs, d, width);
                Factor { values: Values::Owned(pairs), width, transposed: false, precision }
            }
        }
    }
    /// The factor `a'` from the rows of `d` values of `a`.
    pub fn transposed(a: &'a [f32], d: usize, precision: MatmulPrecision) -> Self {
        match precision {
            MatmulPrecision::F32 | MatmulPrecision::Tf32 => Factor::in_place(a, d, true),
            MatmulPrecision::Bf16 => {
                let mut pairs = Buffer::any((a.len() / d).div_ceil(2) * d);
                bf16::pair_rows(a, &mut pairs, d);
                Factor { values: Values::Owned(pairs), width: d, transposed: true, precision }
            }
            // The matrix units read rows alone.
            MatmulPrecision::Bf16Amx => {
                let width = bf16::pairs(a.len() / d, precision);
                let mut pairs = Buffer::any(width * d);
                bf16::pair_rows(a, &mut pairs, d);
                let rows = Values::Owned(transpose(&pairs, width, d));
                Factor { values: rows, width, transposed: false, precision }
            }
        }
    }
    fn in_place(a: &'a [f32], width: usize, transposed: bool) -> Self {
        Factor { values: Values::Borrowed(a), width, transposed, precision: MatmulPrecision::F32 }
    }

    /// Some of the rows of [`Factor::rows`], or all.
    pub fn pick(self, index: Option<&[usize]>) -> Self {
        assert!(!self.transposed, "rows of a factor given by rows");
        let Some(index) = index else { return self };
        let mut rows = Buffer::any(index.len() * self.width);
        gather_rows(self.values(), &mut rows, index, self.width);
        Factor { values: Values::Owned(rows), ..self }
    }

    /// `out = start + a b`, `out` row-major.
    pub fn product(&self, out: &mut [f32], start: Start, b: &Packed) {
        self.product_into(Strided { values: out, stride: b.columns() }, start, b);
    }

    /// The same into some columns of a wider output.
    pub fn product_into(&self, out: Strided<&mut [f32]>, start: Start, b: &Packed) {
        let (values, n) = (self.values(), b.columns());
        assert!(n <= out.stride, "{n} columns of an output of {}", out.stride);
        let m = (out.values.len() + out.stride - n) / out.stride;
        assert_eq!(self.precision, b.precision(), "both factors rounded alike");
        let height = if self.transposed { m } else { b.height() };
        assert!(self.width == height && values.len() == m * b.height(), "a left factor for {m} rows");
        let (row, col) = if self.transposed { (1, self.width) } else { (self.width, 1) };
        multiply(out, start, Left { values, row, col }, b);
    }

    /// The values or pairs, row by row.
    pub fn values(&self) -> &[f32] {
        match &self.values {
            Values::Borrowed(values) => values,
            Values::Owned(values) => values,
        }
    }
}
