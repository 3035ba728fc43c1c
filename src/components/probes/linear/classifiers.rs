//! Linear classifiers on features, several side by side.
//!
//! Weights are stored `(dim, head x class)`: a row per feature, so that products and updates run
//! over contiguous columns, and a grid of candidates is one wide matrix.

use ijepa_registry::prelude::*;
use rayon::prelude::*;

use super::softmax::{argmax, exp};
use crate::components::probes::shared::features::Standardiser;
use crate::components::probes::shared::scores::{Answer, Score, Tally};
use crate::kernels::{Packed, Start, product};

/// Images that one task scores.
const SCORED: usize = 256;

/// Rows of `x` (row-major), class per row.
#[derive(Clone, Copy)]
pub(crate) struct Samples<'a> {
    /// Values, row-major.
    pub x: &'a [f32],
    /// What is done to a row when it is read: a second copy of all of them would take as much memory again.
    pub standard: Option<&'a Standardiser>,
    /// Class per row.
    pub labels: &'a [u32],
}

impl Samples<'_> {
    /// The listed rows, one after another.
    pub fn gather(&self, rows: &[u32], out: &mut [f32]) {
        let dim = self.x.len() / self.labels.len();
        for (out, &row) in out.chunks_exact_mut(dim).zip(rows) {
            let x = &self.x[row as usize * dim..][..dim];
            match self.standard {
                Some(standard) => standard.row(x, out),
                None => out.copy_from_slice(x),
            }
        }
    }
}

/// Linear heads side by side.
#[derive(Clone, Debug)]
pub(crate) struct Classifiers {
    /// Width of a feature.
    pub dim: usize,
    /// Number of classes.
    pub classes: usize,
    /// `(dim, head x class)`.
    pub weights: Vec<f32>,
    /// `(head x class)`.
    pub bias: Vec<f32>,
}

impl Classifiers {
    /// All weights 0: the problem is convex, any start leads to the same optimum.
    pub fn zeros(dim: usize, classes: usize, heads: usize) -> Self {
        let cols = heads * classes;
        Classifiers { dim, classes, weights: vec![0.0; dim * cols], bias: vec![0.0; cols] }
    }

    /// One head as PyTorch's `nn.Linear` starts: weights and bias uniform within `1 / sqrt(dim)`.
    pub fn uniform(dim: usize, classes: usize, mut stream: Stream) -> Self {
        let bound = 1.0 / (dim as f64).sqrt();
        let mut draw = |n: usize| (0..n).map(|_| stream.uniform_in(-bound, bound) as f32).collect();
        Classifiers { dim, classes, weights: draw(dim * classes), bias: draw(classes) }
    }

    /// Accuracy and likelihood of every head on `rows`. Equal logits count as the lowest class.
    pub fn scores(&self, data: Samples, rows: &[u32]) -> Vec<Score> {
        let tallies = self.tallies(data, rows);
        tallies.iter().enumerate().map(|(head, tally)| self.score(head, tally)).collect()
    }

    /// How the only head does on `rows`, and what it says of each.
    pub fn judged(&self, data: Samples, rows: &[u32]) -> (Score, Tally) {
        let tally = self.tallies(data, rows).swap_remove(0);
        (self.score(0, &tally), tally)
    }

    /// The only head on features as they are: `w (x - mean) scale + b = (w scale) x + (b - (w scale) mean)`.
    pub fn on_features(&self, standard: Option<&Standardiser>) -> LinearClassifier {
        let row = |class: usize| -> (Vec<f32>, f64) {
            let own = self.weights.iter().skip(class).step_by(self.classes).map(|&w| f64::from(w));
            let bias = f64::from(self.bias[class]);
            let Some(Standardiser { mean, scale, .. }) = standard else {
                return (own.map(|w| w as f32).collect(), bias);
            };
            let scaled: Vec<f64> = own.zip(scale).map(|(w, s)| w * s).collect();
            let shift: f64 = scaled.iter().zip(mean).map(|(w, m)| w * m).sum();
            (scaled.into_iter().map(|w| w as f32).collect(), bias - shift)
        };
        let (weights, bias): (Vec<Vec<f32>>, Vec<f64>) = (0..self.classes).map(row).unzip();
        LinearClassifier { weight: weights.concat(), bias: bias.into_iter().map(|b| b as f32).collect() }
    }

    fn score(&self, head: usize, tally: &Tally) -> Score {
        let score = tally.score();
        if self.is_finite(head) { score } else { Score { nll: f64::NAN, ..score } }
    }

    /// Of every head on all of `rows`.
    fn tallies(&self, data: Samples, rows: &[u32]) -> Vec<Tally> {
        let heads = self.bias.len() / self.classes;
        let weights = self.packed();
        let parts: Vec<_> = rows.par_chunks(SCORED).map(|rows| self.tally(&weights, data, rows)).collect();
        let all = |head: usize| parts.iter().fold(Tally::new(self.classes), |all, part| all.and(&part[head]));
        (0..heads).map(all).collect()
    }

    /// Of every head on a few rows.
    fn tally(&self, weights: &Packed, data: Samples, rows: &[u32]) -> Vec<Tally> {
        let mut x = vec![0.0; rows.len() * self.dim];
        data.gather(rows, &mut x);
        let mut logits = vec![0.0; rows.len() * self.bias.len()];
        self.logits(weights, &x, &mut logits);
        let mut tallies = vec![Tally::new(self.classes); self.bias.len() / self.classes];
        for (all, &row) in logits.chunks_exact(self.bias.len()).zip(rows) {
            let label = data.labels[row as usize];
            for (own, tally) in all.chunks_exact(self.classes).zip(&mut tallies) {
                let best = argmax(own);
                let sum: f64 = own.iter().map(|&l| f64::from(exp(l - own[best]))).sum();
                let answer = Answer { class: best, score: sum.recip() };
                tally.take(label, answer, sum.ln() - f64::from(own[label as usize] - own[best]));
            }
        }
        tallies
    }

    /// The weights, ready for [`Classifiers::logits`].
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

/// The best candidate that did not diverge: accuracy, then likelihood, then the first.
pub(crate) fn best(scores: &[Score]) -> Option<usize> {
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
        let score = |top1, nll| Score { top1, balanced: top1, nll };
        let all =
            [score(99.0, f64::NAN), score(50.0, 1.0), score(60.0, 1.0), score(60.0, 0.9), score(60.0, 0.9)];
        assert_eq!((best(&all), best(&all[..1])), (Some(3), None));
    }
}
