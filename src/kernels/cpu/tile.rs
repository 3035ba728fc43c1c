//! Products of matrices small enough to stay in the first-level cache, used inside attention.
//!
//! Rows of the right factor and of the output are padded to whole vectors, so that no loop has a tail.

use super::simd::{LANES, Simd, Tile};

/// Columns of a panel, which right factors consist of: the width of the widest register tile.
pub const PANEL: usize = 2 * LANES;

/// `n` rounded up to whole vectors.
#[inline(always)]
pub fn padded(n: usize) -> usize {
    n.div_ceil(LANES) * LANES
}

/// `to = from` without a call: rows inside the cache are too short for one.
#[inline(always)]
pub fn copy_row(from: &[f32], to: &mut [f32]) {
    let (mut from, mut to) = (from.chunks_exact(LANES), to.chunks_exact_mut(LANES));
    for (from, to) in (&mut from).zip(&mut to) {
        to.copy_from_slice(&from[..LANES]);
    }
    for (from, to) in from.remainder().iter().zip(to.into_remainder()) {
        *to = *from;
    }
}

/// Left factor `a[i, p]`, at `values[i * row + p * col]`.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    /// Backing slice.
    pub values: &'a [f32],
    /// Distance between rows.
    pub row: usize,
    /// Distance between columns.
    pub col: usize,
}

/// What a product starts from.
#[derive(Clone, Copy)]
pub enum Start<'a> {
    /// Zero: the old contents of the output are never read.
    Zero,
    /// The old contents of the output.
    Output,
    /// A row of `n` values (a bias) in every row.
    Row(&'a [f32]),
    /// The same plus a matrix laid out like the output (a residual).
    RowAndMatrix(&'a [f32], &'a [f32]),
}

impl<'a> Start<'a> {
    /// The same from column `col` of a wider output on.
    #[inline(always)]
    pub fn at_column(self, col: usize) -> Start<'a> {
        match self {
            Start::Row(row) => Start::Row(&row[col..]),
            Start::RowAndMatrix(row, x) => Start::RowAndMatrix(&row[col..], &x[col.min(x.len())..]),
            start => start,
        }
    }
}

/// A row-major right factor or output: values and distance between rows.
pub struct Strided<V> {
    /// Backing slice.
    pub values: V,
    /// Distance between rows.
    pub stride: usize,
}

/// `out (m, n) = start + a (m, k) b (k, n)`; `n` a multiple of [`LANES`]. With `PAIRS` every value of `a`
/// and `b` stands for two bf16, neighbours along `k` (see [`super::bf16`]).
#[inline(always)]
pub fn product<S: Simd, const PAIRS: bool>(
    out: Strided<&mut [f32]>,
    start: Start,
    a: Left,
    b: Strided<&[f32]>,
    (m, k, n): (usize, usize, usize),
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(n.is_multiple_of(LANES) && n <= b.stride && n <= out.stride);
    assert!(out.values.len() >= (m - 1) * out.stride + n);
    assert!(k == 0 || b.values.len() >= (k - 1) * b.stride + n);
    assert!(k == 0 || a.values.len() > (m - 1) * a.row + (k - 1) * a.col);
    match start {
        Start::Zero | Start::Output => (),
        Start::Row(row) => assert!(row.len() >= n),
        Start::RowAndMatrix(row, x) => {
            assert!(row.len() >= n && x.len() >= (m - 1) * out.stride + n)
        }
    }
    let operands = Operands::<S, PAIRS> {
        out: out.values.as_mut_ptr(),
        out_stride: out.stride,
        start: StartAt::new(start),
        a: a.values.as_ptr(),
        a_row: a.row,
        a_col: a.col,
        b: b.values.as_ptr(),
        b_stride: b.stride,
        k,
        simd: std::marker::PhantomData,
    };
    let mut col = 0;
    while col < n {
        // SAFETY: rows below `m`, columns below `n` and inner indices below `k` lie inside the slices,
        // as asserted above; every call stays below all three.
        unsafe {
            if S::TILE == Tile::Wide && n - col >= 2 * LANES {
                operands.columns::<12, 2>(m, col);
                col += 2 * LANES;
            } else if S::TILE == Tile::Wide {
                operands.columns::<12, 1>(m, col);
                col += LANES;
            } else {
                operands.columns::<6, 1>(m, col);
                col += LANES;
            }
        }
    }
}

/// [`Start`] as addresses.
#[derive(Clone, Copy)]
enum StartAt {
    Zero,
    Output,
    Row(*const f32),
    RowAndMatrix(*const f32, *const f32),
}

impl StartAt {
    #[inline(always)]
    fn new(start: Start) -> Self {
        match start {
            Start::Zero => StartAt::Zero,
            Start::Output => StartAt::Output,
            Start::Row(row) => StartAt::Row(row.as_ptr()),
            Start::RowAndMatrix(row, x) => StartAt::RowAndMatrix(row.as_ptr(), x.as_ptr()),
        }
    }
}

