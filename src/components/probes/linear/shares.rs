//! Softmax of the logits of a classifier, and what follows from it alone, in f64.

use nalgebra::{Cholesky, DMatrix, DVector};
use rayon::prelude::*;

use super::logistic_optimum::Task;

/// Images of one task.
const ROWS: usize = 512;

/// What a classifier makes of every image.
pub(crate) struct Shares {
    /// `p` (image, class).
    pub values: Vec<f64>,
    /// Mean negative log likelihood of the used images (nats).
    pub nll: f64,
    /// Number of used images.
    pub used: f64,
}

/// Log of the sum of exponentials of a few logits, which become their exponentials relative to the largest;
/// and the sum of those.
fn exponentials(z: &mut [f64]) -> (f64, f64) {
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    z.iter_mut().for_each(|z| *z = (*z - top).exp());
    let sum: f64 = z.iter().sum();
    (top + sum.ln(), sum)
}

impl Shares {
    /// Of logits `(image, class)`.
    pub fn of(task: &Task, logits: &[f64]) -> Self {
        let classes = task.classes;
        let mut values = logits.to_vec();
        let pieces = values.par_chunks_mut(ROWS * classes).enumerate();
        let piece = |(i, values): (usize, &mut [f64])| -> f64 {
            let mut nll = 0.0;
            for (k, p) in values.chunks_exact_mut(classes).enumerate() {
                let row = i * ROWS + k;
                let own = p[task.labels[row] as usize];
                let (log, sum) = exponentials(p);
                p.iter_mut().for_each(|p| *p /= sum);
                nll += if task.used[row] { log - own } else { 0.0 };
            }
            nll
        };
        let sums: Vec<f64> = pieces.map(piece).collect();
        let used = task.used.iter().filter(|u| **u).count() as f64;
        Shares { values, nll: sums.iter().sum::<f64>() / used, used }
    }

    /// Mean negative log likelihood of the used images, of the logits that `logit` gives by their index.
    pub fn nll(task: &Task, logit: impl Fn(usize) -> f64 + Sync) -> f64 {
        let used: Vec<f64> = task
            .used
            .par_chunks(ROWS)
            .enumerate()
            .map(|(i, used)| {
                let (mut nll, mut z) = (0.0, vec![0.0; task.classes]);
                for (k, _) in used.iter().enumerate().filter(|(_, used)| **used) {
                    let row = i * ROWS + k;
                    z.iter_mut().enumerate().for_each(|(c, z)| *z = logit(row * task.classes + c));
                    let own = z[task.labels[row] as usize];
                    nll += exponentials(&mut z).0 - own;
                }
                nll
            })
            .collect();
        used.iter().sum::<f64>() / task.used.iter().filter(|u| **u).count() as f64
    }

    /// Derivative of the objective: `sum_i (p_i - y_i) (x_i, 1)' / n`, plus `decay W`.
    pub fn gradient(&self, task: &Task, head: &[f64], decay: f64) -> Vec<f64> {
        let scale = 1.0 / self.used;
        let mut gradient = task.design.back(task.classes, |row, _, r| {
            r.copy_from_slice(&self.values[row * task.classes..][..r.len()]);
            for (k, r) in r.chunks_exact_mut(task.classes).enumerate() {
                r[task.labels[row + k] as usize] -= 1.0;
                let scale = if task.used[row + k] { scale } else { 0.0 };
                r.iter_mut().for_each(|r| *r *= scale);
            }
        });
        let weights = task.classes * task.design.dim();
        gradient[..weights].iter_mut().zip(head).for_each(|(g, w)| *g += decay * w);
        gradient
    }

    /// Mean curvature of the softmax between two classes: 1 / classes where it knows nothing.
    pub fn curvature(&self, task: &Task) -> f64 {
        let sum: f64 = self.values.iter().map(|p| p * (1.0 - p)).sum();
        let pairs = task.labels.len() * (task.classes - 1);
        (sum / pairs as f64).max(1e-9)
    }

    /// Newton's step of the biases; none if they are at their optimum.
    pub fn bias_step(&self, task: &Task) -> Option<Vec<f64>> {
        let classes = task.classes;
        let (mut slope, mut bend) = (DVector::zeros(classes), DMatrix::zeros(classes, classes));
        let rows = self.values.chunks_exact(classes).zip(task.labels).zip(task.used);
        for ((p, &label), _) in rows.filter(|(_, used)| **used) {
            for (a, pa) in p.iter().enumerate() {
                slope[a] += pa / self.used;
                bend[(a, a)] += pa / self.used;
                p.iter().enumerate().for_each(|(b, pb)| bend[(b, a)] -= pa * pb / self.used);
            }
            slope[label as usize] -= 1.0 / self.used;
        }
        if slope.amax() < 1e-13 {
            return None;
        }
        // All biases may move together without an effect.
        let largest = bend.amax();
        bend.add_scalar_mut(largest / classes as f64);
        Some(Cholesky::new(bend)?.solve(&-slope).data.into())
    }
}
