//! Linear classifiers on features, several side by side.
//!
//! Weights are stored `(dim, head x class)`: a row per feature, so that products and updates run
//! over contiguous columns, and a grid of candidates is one wide matrix.

use ijepa_registry::prelude::*;
use rayon::prelude::*;

use super::softmax::{argmax, exp};
use crate::kernels::{Packed, Start, product};

/// Images that one task scores.
const SCORED: usize = 256;

/// Rows of `x` (row-major, `dim` values each), class per row.
#[derive(Clone, Copy)]
pub(super) struct Samples<'a> {
    /// Values, row-major.
    pub x: &'a [f32],
    /// Class per row.
    pub labels: &'a [u32],
}

/// How one head does on some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Score {
    /// Accuracy, %.
    pub top1: f64,
    /// Mean negative log likelihood, nats; NaN for a head that diverged.
    pub nll: f64,
}

/// Linear heads side by side.
#[derive(Clone, Debug)]
pub(super) struct Heads {
    /// Width of a feature.
    pub dim: usize,
    /// Number of classes.
    pub classes: usize,
    /// `(dim, head x class)`.
    pub weights: Vec<f32>,
    /// `(head x class)`.
    pub bias: Vec<f32>,
}

impl Heads {
    /// All weights 0: the problem is convex, any start leads to the same optimum.
    pub fn zeros(dim: usize, classes: usize, heads: usize) -> Self {
        let cols = heads * classes;
        Heads { dim, classes, weights: vec![0.0; dim * cols], bias: vec![0.0; cols] }
    }

    /// One head as PyTorch's `nn.Linear` starts: weights and bias uniform within `1 / sqrt(dim)`.
    pub fn uniform(dim: usize, classes: usize, mut stream: Stream) -> Self {
        let bound = 1.0 / (dim as f64).sqrt();
        let mut draw = |n: usize| (0..n).map(|_| stream.uniform_in(-bound, bound) as f32).collect();
        Heads { dim, classes, weights: draw(dim * classes), bias: draw(classes) }
    }

    /// Accuracy and likelihood of every head on `rows`. Equal logits count as the lowest class.
    pub fn scores(&self, data: Samples, rows: &[u32]) -> Vec<Score> {
        let heads = self.bias.len() / self.classes;
        let weights = self.packed();
        let tally = |rows| self.tally(&weights, data, rows);
        let parts: Vec<Vec<(u64, f64)>> = rows.par_chunks(SCORED).map(tally).collect();
        let score = |head: usize| {
            let correct: u64 = parts.iter().map(|p| p[head].0).sum();
            let nll: f64 = parts.iter().map(|p| p[head].1).sum();
            let n = rows.len() as f64;
            let nll = if self.is_finite(head) { nll / n } else { f64::NAN };
            Score { top1: 100.0 * correct as f64 / n, nll }
        };
        (0..heads).map(score).collect()
    }

    /// Correct answers and summed negative log likelihood of every head on a few rows.
    fn tally(&self, weights: &Packed, data: Samples, rows: &[u32]) -> Vec<(u64, f64)> {
        let mut x = vec![0.0; rows.len() * self.dim];
        gather(data.x, self.dim, rows, &mut x);
        let mut logits = vec![0.0; rows.len() * self.bias.len()];
        self.logits(weights, &x, &mut logits);
        let mut tally = vec![(0, 0.0); self.bias.len() / self.classes];
        for (all, &row) in logits.chunks_exact(self.bias.len()).zip(rows) {
            let label = data.labels[row as usize] as usize;
            for (own, (correct, nll)) in all.chunks_exact(self.classes).zip(&mut tally) {
                let best = argmax(own);
                let sum: f64 = own.iter().map(|&l| f64::from(exp(l - own[best]))).sum();
                *correct += u64::from(best == label);
                *nll += sum.ln() - f64::from(own[label] - own[best]);
            }
        }
        tally
    }

    /// The weights, ready for [`Heads::logits`].
    pub fn packed(&self) -> Packed {
        Packed::new(&self.weights, self.dim, self.bias.len())
    }

    /// Logits of gathered rows, `(row, head x class)`.
    pub fn logits(&self, weights: &Packed, x: &[f32], out: &mut [f32]) {
        product(out, Start::Row(&self.bias), x, weights);
    }

    fn is_finite(&self, head: usize) -> bool {
        let own = head * self.classes..(head + 1) * self.classes;
        let rows = self.weights.chunks_exact(self.bias.len()).chain([&self.bias[..]]);
        rows.into_iter().all(|row| row[own.clone()].iter().all(|w| w.is_finite()))
    }
}

/// Copies the listed rows of `x` one after another.
pub(super) fn gather(x: &[f32], dim: usize, rows: &[u32], out: &mut [f32]) {
    for (out, &row) in out.chunks_exact_mut(dim).zip(rows) {
        out.copy_from_slice(&x[row as usize * dim..][..dim]);
    }
}

/// The best candidate that did not diverge: accuracy, then likelihood, then the first.
pub(super) fn best(scores: &[Score]) -> Option<usize> {
    let better = |a: &Score, b: &Score| (a.top1, -a.nll) > (b.top1, -b.nll);
    (0..scores.len()).filter(|&i| scores[i].nll.is_finite()).fold(None, |best, i| match best {
        Some(b) if !better(&scores[i], &scores[b]) => best,
        _ => Some(i),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_candidate_is_finite_and_first_among_equals() {
        let score = |top1, nll| Score { top1, nll };
        let all =
            [score(99.0, f64::NAN), score(50.0, 1.0), score(60.0, 1.0), score(60.0, 0.9), score(60.0, 0.9)];
        assert_eq!((best(&all), best(&all[..1])), (Some(3), None));
    }
}
