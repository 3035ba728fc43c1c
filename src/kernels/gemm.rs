//! Matrix products on slices, one thread each; the callers divide the work.

use gemm::Parallelism;

/// A matrix that borrows a slice.
#[derive(Clone, Copy)]
pub struct View<'a> {
    values: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> View<'a> {
    /// Row-major, `(rows, cols)`.
    pub fn new(values: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(values.len(), rows * cols, "a {rows} x {cols} matrix");
        View { values, rows, cols, row_stride: cols, col_stride: 1 }
    }
    /// The transpose, without moving a value.
    pub fn t(self) -> Self {
        View {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// What becomes of the old contents of the output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// They are overwritten (and never read).
    Replace,
    /// The product is added to them.
    Add,
}

/// `out (=|+=) a b` with `out` row-major `(a.rows, b.cols)`.
pub fn product(out: &mut [f32], write: Write, a: View, b: View) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    assert_eq!(k, b.rows, "inner dimensions");
    assert_eq!(out.len(), m * n, "an output of {m} x {n}");
    if m == 0 || n == 0 {
        return;
    }
    let add = write == Write::Add;
    // SAFETY: `View::new` checked that every (row, column) lies inside the slices of `a` and `b`
    // (a transpose only swaps the two), the assertions above do the same for `out`, which is
    // borrowed mutably and so overlaps neither.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.values.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            if add { 1.0 } else { 0.0 },
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        )
    }
}

/// The transpose of a row-major `(rows, cols)` matrix.
pub fn transpose(from: &[f32], to: &mut [f32], rows: usize, cols: usize) {
    assert!(from.len() == rows * cols && to.len() == rows * cols);
    const TILE: usize = 16;
    for row0 in (0..rows).step_by(TILE) {
        for col0 in (0..cols).step_by(TILE) {
            for col in col0..(col0 + TILE).min(cols) {
                for row in row0..(row0 + TILE).min(rows) {
                    to[col * rows + row] = from[row * cols + col];
                }
            }
        }
    }
}
