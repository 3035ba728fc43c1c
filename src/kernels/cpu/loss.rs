//! Losses between predicted and target rows, and their gradients.

use rayon::prelude::*;

use crate::kernels::RowLoss;

/// Rows per task; the tasks' sums are added in order, in f64.
const TASK_ROWS: usize = 256;

/// Below this norm a row counts as having this norm, as in PyTorch's `cosine_similarity`.
const COSINE_EPS: f64 = 1e-8;

/// The loss of predictions `p` against targets `t`, both (n, d).
pub fn forward(loss: RowLoss, p: &[f32], t: &[f32], d: usize) -> f64 {
    let task = |(p, t): (&[f32], &[f32])| -> f64 {
        p.chunks_exact(d).zip(t.chunks_exact(d)).map(|(p, t)| row_loss(loss, p, t)).sum()
    };
    let sums: Vec<f64> = p.par_chunks(TASK_ROWS * d).zip(t.par_chunks(TASK_ROWS * d)).map(task).collect();
    sums.iter().sum::<f64>() * row_weight(loss, p.len() / d, d)
}

/// Adds to `dp` the gradient of the predictions, given that of the loss.
pub fn backward(loss: RowLoss, p: &[f32], t: &[f32], d: usize, dloss: f64, dp: &mut [f32]) {
    let weight = dloss * row_weight(loss, p.len() / d, d);
    let rows = p.par_chunks_exact(d).zip(t.par_chunks_exact(d)).zip(dp.par_chunks_exact_mut(d));
    rows.with_min_len(TASK_ROWS).for_each(|((p, t), dp)| add_row_gradient(loss, p, t, weight, dp));
}

/// Factor of each row's contribution.
fn row_weight(loss: RowLoss, rows: usize, d: usize) -> f64 {
    match loss {
        RowLoss::L2 | RowLoss::Cosine => 1.0 / rows as f64,
        RowLoss::SmoothL1 { .. } => 1.0 / (rows * d) as f64,
    }
}

fn row_loss(loss: RowLoss, p: &[f32], t: &[f32]) -> f64 {
    let errors = p.iter().zip(t).map(|(p, t)| f64::from(p - t));
    match loss {
        RowLoss::L2 => errors.map(|e| e * e).sum(),
        RowLoss::SmoothL1 { beta } => errors.map(|e| smooth_l1(e, f64::from(beta))).sum(),
        RowLoss::Cosine => {
            let c = Cosine::new(p, t);
            1.0 - c.dot / (c.p_norm * c.t_norm)
        }
    }
}

/// `e^2 / (2 beta)` within `beta`, `|e| - beta / 2` outside; absolute error for `beta = 0`.
fn smooth_l1(e: f64, beta: f64) -> f64 {
    if e.abs() < beta { 0.5 * e * e / beta } else { e.abs() - 0.5 * beta }
}

fn add_row_gradient(loss: RowLoss, p: &[f32], t: &[f32], weight: f64, dp: &mut [f32]) {
    match loss {
        RowLoss::L2 => {
            for ((dp, p), t) in dp.iter_mut().zip(p).zip(t) {
                *dp += (2.0 * weight) as f32 * (p - t);
            }
        }
        RowLoss::SmoothL1 { beta } => {
            let inverse = 1.0 / beta.max(f32::MIN_POSITIVE);
            for ((dp, p), t) in dp.iter_mut().zip(p).zip(t) {
                *dp += weight as f32 * ((p - t) * inverse).clamp(-1.0, 1.0);
            }
        }
        RowLoss::Cosine => {
            // d/dp (1 - p.t / |p||t|) = (cos p / |p| - t / |t|) / |p|
            let c = Cosine::new(p, t);
            let along = c.dot / (c.p_norm * c.t_norm) / c.p_norm;
            for ((dp, p), t) in dp.iter_mut().zip(p).zip(t) {
                let slope = along * f64::from(*p) - f64::from(*t) / c.t_norm;
                *dp += (weight * slope / c.p_norm) as f32;
            }
        }
    }
}

/// Inner product and norms of two rows.
struct Cosine {
    dot: f64,
    p_norm: f64,
    t_norm: f64,
}

impl Cosine {
    fn new(p: &[f32], t: &[f32]) -> Self {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let norm = |a| dot(a, a).sqrt().max(COSINE_EPS);
        Cosine { dot: dot(p, t), p_norm: norm(p), t_norm: norm(t) }
    }
}
