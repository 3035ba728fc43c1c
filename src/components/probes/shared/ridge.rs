//! Ridge regression on standardised features, in closed form and f64.
//!
//! `W = (X'X / n + decay)^-1 X'(Y - mean Y) / n` with features `X` of mean 0 and deviation 1 on the rows fitted to
//! (Hoerl and Kennard 1970); the mean of `Y` is not decayed.

use ijepa_registry::prelude::Features;
use nalgebra::DMatrix;
use rayon::prelude::*;

use super::{
    factor::Factor,
    features::Standardiser,
    linalg::{Onto, View, matmul},
};

/// Rows that are standardised at a time: fixed, so that sums do not depend on the thread count.
const TILE: usize = 2048;
/// Rows of a product that one task computes.
const ROWS: usize = 32;

/// What a fit needs to know of its rows, for any decay.
pub(crate) struct Moments {
    standard: Standardiser,
    /// Mean of every target.
    mean: Vec<f64>,
    /// `X'X / n`, (dim, dim).
    gram: Vec<f64>,
    /// `(Y - mean Y)'X / n`, (target, dim).
    cross: Vec<f64>,
}

impl Moments {
    /// Of features `(row, dim)` and targets `(row, target)`.
    pub fn new(values: &[f32], dim: usize, targets: &[f64]) -> Self {
        let rows = values.len() / dim;
        let count = targets.len() / rows;
        let standard = Standardiser::fit(&Features { dim, tokens: 1, values, labels: &[] });
        let mut mean = vec![0.0; count];
        targets.chunks_exact(count).for_each(|y| mean.iter_mut().zip(y).for_each(|(m, y)| *m += y));
        mean.iter_mut().for_each(|m| *m /= rows as f64);
        let (mut gram, mut cross) = (vec![0.0; dim * dim], vec![0.0; count * dim]);
        for (values, targets) in values.chunks(TILE * dim).zip(targets.chunks(TILE * count)) {
            let x = standardised(&standard, values, dim);
            let y: Vec<f64> =
                targets.chunks_exact(count).flat_map(|y| y.iter().zip(&mean).map(|(y, m)| y - m)).collect();
            let x = View::new(&x, dim);
            add_product(x.t(), x, &mut gram);
            add_product(View::new(&y, count).t(), x, &mut cross);
        }
        [&mut gram, &mut cross].into_iter().flatten().for_each(|v| *v /= rows as f64);
        Moments { standard, mean, gram, cross }
    }

    /// The fit for a decay above 0, in units of the variance of a feature.
    pub fn fit(&self, decay: f64) -> Ridge<'_> {
        let dim = self.standard.mean.len();
        let decayed = DMatrix::from_row_slice(dim, dim, &self.gram) + DMatrix::identity(dim, dim) * decay;
        let mut weight = self.cross.clone();
        let factor = Factor::new(decayed).expect("moments and a decay above 0 are a positive matrix");
        factor.solve(&mut weight);
        Ridge { of: self, weight }
    }
}

/// A fitted linear map.
pub(crate) struct Ridge<'a> {
    of: &'a Moments,
    /// (target, dim), of standardised features.
    weight: Vec<f64>,
}

impl Ridge<'_> {
    /// What it says of features `(row, dim)`: `(row, target)`.
    pub fn predict(&self, values: &[f32]) -> Vec<f64> {
        let Moments { standard, mean, .. } = self.of;
        let (dim, count) = (standard.mean.len(), mean.len());
        let mut out = vec![0.0; values.len() / dim * count];
        let tiles = out.par_chunks_mut(ROWS * count).zip(values.par_chunks(ROWS * dim));
        tiles.for_each(|(out, values)| {
            let x = standardised(standard, values, dim);
            out.chunks_exact_mut(count).for_each(|out| out.copy_from_slice(mean));
            matmul(View::new(&x, dim), View::new(&self.weight, dim).t(), Onto::Values, out);
        });
        out
    }
}

