//! Multinomial logistic regression fitted to its optimum, for several weight decays at once.
//!
//! Minimises the mean cross-entropy plus `decay / 2 |W|^2` (not on the bias). The second derivative of the
//! cross-entropy is at most `1/2 X'X / n` in every class (Böhning 1992, "Multinomial logistic
//! regression algorithm"). Steps divide the gradient by a share of that bound, which is raised
//! when a step meets more curvature: no learning rate, and correlated features do not slow it down. The steps are
//! accelerated (Nesterov 1983) and start afresh when one goes uphill (O'Donoghue & Candès 2015).

use nalgebra::{Cholesky, DMatrix, Dyn};
use rayon::prelude::*;

use super::heads::{Heads, Samples, gather};
use super::softmax::softmax_slopes;
use crate::kernels::{Packed, Start, product_of_columns};

/// Rows that are multiplied at a time; their values stay in the second-level cache.
const ROWS: usize = 256;
/// Partial sums of a gradient: fixed, so that they do not depend on the thread count.
const RUNS: usize = 16;
/// A head is fitted when a step promises to gain less than this (nats).
const TOLERANCE: f64 = 1e-7;
/// Share of the bound that steps start with: heads that are sure of most images are flatter.
const FIRST_SHARE: f64 = 0.25;
/// Added to the bound, as a share of its trace: more than the rounding of `X'X`.
const RIDGE: f64 = 1e-7;

/// What to fit.
pub(super) struct Task<'a> {
    /// Standardised features and their classes.
    pub data: Samples<'a>,
    /// `X'X / n` of all of `data`, from [`gram`].
    pub gram: &'a DMatrix<f64>,
    /// Rows to fit to.
    pub rows: &'a [u32],
    /// Number of classes.
    pub classes: usize,
    /// Most passes over the rows.
    pub passes: usize,
}

/// `X'X / n` of rows `x` of `dim` values with mean 0.
pub(super) fn gram(x: &[f32], dim: usize) -> DMatrix<f64> {
    let rows: Vec<&[f32]> = x.chunks(ROWS * dim).collect();
    let sum = in_runs(&rows, dim * dim, |x, sum| {
        product_of_columns(sum, Start::Output, x, 0..dim, &Packed::new(x, x.len() / dim, dim));
    });
    DMatrix::from_vec(dim, dim, sum) * (dim as f64 / x.len() as f64)
}

/// One head on its way. Matrices are `(dim + 1, class)`, the bias last.
struct Descent {
    decay: f64,
    /// The bound that steps rely on is this times `bound`.
    factor: f64,
    bound: Cholesky<f64, Dyn>,
    /// Where the last step ended.
    weights: DMatrix<f64>,
    /// Where the next gradient is taken: ahead, in the direction of the last step.
    ahead: DMatrix<f64>,
    /// The last gradient, and how far `ahead` has moved since.
    last: Option<(DMatrix<f64>, DMatrix<f64>)>,
    /// Nesterov's sequence, which sets how far ahead.
    t: f64,
    passes: usize,
    done: bool,
}

impl Descent {
    fn new(task: &Task, decay: f64) -> Self {
        let zero = DMatrix::zeros(task.gram.nrows() + 1, task.classes);
        let bound = bound(task, decay);
        let (weights, ahead) = (zero.clone(), zero);
        Descent { decay, factor: 1.0, bound, weights, ahead, last: None, t: 1.0, passes: 0, done: false }
    }

    /// Takes a step from the gradient of the cross-entropy at `ahead`.
    fn step(&mut self, gradient: DMatrix<f64>) {
        let (mut slopes, bias) = (gradient, self.ahead.nrows() - 1);
        let mut decayed = slopes.rows_mut(0, bias);
        decayed += self.ahead.rows(0, bias) * self.decay;
        if let Some((before, moved)) = &self.last {
            let seen = (&slopes - before).dot(moved);
            let allowed = self.factor * self.bound.l().tr_mul(moved).norm_squared();
            if seen > allowed {
                (self.factor, self.t) = (2.0 * self.factor, 1.0);
            }
        }
        let downhill = self.bound.solve(&slopes) / self.factor;
        self.done = 0.5 * downhill.dot(&slopes) < TOLERANCE;
        let next = &self.ahead - downhill;
        let step = &next - &self.weights;
        if step.dot(&slopes) > 0.0 {
            self.t = 1.0;
        }
        let t = 0.5 * (1.0 + (1.0 + 4.0 * self.t * self.t).sqrt());
        let ahead = &next + step * ((self.t - 1.0) / t);
        self.last = Some((slopes, &ahead - &self.ahead));
        (self.weights, self.ahead, self.t) = (next, ahead, t);
        self.passes += 1;
    }
}

