//! Cholesky factors of large matrices, by blocks: nalgebra's goes through memory once per column.

use nalgebra::{Cholesky, DMatrix};
use rayon::prelude::*;

use super::linalg::{Onto, View, matmul};

/// Columns of a block.
const BLOCK: usize = 64;

/// `L` with `L L' =` a symmetric positive matrix; row-major, its upper part meaningless.
pub(crate) struct Factor {
    rows: Vec<f64>,
    side: usize,
}

impl Factor {
    /// Of a symmetric matrix; none if rounding leaves it short of positive.
    pub fn new(matrix: DMatrix<f64>) -> Option<Self> {
        let side = matrix.nrows();
        let mut rows: Vec<f64> = matrix.data.into();
        for first in (0..side).step_by(BLOCK) {
            eliminate(&mut rows[first * side..], side, first)?;
        }
        Some(Factor { rows, side })
    }

    /// Rows and columns.
    pub fn side(&self) -> usize {
        self.side
    }

    /// `(L L')^-1 v` for every `v` of `many`.
    pub fn solve(&self, many: &mut [f64]) {
        many.par_chunks_exact_mut(self.side).for_each(|v| {
            for (i, row) in self.rows.chunks_exact(self.side).enumerate() {
                v[i] = (v[i] - dot(&row[..i], &v[..i])) / row[i];
            }
            for (i, row) in self.rows.chunks_exact(self.side).enumerate().rev() {
                let (before, own) = v.split_at_mut(i);
                own[0] /= row[i];
                before.iter_mut().zip(row).for_each(|(v, l)| *v -= own[0] * l);
            }
        });
    }
}

/// Turns the block of columns from `first` on, of the rows from `first` on, into columns of the factor;
/// those before are columns of it already.
fn eliminate(rows: &mut [f64], side: usize, first: usize) -> Option<()> {
    let width = BLOCK.min(side - first);
    let own: Vec<f64> = rows[..width * side].to_vec();
    // A - L_before L_before', by rows; the block on the diagonal is among them.
    rows.par_chunks_mut(BLOCK * side).for_each(|rows| {
        let count = rows.len() / side;
        let mut known = vec![0.0; count * width];
        let (before, these) = (View::new(rows, side), View::new(&own, side));
        matmul(before.columns(first), these.columns(first).t(), Onto::Nothing, &mut known);
        for (row, known) in rows.chunks_exact_mut(side).zip(known.chunks_exact(width)) {
            row[first..first + width].iter_mut().zip(known).for_each(|(a, k)| *a -= k);
        }
    });
    let (diagonal, below) = rows.split_at_mut(width * side);
    let block = DMatrix::from_fn(width, width, |r, c| diagonal[r.max(c) * side + first + r.min(c)]);
    let factor = Cholesky::new(block)?.unpack();
    for (r, row) in diagonal.chunks_exact_mut(side).enumerate() {
        (0..=r).for_each(|c| row[first + c] = factor[(r, c)]);
    }
    let diagonal = &*diagonal;
    below.par_chunks_exact_mut(side).for_each(|row| {
        let row = &mut row[first..first + width];
        for c in 0..width {
            let of_factor = &diagonal[c * side + first..][..=c];
            row[c] = (row[c] - dot(&row[..c], &of_factor[..c])) / of_factor[c];
        }
    });
    Some(())
}

/// Inner product in eight partial sums.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        (0..8).for_each(|l| sums[l] += a[l] * b[l]);
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_what_it_was_made_from() {
        for side in [1, 5, 64, 65, 150, 200] {
            let a = DMatrix::from_fn(side, side, |r, c| ((r * 31 + c * 17) as f64).sin());
            let matrix = &a * a.transpose() + DMatrix::identity(side, side) * 0.5;
            let expected = DMatrix::from_fn(side, 3, |r, c| ((r + 7 * c) as f64).cos());
            let mut found: Vec<f64> = (&matrix * &expected).data.into();
            Factor::new(matrix).expect("positive").solve(&mut found);
            let worst = found.iter().zip(expected.iter()).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-9, "{side}: {worst:e}");
        }
        assert!(Factor::new(-DMatrix::identity(70, 70)).is_none());
    }
}
