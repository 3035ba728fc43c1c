//! Upper bounds of cosines from a few coordinates.
//!
//! Features vary mostly along few directions. With an orthonormal basis of those, `q = q1 + q2` (inside
//! and outside of it), and `q b <= q1 b1 + |q2| |b2|`: one more coordinate, `|q2|`, turns the product of
//! short vectors into a bound. The basis comes from the data by subspace iteration (Halko et al. 2011,
//! arXiv 0909.4061); how good it is decides the speed, never the result.

use rayon::prelude::*;

use super::unit::UnitRows;
use crate::kernels::{Packed, Start, dot, product};

/// Rows that the basis is found on, evenly spaced.
const SAMPLE: usize = 2048;
/// Rounds of subspace iteration.
const ROUNDS: usize = 3;
/// Rows projected by one task.
const ROWS: usize = 1024;

/// An orthonormal basis of some directions.
#[derive(Clone)]
pub(crate) struct Sketch {
    /// (size, dim).
    basis: Vec<f32>,
    dim: usize,
}

/// What rounding can add to a product of two unit vectors of `dim` values, with a factor of 4 to spare.
pub(crate) fn rounding(dim: usize) -> f32 {
    2.0 * dim as f32 * f32::EPSILON
}

impl Sketch {
    /// About the `size` directions along which unit rows vary most, in that order.
    pub fn new(x: &UnitRows, size: usize) -> Self {
        let (sample, dim) = (x.spaced(SAMPLE), x.dim());
        let rows = sample.len() / dim;
        let (turned, plain) = (Packed::transposed(&sample, dim, rows), Packed::new(&sample, rows, dim));
        let mut basis = x.spaced(size);
        let mut along = vec![0.0; basis.len() / dim * rows];
        for _ in 0..ROUNDS {
            orthonormalise(&mut basis, dim);
            product(&mut along, Start::Zero, &basis, &turned);
            product(&mut basis, Start::Zero, &along, &plain);
        }
        orthonormalise(&mut basis, dim);
        Sketch { basis, dim }
    }

    /// Number of directions.
    pub fn size(&self) -> usize {
        self.basis.len() / self.dim
    }

    /// The first directions alone.
    pub fn truncated(&self, size: usize) -> Sketch {
        Sketch { basis: self.basis[..size * self.dim].to_vec(), dim: self.dim }
    }

    /// Coordinates of unit rows, and as the last what is at least their length outside of the basis:
    /// (rows, size + 1).
    pub fn project(&self, x: &[f32]) -> Vec<f32> {
        let (size, dim) = (self.size(), self.dim);
        let basis = Packed::transposed(&self.basis, dim, size);
        let mut out = vec![0.0; x.len() / dim * (size + 1)];
        out.par_chunks_mut(ROWS * (size + 1)).zip(x.par_chunks(ROWS * dim)).for_each(|(out, x)| {
            let mut inside = vec![0.0; x.len() / dim * size];
            product(&mut inside, Start::Zero, x, &basis);
            for (out, inside) in out.chunks_exact_mut(size + 1).zip(inside.chunks_exact(size)) {
                out[..size].copy_from_slice(inside);
                out[size] = ((1.0 - dot(inside, inside)).max(0.0) + rounding(dim)).sqrt();
            }
        });
        out
    }
}

/// Gram-Schmidt, twice for accuracy; a row that depends on earlier ones becomes 0.
fn orthonormalise(rows: &mut [f32], dim: usize) {
    for i in 0..rows.len() / dim {
        let (before, row) = rows.split_at_mut(i * dim);
        let row = &mut row[..dim];
        let length = dot(row, row).sqrt();
        for before in before.chunks_exact(dim).chain(before.chunks_exact(dim)) {
            let along = dot(before, row);
            row.iter_mut().zip(before).for_each(|(r, b)| *r -= along * b);
        }
        let left = dot(row, row).sqrt();
        let scale = if left > 1e-5 * length { 1.0 / left } else { 0.0 };
        row.iter_mut().for_each(|r| *r *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unit rows that vary with a spectrum falling as 1 / direction.
    fn rows(n: usize, dim: usize) -> Vec<f32> {
        let value =
            |i: usize, j: usize| ((i * 31 + j * j * 17 + i * j) as f32 * 0.618).sin() / (1 + j) as f32;
        let mut x: Vec<f32> = (0..n * dim).map(|i| value(i / dim, i % dim)).collect();
        for row in x.chunks_exact_mut(dim) {
            let scale = 1.0 / dot(row, row).sqrt();
            row.iter_mut().for_each(|v| *v *= scale);
        }
        x
    }

    #[test]
    fn the_basis_is_orthonormal_and_dependent_rows_are_left_out() {
        let (x, dim) = (rows(300, 40), 40);
        let basis = Sketch::new(&UnitRows::new(&x, dim), 12).basis;
        for (i, a) in basis.chunks_exact(dim).enumerate() {
            for (j, b) in basis.chunks_exact(dim).enumerate() {
                assert!((dot(a, b) - f32::from(i == j)).abs() < 1e-5, "{i} {j}");
            }
        }
        let mut same = [1.0, 0.0, 1.0, 0.0, 0.0, 2.0];
        orthonormalise(&mut same, 2);
        assert_eq!(same, [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn bounds_hold_and_are_close() {
        let x = rows(400, 64);
        let dim = 64;
        let sketch = Sketch::new(&UnitRows::new(&x, 64), 16);
        let short = sketch.project(&x);
        for (a, short_a) in x.chunks_exact(dim).zip(short.chunks_exact(17)).step_by(7) {
            for (b, short_b) in x.chunks_exact(dim).zip(short.chunks_exact(17)) {
                let (exact, bound) = (dot(a, b), dot(short_a, short_b));
                assert!(exact <= bound + rounding(dim) && bound < exact + 0.2, "{exact} {bound}");
            }
        }
    }
}
