//! Matrix products in f64 (those in f32 are the kernels').
//!
//! nalgebra's `gemm` picks the widest vector unit at run time and needs no `unsafe` here. It is
//! single-threaded; callers split the *output* into blocks of fixed size, so that every element
//! is one sum in one order, whatever the number of threads.

use std::ops::Range;

use nalgebra::{DMatrixView, DMatrixViewMut, Dyn, RealField};

/// A strided view of a row-major matrix.
#[derive(Clone, Copy)]
pub(crate) struct View<'a, T> {
    values: &'a [T],
    shape: (usize, usize),
    strides: (usize, usize),
}

impl<'a, T> View<'a, T> {
    /// All of `values` as rows of `cols` values.
    pub fn new(values: &'a [T], cols: usize) -> Self {
        View { values, shape: (values.len() / cols.max(1), cols), strides: (cols, 1) }
    }
    /// Number of rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }
    /// The transpose, without moving anything.
    pub fn t(self) -> Self {
        let ((rows, cols), (row, col)) = (self.shape, self.strides);
        View { shape: (cols, rows), strides: (col, row), ..self }
    }
    /// The same for nalgebra.
    fn matrix(self) -> DMatrixView<'a, T, Dyn, Dyn>
    where
        T: RealField,
    {
        let ((rows, cols), (row, col)) = (self.shape, self.strides);
        DMatrixView::from_slice_with_strides(self.values, rows, cols, row, col)
    }
    /// The first columns.
    pub fn columns(self, count: usize) -> Self {
        View { shape: (self.shape.0, count), ..self }
    }
    /// Some of the rows.
    pub fn rows(self, range: Range<usize>) -> Self {
        let shape = (range.len(), self.shape.1);
        View { values: &self.values[range.start * self.strides.0..], shape, ..self }
    }
}

/// What is in the output before a product.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onto {
    /// Anything: it is overwritten.
    Nothing,
    /// Values that the product is added to.
    Values,
}

/// Sides up to this are multiplied by plain loops. nalgebra 0.35 does the same up to 5, but there
/// it takes the length of a strided column for its number of elements and writes out of bounds.
const SMALL: usize = 8;

/// `out (+)= a b`, with `out` row-major `(a.rows, b.cols)`; on the calling thread.
pub(crate) fn matmul<T: RealField + Copy>(a: View<T>, b: View<T>, onto: Onto, out: &mut [T]) {
    let ((rows, inner), (also_inner, cols)) = (a.shape, b.shape);
    assert_eq!((inner, rows * cols), (also_inner, out.len()), "shapes of a product");
    if rows.min(inner).min(cols) <= SMALL {
        return small(a, b, onto, out);
    }
    let beta = if onto == Onto::Values { T::one() } else { T::zero() };
    let mut product = DMatrixViewMut::from_slice_with_strides_mut(out, rows, cols, cols, 1);
    product.gemm(T::one(), &a.matrix(), &b.matrix(), beta);
}

fn small<T: RealField + Copy>(a: View<T>, b: View<T>, onto: Onto, out: &mut [T]) {
    if onto == Onto::Nothing {
        out.fill(T::zero());
    }
    let cols = b.shape.1;
    for (r, out) in out.chunks_exact_mut(cols.max(1)).enumerate() {
        for k in 0..a.shape.1 {
            let factor = a.values[r * a.strides.0 + k * a.strides.1];
            let row = b.values[k * b.strides.0..].iter().step_by(b.strides.1);
            out.iter_mut().zip(row).for_each(|(o, &v)| *o += factor * v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, step: f64) -> Vec<f64> {
        (0..n).map(|i| (i as f64 * step).sin()).collect()
    }

    /// `a b + 1` for either layout of `a` and `b`, between guards that nobody may touch.
    fn check_product(rows: usize, inner: usize, cols: usize, turned: (bool, bool)) {
        const GUARD: usize = 500;
        let (a, b) = (numbers(rows * inner, 0.7), numbers(inner * cols, 1.3));
        let left = if turned.0 { View::new(&a, rows).t() } else { View::new(&a, inner) };
        let right = if turned.1 { View::new(&b, inner).t() } else { View::new(&b, cols) };
        let mut out = vec![1.0; 2 * GUARD + rows * cols];
        matmul(left, right, Onto::Values, &mut out[GUARD..GUARD + rows * cols]);
        let case = format!("{rows}x{inner}x{cols} {turned:?}");
        assert!(out[..GUARD].iter().chain(&out[GUARD + rows * cols..]).all(|&v| v == 1.0), "{case}: bounds");
        let at = |v: &View<f64>, r: usize, c: usize| v.values[r * v.strides.0 + c * v.strides.1];
        for (i, &value) in out[GUARD..GUARD + rows * cols].iter().enumerate() {
            let (r, c) = (i / cols, i % cols);
            let expected = 1.0 + (0..inner).map(|k| at(&left, r, k) * at(&right, k, c)).sum::<f64>();
            assert!((value - expected).abs() < 1e-12, "{case} at {r},{c}");
        }
    }

    #[test]
    fn products_equal_the_definition_and_stay_in_bounds() {
        let sides = [1, 3, 5, 6, 8, 9, 17, 40];
        for rows in sides {
            for (inner, cols) in sides.iter().flat_map(|&i| sides.map(|c| (i, c))) {
                for turned in [(false, false), (false, true), (true, false), (true, true)] {
                    check_product(rows, inner, cols, turned);
                }
            }
        }
    }

    #[test]
    fn transposes_and_row_ranges_are_views() {
        let (a, mut out) = (numbers(12, 0.7), vec![f64::NAN; 2 * 3]);
        let a = View::new(&a, 4);
        let identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        matmul(a.t().rows(1..3), View::new(&identity, 3), Onto::Nothing, &mut out);
        let at = |r: usize, c: usize| (r as f64 * 4.0 + c as f64) * 0.7;
        let expected = [at(0, 1), at(1, 1), at(2, 1), at(0, 2), at(1, 2), at(2, 2)].map(f64::sin);
        assert_eq!(out, expected);
    }
}