/// `body` for every index below a constant of at most 12, written out: an array of accumulators that is
/// ever indexed by a variable lives in memory instead of registers.
macro_rules! unrolled {
    ($i:ident < $end:ident, $body:expr) => {
        unrolled!(@ $i, $end, $body, 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    (@ $i:ident, $end:ident, $body:expr, $($n:literal)*) => {
        $(if $n < $end {
            let $i: usize = $n;
            $body;
        })*
    };
}

/// Addresses and strides of a product.
struct Operands<S, const PAIRS: bool> {
    out: *mut f32,
    out_stride: usize,
    start: StartAt,
    a: *const f32,
    a_row: usize,
    a_col: usize,
    b: *const f32,
    b_stride: usize,
    k: usize,
    simd: std::marker::PhantomData<S>,
}

impl<S: Simd, const PAIRS: bool> Operands<S, PAIRS> {
    /// All `m` rows of the `V` vectors from column `col` on, `R` rows at a time.
    ///
    /// # Safety
    /// Rows below `m`, columns below `col + V * LANES` and inner indices below `k` are in range.
    #[inline(always)]
    unsafe fn columns<const R: usize, const V: usize>(&self, m: usize, col: usize) {
        let mut row = 0;
        // SAFETY: guaranteed by the caller; each tile ends at or below row `m`.
        unsafe {
            while row + R <= m {
                self.tile::<R, V>(row, col);
                row += R;
            }
            while row + 4 <= m {
                self.tile::<4, V>(row, col);
                row += 4;
            }
            match m - row {
                3 => self.tile::<3, V>(row, col),
                2 => self.tile::<2, V>(row, col),
                1 => self.tile::<1, V>(row, col),
                _ => (),
            }
        }
    }

    /// One register tile: `R` rows by `V` vectors.
    ///
    /// # Safety
    /// As for [`Operands::columns`], with `m = row + R`.
    #[inline(always)]
    unsafe fn tile<const R: usize, const V: usize>(&self, row: usize, col: usize) {
        // SAFETY: all offsets are in range by the contract.
        unsafe {
            let mut sum = [[S::splat(0.0); V]; R];
            let mut a = self.a.wrapping_add(row * self.a_row);
            let mut b = self.b.wrapping_add(col);
            for _ in 0..self.k {
                let mut right = [S::splat(0.0); V];
                unrolled!(v < V, right[v] = S::load(b.add(v * LANES)));
                unrolled!(r < R, {
                    let left = S::splat(*a.add(r * self.a_row));
                    unrolled!(v < V, sum[r][v] = Self::mul_add(left, right[v], sum[r][v]));
                });
                a = a.wrapping_add(self.a_col);
                b = b.wrapping_add(self.b_stride);
            }
            let at = row * self.out_stride + col;
            match self.start {
                StartAt::Zero => (),
                StartAt::Output => self.add_matrix(&mut sum, self.out, at),
                StartAt::Row(bias) => self.add_row(&mut sum, bias.add(col)),
                StartAt::RowAndMatrix(bias, matrix) => {
                    self.add_row(&mut sum, bias.add(col));
                    self.add_matrix(&mut sum, matrix, at);
                }
            }
            let out = self.out.add(at);
            unrolled!(r < R, {
                unrolled!(v < V, S::store(sum[r][v], out.add(r * self.out_stride + v * LANES)));
            });
        }
    }

    /// One step of the inner sum.
    ///
    /// # Safety
    /// That of [`Simd`].
    #[inline(always)]
    unsafe fn mul_add(a: S::V, b: S::V, c: S::V) -> S::V {
        // SAFETY: the caller's.
        unsafe { if PAIRS { S::mul_add_pairs(a, b, c) } else { S::mul_add(a, b, c) } }
    }

    /// Adds a matrix laid out like the output, the tile's part of which is at `at`.
    ///
    /// What a product starts from is added last: the accumulators then stay in registers throughout.
    ///
    /// # Safety
    /// The tile is in range.
    #[inline(always)]
    unsafe fn add_matrix<const R: usize, const V: usize>(
        &self,
        sum: &mut [[S::V; V]; R],
        matrix: *const f32,
        at: usize,
    ) {
        // SAFETY: in range by the contract.
        unsafe {
            unrolled!(r < R, {
                let from = matrix.add(at + r * self.out_stride);
                unrolled!(v < V, sum[r][v] = S::add(sum[r][v], S::load(from.add(v * LANES))));
            });
        }
    }

    /// Adds the same values to every row.
    ///
    /// # Safety
    /// `row` holds `V` vectors.
    #[inline(always)]
    unsafe fn add_row<const R: usize, const V: usize>(&self, sum: &mut [[S::V; V]; R], row: *const f32) {
        // SAFETY: in range by the contract.
        unsafe {
            unrolled!(v < V, {
                let bias = S::load(row.add(v * LANES));
                unrolled!(r < R, sum[r][v] = S::add(sum[r][v], bias));
            });
        }
    }
}