/// `1 - sum (y - p)^2 / sum (y - mean y)^2` of one column; 0 where `y` does not vary.
pub(crate) fn r_squared(targets: &[f64], predicted: &[f64], count: usize, column: usize) -> f64 {
    let of = |all: &'_ [f64]| all.iter().skip(column).step_by(count).copied().collect::<Vec<_>>();
    let (y, p) = (of(targets), of(predicted));
    let mean = y.iter().sum::<f64>() / y.len() as f64;
    let total: f64 = y.iter().map(|y| (y - mean) * (y - mean)).sum();
    let left: f64 = y.iter().zip(&p).map(|(y, p)| (y - p) * (y - p)).sum();
    // A common value in f32 differs from its mean by rounding.
    if total <= 1e-12 * y.len() as f64 * mean * mean || total == 0.0 { 0.0 } else { 1.0 - left / total }
}

fn standardised(standard: &Standardiser, values: &[f32], dim: usize) -> Vec<f64> {
    let of = |(j, v): (usize, &f32)| (f64::from(*v) - standard.mean[j]) * standard.scale[j];
    values.chunks_exact(dim).flat_map(|row| row.iter().enumerate().map(of)).collect()
}

/// `out += a b`, [`ROWS`] rows by a task.
pub(crate) fn add_product(a: View<f64>, b: View<f64>, out: &mut [f64]) {
    let columns = b.shape().1;
    out.par_chunks_mut(ROWS * columns).enumerate().for_each(|(i, out)| {
        matmul(a.rows(i * ROWS..i * ROWS + out.len() / columns), b, Onto::Values, out);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use ijepa_registry::prelude::Stream;

    /// `(row, dim)` of noise and `(row, 2)` of linear maps of it.
    fn problem(rows: usize, dim: usize) -> (Vec<f32>, Vec<f64>) {
        let mut stream = Stream::new(3, "test/ridge", 0, 0);
        let x: Vec<f32> = (0..rows * dim).map(|_| (2.0 + 3.0 * stream.normal()) as f32).collect();
        let y = x.chunks_exact(dim).flat_map(|x| {
            let sum: f64 = x.iter().enumerate().map(|(j, v)| f64::from(*v) * (j as f64 - 1.5)).sum();
            [sum + 4.0 + stream.normal(), f64::from(x[0]) - sum]
        });
        let y = y.collect();
        (x, y)
    }

    #[test]
    fn equals_the_normal_equations_written_out() {
        let (rows, dim, decay) = (150, 7, 0.03);
        let (x, y) = problem(rows, dim);
        // The same with a column of ones that is not decayed, solved as one system.
        let standard = Standardiser::fit(&Features { dim, tokens: 1, values: &x, labels: &[] });
        let at = |i: usize, j: usize| {
            if j == dim { 1.0 } else { (f64::from(x[i * dim + j]) - standard.mean[j]) * standard.scale[j] }
        };
        let a = DMatrix::from_fn(rows, dim + 1, at);
        let decays =
            DMatrix::from_fn(
                dim + 1,
                dim + 1,
                |r, c| {
                    if r == c && r < dim { decay * rows as f64 } else { 0.0 }
                },
            );
        let b = DMatrix::from_row_slice(rows, 2, &y);
        let w = (a.tr_mul(&a) + decays).lu().solve(&a.tr_mul(&b)).unwrap();
        let expected = &a * w;
        let moments = Moments::new(&x, dim, &y);
        let found = moments.fit(decay).predict(&x);
        for (i, found) in found.chunks_exact(2).enumerate() {
            (0..2).for_each(|c| assert!((found[c] - expected[(i, c)]).abs() < 1e-9, "{i} {c}"));
        }
        assert!(r_squared(&y, &found, 2, 1) > 0.99);
        assert_eq!(r_squared(&[2.0, 2.0], &[1.0, 3.0], 1, 0), 0.0);
        assert_eq!(r_squared(&[0.0, 2.0], &[1.0, 1.0], 1, 0), 0.0);
    }

    #[test]
    fn the_thread_count_changes_nothing() {
        let (x, y) = problem(3000, 70);
        let fit = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Moments::new(&x, 70, &y).fit(1e-3).predict(&x))
        };
        assert_eq!(fit(1), fit(3));
    }
}