/// The bound of the second derivative that a head's steps start with, features and bias.
fn bound(task: &Task, decay: f64) -> Cholesky<f64, Dyn> {
    // Some of the rows have at most the sum of squares of all of them.
    let share = FIRST_SHARE * 0.5 * (task.data.labels.len() as f64 / task.rows.len() as f64);
    let dim = task.gram.nrows();
    let mut bound = (task.gram * share).resize(dim + 1, dim + 1, 0.0);
    let trace = bound.trace();
    (0..dim).for_each(|i| bound[(i, i)] += decay);
    bound[(dim, dim)] = share;
    // Rounding may have left the matrix short of positive; features that never vary leave zeros.
    let mut ridge = (RIDGE * trace).max(f64::EPSILON);
    loop {
        (0..dim).for_each(|i| bound[(i, i)] += ridge);
        match Cholesky::new(bound.clone()) {
            Some(factors) => return factors,
            None => ridge *= 10.0,
        }
    }
}

/// Fits a head for every decay; also says how many passes each took, at most `task.passes`.
pub(super) fn fit(task: &Task, decays: &[f64], progress: impl Fn(usize)) -> (Heads, Vec<usize>) {
    let (dim, classes) = (task.gram.nrows(), task.classes);
    let mut heads: Vec<_> = decays.par_iter().map(|&decay| Descent::new(task, decay)).collect();
    for pass in 0..task.passes {
        let mut active: Vec<_> = heads.iter_mut().filter(|h| !h.done).collect();
        if active.is_empty() {
            break;
        }
        let side_by_side = side_by_side(active.iter().map(|h| &h.ahead), dim, classes);
        let gradient = gradient(&side_by_side, task);
        let columns = active.len() * classes;
        active.par_iter_mut().enumerate().for_each(|(i, head)| {
            head.step(DMatrix::from_fn(dim + 1, classes, |r, c| gradient[r * columns + i * classes + c]));
        });
        progress(pass + 1);
    }
    let passes = heads.iter().map(|h| h.passes).collect();
    (side_by_side(heads.iter().map(|h| &h.weights), dim, classes), passes)
}

/// Heads from their weights.
fn side_by_side<'a>(all: impl Iterator<Item = &'a DMatrix<f64>>, dim: usize, classes: usize) -> Heads {
    let all: Vec<_> = all.collect();
    let row = |r: usize| all.iter().flat_map(move |w| (0..classes).map(move |c| w[(r, c)] as f32));
    Heads { dim, classes, weights: (0..dim).flat_map(row).collect(), bias: row(dim).collect() }
}

/// Gradient `(dim + 1, column)`, row-major, of the mean cross-entropy of every head.
fn gradient(heads: &Heads, task: &Task) -> Vec<f64> {
    let (dim, columns) = (heads.dim, heads.bias.len());
    let (weights, scale) = (heads.packed(), 1.0 / task.rows.len() as f32);
    let part = |rows: &[u32], sum: &mut [f32]| {
        let (mut x, mut slopes) = (vec![0.0; rows.len() * dim], vec![0.0; rows.len() * columns]);
        gather(task.data.x, dim, rows, &mut x);
        heads.logits(&weights, &x, &mut slopes);
        let labels = rows.iter().map(|&row| task.data.labels[row as usize]);
        softmax_slopes(&mut slopes, columns, heads.classes, labels, scale);
        let (of_weights, of_bias) = sum.split_at_mut(dim * columns);
        for row in slopes.chunks_exact(columns) {
            of_bias.iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
        }
        let slopes = Packed::new(&slopes, rows.len(), columns);
        product_of_columns(of_weights, Start::Output, &x, 0..dim, &slopes);
    };
    in_runs(&task.rows.chunks(ROWS).collect::<Vec<_>>(), (dim + 1) * columns, part)
}

