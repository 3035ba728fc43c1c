//! The second derivative of the regularised likelihood: its products, and an approximate inverse.

use nalgebra::DMatrix;

use super::{logistic_optimum::Task, shares::Shares};
use crate::components::probes::shared::factor::Factor;

/// The second derivative at some shares.
pub(crate) struct Curvature<'a> {
    /// The problem.
    pub task: &'a Task<'a>,
    /// `p` of every image.
    pub shares: &'a Shares,
    /// Weight decay.
    pub decay: f64,
}

impl Curvature<'_> {
    /// `H v = sum_i (diag p_i - p_i p_i') V x_i x_i' / n + decay V`, in one pass over the features.
    pub fn product(&self, v: &[f64]) -> Vec<f64> {
        let (design, classes) = (self.task.design, self.task.classes);
        let (affine, scale) = (design.affine(v), 1.0 / self.shares.used);
        let mut product = design.back(classes, |row, x, r| {
            affine.apply(x, r);
            let shares = self.shares.values[row * classes..].chunks_exact(classes);
            for ((r, p), used) in r.chunks_exact_mut(classes).zip(shares).zip(&self.task.used[row..]) {
                let mean: f64 = r.iter().zip(p).map(|(u, p)| u * p).sum();
                let scale = if *used { scale } else { 0.0 };
                r.iter_mut().zip(p).for_each(|(u, p)| *u = scale * p * (*u - mean));
            }
        });
        let weights = classes * design.dim();
        product[..weights].iter_mut().zip(v).for_each(|(h, v)| *h += self.decay * v);
        product
    }
}

/// `share X'X / n + decay` for the weights of every class, `share` for its bias.
pub(crate) struct Preconditioner {
    factor: Factor,
    share: f64,
}

impl Preconditioner {
    /// For a mean curvature of the softmax of `share`.
    pub fn new(gram: &DMatrix<f64>, share: f64, decay: f64) -> Self {
        let mut ridge = 0.0;
        loop {
            let mut matrix = gram * share;
            (0..gram.nrows()).for_each(|i| matrix[(i, i)] += decay + ridge);
            match Factor::new(matrix) {
                Some(factor) => return Preconditioner { factor, share },
                // Rounding of the moments has left the matrix short of positive.
                None => ridge = (10.0 * ridge).max(1e-8 * share * gram.trace()).max(1e-300),
            }
        }
    }

    /// Whether it serves for another curvature.
    pub fn fits(&self, share: f64) -> bool {
        (0.5..2.0).contains(&(share / self.share))
    }

    /// About `H^-1 v`.
    pub fn solve(&self, v: &[f64]) -> Vec<f64> {
        let mut solved = v.to_vec();
        let dim = self.factor.side();
        let classes = v.len() / (dim + 1);
        let (weights, bias) = solved.split_at_mut(classes * dim);
        self.factor.solve(weights);
        bias.iter_mut().for_each(|b| *b /= self.share);
        solved
    }
}
