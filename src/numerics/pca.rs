//! Principal components.

use nalgebra::{DMatrix, SymmetricEigen};
use rayon::prelude::*;

use super::{Points, dot};

/// The directions in which points differ most.
pub struct Pca {
    mean: Vec<f64>,
    /// Unit directions `(component, dim)`, the largest variance first; of each, the entry furthest from 0 is positive.
    axes: Vec<Vec<f64>>,
    /// Share of the total variance along every direction, 0 to 1.
    pub shares: Vec<f64>,
}

impl Pca {
    /// The first `count` eigenvectors of the covariance `C = X' X / n` of the centred points.
    pub fn fit(points: Points, count: usize) -> Self {
        let (mean, columns) = centred_columns(points);
        let dim = points.dim;
        let covariance = DMatrix::from_row_slice(dim, dim, &products(&columns));
        let eigen = SymmetricEigen::new(covariance);
        let mut order: Vec<usize> = (0..dim).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
        let total = eigen.eigenvalues.iter().map(|v| v.max(0.0)).sum::<f64>().max(f64::MIN_POSITIVE);
        let kept = order.into_iter().take(count);
        let (axes, shares) = kept
            .map(|j| {
                let axis = eigen.eigenvectors.column(j).iter().copied().collect();
                (positive(axis), eigen.eigenvalues[j].max(0.0) / total)
            })
            .unzip();
        Pca { mean, axes, shares }
    }

    /// Coordinates of a point along every direction.
    pub fn project(&self, row: &[f32]) -> Vec<f64> {
        let along = |axis: &Vec<f64>| {
            axis.iter().zip(row).zip(&self.mean).map(|((a, v), m)| a * (f64::from(*v) - m)).sum()
        };
        self.axes.iter().map(along).collect()
    }
}

/// Mean of every feature, and the features without it, one column each.
fn centred_columns(points: Points) -> (Vec<f64>, Vec<Vec<f64>>) {
    let centred = |j: usize| {
        let column: Vec<f64> = points.rows().map(|row| f64::from(row[j])).collect();
        let mean = column.iter().sum::<f64>() / column.len().max(1) as f64;
        (mean, column.into_iter().map(|v| v - mean).collect())
    };
    (0..points.dim).into_par_iter().map(centred).unzip()
}

/// `X' X`, row by row; each value is one sum in the order of the points.
fn products(columns: &[Vec<f64>]) -> Vec<f64> {
    let row = |a: &Vec<f64>| columns.iter().map(|b| dot(a, b)).collect::<Vec<f64>>();
    columns.par_iter().flat_map_iter(row).collect()
}

/// The sign of an eigenvector is arbitrary; this one does not depend on rounding.
fn positive(axis: Vec<f64>) -> Vec<f64> {
    let largest = axis.iter().copied().fold(0.0, |l: f64, v| if v.abs() > l.abs() + 1e-9 { v } else { l });
    if largest < 0.0 { axis.into_iter().map(|v| -v).collect() } else { axis }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{in_pools, noise};
    use super::*;

    /// The direction of largest variance by power iteration on the points themselves.
    fn slow_first(values: &[f32], dim: usize) -> Vec<f64> {
        let n = values.len() / dim;
        let mean: Vec<f64> = (0..dim)
            .map(|j| values.iter().skip(j).step_by(dim).map(|v| f64::from(*v)).sum::<f64>() / n as f64)
            .collect();
        let mut axis = vec![1.0; dim];
        for _ in 0..2000 {
            let mut next = vec![0.0; dim];
            for row in values.chunks_exact(dim) {
                let along: f64 = (0..dim).map(|j| axis[j] * (f64::from(row[j]) - mean[j])).sum();
                (0..dim).for_each(|j| next[j] += along * (f64::from(row[j]) - mean[j]));
            }
            let length = next.iter().map(|v| v * v).sum::<f64>().sqrt();
            axis = next.into_iter().map(|v| v / length).collect();
        }
        positive(axis)
    }

    #[test]
    fn components_are_those_of_a_power_iteration_and_their_shares_add_up() {
        let mut values = noise(300 * 6, 1);
        values.chunks_exact_mut(6).for_each(|row| row[2] = 3.0 * row[2] + row[0] + 5.0);
        let pca = Pca::fit(Points::new(&values, 6), 6);
        let slow = slow_first(&values, 6);
        assert!(
            pca.axes[0].iter().zip(&slow).all(|(a, b)| (a - b).abs() < 1e-6),
            "{:?} {slow:?}",
            pca.axes[0]
        );
        assert!((pca.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(pca.shares.windows(2).all(|pair| pair[0] >= pair[1]));
    }

    #[test]
    fn projections_are_centred_and_uncorrelated_in_any_pool() {
        let values = noise(200 * 10, 2);
        let [one, two] = in_pools(|| {
            let points = Points::new(&values, 10);
            let pca = Pca::fit(points, 2);
            points.rows().map(|row| pca.project(row)).collect::<Vec<_>>()
        });
        assert_eq!(one, two);
        let mean = |j: usize| one.iter().map(|p| p[j]).sum::<f64>() / 200.0;
        let product = one.iter().map(|p| p[0] * p[1]).sum::<f64>();
        assert!(mean(0).abs() < 1e-9 && mean(1).abs() < 1e-9 && product.abs() < 1e-9);
    }
}