/// Sum over `pieces` of what `add` adds to a partial sum of `len` values, in an order that their number alone
/// decides.
fn in_runs<P: Copy + Sync>(pieces: &[P], len: usize, add: impl Fn(P, &mut [f32]) + Sync) -> Vec<f64> {
    let run = |pieces: &[P]| {
        let mut sum = vec![0.0; len];
        pieces.iter().for_each(|&piece| add(piece, &mut sum));
        sum
    };
    let sums: Vec<Vec<f32>> = pieces.par_chunks(pieces.len().div_ceil(RUNS).max(1)).map(run).collect();
    sums.iter().fold(vec![0.0; len], |mut all, sum| {
        all.iter_mut().zip(sum).for_each(|(a, &s)| *a += f64::from(s));
        all
    })
}

#[cfg(test)]
mod tests {
    use super::super::features::Standardiser;
    use super::super::features::tests::blobs;
    use super::*;
    use ijepa_registry::prelude::Features;

    const DIM: usize = 6;
    const CLASSES: usize = 4;

    /// Overlapping classes in correlated features whose variances differ a thousandfold.
    fn data(n: usize, spread: f64) -> (Vec<f32>, Vec<u32>) {
        let (mut values, labels) = blobs(n, DIM, CLASSES, spread, 0);
        for row in values.chunks_exact_mut(DIM) {
            row[1] = row[0] + 0.03 * row[1];
            row[2] *= 30.0;
        }
        let x = Features { dim: DIM, values: &values, labels: &labels };
        (Standardiser::fit(&x).apply(&x), labels)
    }

    fn fitted(
        (x, labels): &(Vec<f32>, Vec<u32>),
        rows: &[u32],
        decays: &[f64],
        passes: usize,
    ) -> (Heads, Vec<usize>) {
        let gram = gram(x, DIM);
        let data = Samples { x, labels };
        fit(&Task { data, gram: &gram, rows, classes: CLASSES, passes }, decays, |_| ())
    }

    /// Objective of one head by its definition, in f64; `weights` are `(dim + 1, class)`, the bias last.
    fn objective((x, labels): &(Vec<f32>, Vec<u32>), rows: &[u32], decay: f64, weights: &[f64]) -> f64 {
        let nll = |&row: &u32| {
            let x = &x[row as usize * DIM..][..DIM];
            let logit = |c: usize| {
                let terms = x.iter().enumerate().map(|(j, &v)| f64::from(v) * weights[j * CLASSES + c]);
                terms.sum::<f64>() + weights[DIM * CLASSES + c]
            };
            let sum: f64 = (0..CLASSES).map(|c| logit(c).exp()).sum();
            sum.ln() - logit(labels[row as usize] as usize)
        };
        let square: f64 = weights[..DIM * CLASSES].iter().map(|w| w * w).sum();
        rows.iter().map(nll).sum::<f64>() / rows.len() as f64 + 0.5 * decay * square
    }

    fn weights_of(heads: &Heads, head: usize) -> Vec<f64> {
        let rows = heads.weights.chunks_exact(heads.bias.len()).chain([&heads.bias[..]]);
        let own = rows.flat_map(|row| &row[head * CLASSES..(head + 1) * CLASSES]);
        own.map(|&w| f64::from(w)).collect()
    }

    #[test]
    fn no_change_of_a_weight_lowers_the_objective() {
        let data = data(700, 2.0);
        let (rows, decays): (Vec<u32>, _) = ((0..600).collect(), [0.0, 1e-3, 0.1]);
        let (heads, passes) = fitted(&data, &rows, &decays, 500);
        for (head, &decay) in decays.iter().enumerate() {
            assert!(passes[head] < 500, "decay {decay}: no end after {} passes", passes[head]);
            let weights = weights_of(&heads, head);
            let least = objective(&data, &rows, decay, &weights);
            for i in 0..weights.len() {
                for change in [-0.01, 0.01] {
                    let mut changed = weights.clone();
                    changed[i] += change;
                    let value = objective(&data, &rows, decay, &changed);
                    assert!(value > least, "decay {decay}, weight {i} {change:+}: {value} below {least}");
                }
            }
        }
    }

