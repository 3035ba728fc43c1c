//! Products of matrices small enough to stay in the first-level cache, used inside attention.
//!
//! Rows of the right factor and of the output are padded to whole vectors, so that no loop has a tail.

use super::simd::{LANES, Lanes};

/// `n` rounded up to whole vectors.
#[inline(always)]
pub fn padded(n: usize) -> usize {
    n.div_ceil(LANES) * LANES
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

/// `out (m, n) = a (m, k) b (k, n)` with `n` a multiple of [`LANES`], `out` and `b` row-major.
#[inline(always)]
pub fn product(out: &mut [f32], a: Left, b: &[f32], (m, k, n): (usize, usize, usize)) {
    if m == 0 {
        return;
    }
    assert!(n.is_multiple_of(LANES) && out.len() >= m * n && b.len() >= k * n);
    assert!(k == 0 || (m - 1) * a.row + (k - 1) * a.col < a.values.len());
    let mut col = 0;
    // Eight accumulators hide the latency of a fused multiply-add: 4 rows x 2 vectors or 8 x 1.
    while col < n {
        // SAFETY: rows below `m`, columns below `n` and inner indices below `k` lie inside the slices,
        // as asserted above; every call stays below all three.
        unsafe {
            if n - col >= 2 * LANES {
                column_block::<4, 2>(out, a, b, (m, k, n), col);
                col += 2 * LANES;
            } else {
                column_block::<8, 1>(out, a, b, (m, k, n), col);
                col += LANES;
            }
        }
    }
}

/// All rows of the `V` vectors from column `col` on, `R` rows at a time.
///
/// # Safety
/// As for [`block`], for all `m` rows.
#[inline(always)]
unsafe fn column_block<const R: usize, const V: usize>(
    out: &mut [f32],
    a: Left,
    b: &[f32],
    (m, k, n): (usize, usize, usize),
    col: usize,
) {
    let mut row = 0;
    // SAFETY: guaranteed by the caller; `row + R <= m` in each call.
    unsafe {
        while row + R <= m {
            block::<R, V>(out, a, b, (k, n), (row, col));
            row += R;
        }
        while row + 2 <= m {
            block::<2, V>(out, a, b, (k, n), (row, col));
            row += 2;
        }
        if row < m {
            block::<1, V>(out, a, b, (k, n), (row, col));
        }
    }
}

/// One register tile: `R` rows by `V` vectors.
///
/// # Safety
/// `(row + R) * n <= out.len()`, `k * n <= b.len()`, `col + V * LANES <= n`, and `a` holds rows below
/// `row + R` and columns below `k`.
#[inline(always)]
unsafe fn block<const R: usize, const V: usize>(
    out: &mut [f32],
    a: Left,
    b: &[f32],
    (k, n): (usize, usize),
    (row, col): (usize, usize),
) {
    let mut sum = [[Lanes::ZERO; V]; R];
    // SAFETY: the offsets are in range by the contract above.
    unsafe {
        let a_rows = a.values.as_ptr().add(row * a.row);
        let b_cols = b.as_ptr().add(col);
        for p in 0..k {
            let mut b = [Lanes::ZERO; V];
            for v in 0..V {
                b[v] = Lanes::load(b_cols.add(p * n + v * LANES));
            }
            for r in 0..R {
                let a = Lanes::splat(*a_rows.add(r * a.row + p * a.col));
                for v in 0..V {
                    sum[r][v] = a.mul_add(b[v], sum[r][v]);
                }
            }
        }
        for r in 0..R {
            for v in 0..V {
                sum[r][v].store(out.as_mut_ptr().add((row + r) * n + col + v * LANES));
            }
        }
    }
}