    /// Newton's method with the second derivative by differences: slow, and sure of its optimum.
    fn newton(data: &(Vec<f32>, Vec<u32>), rows: &[u32], decay: f64) -> f64 {
        const H: f64 = 1e-3;
        let n = (DIM + 1) * CLASSES;
        let mut w = nalgebra::DVector::<f64>::zeros(n);
        let value = |w: &nalgebra::DVector<f64>| objective(data, rows, decay, w.as_slice());
        for _ in 0..12 {
            let at = |steps: &[(usize, f64)]| {
                let mut moved = w.clone();
                steps.iter().for_each(|&(i, s)| moved[i] += s * H);
                value(&moved)
            };
            let slope = |i| (at(&[(i, 1.0)]) - at(&[(i, -1.0)])) / (2.0 * H);
            let bend = |i, j| {
                let same = at(&[(i, 1.0), (j, 1.0)]) + at(&[(i, -1.0), (j, -1.0)]);
                (same - at(&[(i, 1.0), (j, -1.0)]) - at(&[(i, -1.0), (j, 1.0)])) / (4.0 * H * H)
            };
            let g = nalgebra::DVector::from_fn(n, |i, _| slope(i));
            // All biases may move together without an effect, hence the small addition.
            let h = DMatrix::from_fn(n, n, |i, j| bend(i, j) + if i == j { 1e-4 } else { 0.0 });
            w -= h.lu().solve(&g).expect("a positive matrix");
        }
        value(&w)
    }

    #[test]
    fn the_objective_is_that_of_newtons_method() {
        let data = data(120, 2.0);
        let rows: Vec<u32> = (0..120).collect();
        for decay in [1e-3, 0.1] {
            let (heads, _) = fitted(&data, &rows, &[decay], 500);
            let (ours, least) =
                (objective(&data, &rows, decay, &weights_of(&heads, 0)), newton(&data, &rows, decay));
            assert!((ours - least).abs() < 5e-6, "decay {decay}: {ours} instead of {least}");
        }
    }

    #[test]
    fn heads_side_by_side_are_heads_alone() {
        let data = data(700, 2.0);
        let (rows, decays): (Vec<u32>, _) = ((0..700).step_by(2).collect(), [1e-2, 0.0, 1e-4]);
        let (wide, passes) = fitted(&data, &rows, &decays, 500);
        for (head, decay) in decays.into_iter().enumerate() {
            let (alone, pass) = fitted(&data, &rows, &[decay], 500);
            assert_eq!(weights_of(&alone, 0), weights_of(&wide, head), "decay {decay}");
            assert_eq!(pass[0], passes[head]);
        }
    }

    #[test]
    fn features_that_never_vary_leave_the_shares_of_the_classes() {
        let labels: Vec<u32> = (0..100).map(|i| u32::from(i % 10 > 0) + u32::from(i % 10 > 4)).collect();
        let data = (vec![0.0; 100 * DIM], labels.iter().map(|y| (y + 1).min(3)).collect());
        let (heads, passes) = fitted(&data, &(0..100).collect::<Vec<_>>(), &[0.0, 1e-3], 500);
        assert!(passes.iter().all(|&p| p < 500) && heads.weights.iter().all(|&w| w == 0.0));
        let sum: f32 = heads.bias[..CLASSES].iter().map(|b| b.exp()).sum();
        assert!((heads.bias[3].exp() / sum - 0.5).abs() < 1e-3, "{:?}", heads.bias);
    }

    #[test]
    fn without_an_optimum_it_ends_with_the_passes() {
        // Classes far apart: without decay the weights grow for ever.
        let data = data(80, 0.01);
        let rows: Vec<u32> = (0..80).collect();
        let (heads, passes) = fitted(&data, &rows, &[0.0], 20);
        assert_eq!(passes, [20]);
        assert!(weights_of(&heads, 0).iter().all(|w| w.is_finite()));
        assert!(objective(&data, &rows, 0.0, &weights_of(&heads, 0)) < 0.1);
    }
}
