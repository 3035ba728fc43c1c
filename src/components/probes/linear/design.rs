//! Standardised features as a matrix that is never written down.
//!
//! Row `i` is `(x_i - mean) * scale` in f64, of features that stay as they are: the products with it scale
//! the few columns instead, which takes no memory and rounds nothing.

use ijepa_registry::prelude::*;
use nalgebra::DMatrix;
use rayon::prelude::*;

use crate::components::probes::shared::features::Standardiser;
use crate::kernels::{Packed, Start, add_wide_columns, product_of_columns, wide_product};

/// Rows that one task multiplies at a time; they stay in cache between the two products of a pass.
pub(crate) const ROWS: usize = 128;
/// Partial sums of a pass: fixed, so that they do not depend on the thread count.
const RUNS: usize = 16;
/// Rows whose products of features are summed in `f32`.
const GRAM_ROWS: usize = 1024;
/// Features whose products one task computes.
const GRAM_COLUMNS: usize = 48;
/// Rows of [`Design::gram`] per feature, where there are more, and at least so many.
const GRAM_SAMPLE: (usize, usize) = (16, 8192);

/// Features `(row, dim)` with the shift and scale of each.
#[derive(Clone, Copy)]
pub(crate) struct Design<'a> {
    x: &'a [f32],
    standard: &'a Standardiser,
}

/// What turns features as they are into logits: weights `(class, dim)` and a bias per class.
pub(crate) struct Affine {
    weights: Vec<f64>,
    bias: Vec<f64>,
}

impl Affine {
    /// The same map in the precision of the features.
    pub fn classifier(&self) -> LinearClassifier {
        let rounded = |values: &[f64]| values.iter().map(|&v| v as f32).collect();
        LinearClassifier { weight: rounded(&self.weights), bias: rounded(&self.bias) }
    }

    /// Logits `(row, class)` of some rows of features.
    pub fn apply(&self, x: &[f32], out: &mut [f64]) {
        wide_product(out, x, &self.weights, self.weights.len() / self.bias.len());
        for row in out.chunks_exact_mut(self.bias.len()) {
            row.iter_mut().zip(&self.bias).for_each(|(z, b)| *z += b);
        }
    }
}

impl<'a> Design<'a> {
    /// Of `x` by `standard`, which may have been fitted to another split.
    pub fn new(x: &'a [f32], standard: &'a Standardiser) -> Self {
        Design { x, standard }
    }

    /// Number of features.
    pub fn dim(&self) -> usize {
        self.standard.scale.len()
    }

    /// `head`, weights `(class, dim)` and then the biases, for features as they are:
    /// `w (x - mean) scale + b = (w scale) x + (b - (w scale) mean)`.
    pub fn affine(&self, head: &[f64]) -> Affine {
        let classes = head.len() / (self.dim() + 1);
        let (weights, bias) = head.split_at(classes * self.dim());
        let scaled = weights.iter().zip(self.standard.scale.iter().cycle()).map(|(w, s)| w * s);
        let weights: Vec<f64> = scaled.collect();
        let shift = |w: &[f64]| w.iter().zip(&self.standard.mean).map(|(w, m)| w * m).sum::<f64>();
        let bias = bias.iter().zip(weights.chunks_exact(self.dim())).map(|(b, w)| b - shift(w)).collect();
        Affine { weights, bias }
    }

    /// Logits `(row, class)` of `head`.
    pub fn logits(&self, head: &[f64]) -> Vec<f64> {
        let (affine, classes) = (self.affine(head), head.len() / (self.dim() + 1));
        let mut out = vec![0.0; self.x.len() / self.dim() * classes];
        let tiles = out.par_chunks_mut(ROWS * classes).zip(self.x.par_chunks(ROWS * self.dim()));
        tiles.for_each(|(out, x)| affine.apply(x, out));
        out
    }

    /// `sum_i r_i (x_i, 1)'`, in the layout of a head. `fill(row, x, r)` writes `r` `(row, class)` of the
    /// rows `x` that begin at `row`.
    pub fn back(&self, classes: usize, fill: impl Fn(usize, &[f32], &mut [f64]) + Sync) -> Vec<f64> {
        let (dim, count) = (self.dim(), self.x.len() / self.dim());
        let tiles: Vec<(usize, &[f32])> = (0..).step_by(ROWS).zip(self.x.chunks(ROWS * dim)).collect();
        let run = |tiles: &[(usize, &[f32])]| {
            let (mut sum, mut r) = (vec![0.0; classes * (dim + 1)], vec![0.0; ROWS * classes]);
            for &(row, x) in tiles {
                let r = &mut r[..x.len() / dim * classes];
                fill(row, x, r);
                let (weights, bias) = sum.split_at_mut(classes * dim);
                add_wide_columns(weights, x, r, dim);
                r.chunks_exact(classes).for_each(|r| add(bias, r));
            }
            sum
        };
        let runs = tiles.len().div_ceil(RUNS).max(1);
        debug_assert!(count <= tiles.len() * ROWS);
        let sums: Vec<Vec<f64>> = tiles.par_chunks(runs).map(run).collect();
        let sum = sums.iter().fold(vec![0.0; classes * (dim + 1)], |mut all, sum| {
            add(&mut all, sum);
            all
        });
        self.standardised(sum, classes)
    }

    /// `sum_i r_i x_i` of features as they are, made that of standardised ones.
    fn standardised(&self, mut sum: Vec<f64>, classes: usize) -> Vec<f64> {
        let (weights, bias) = sum.split_at_mut(classes * self.dim());
        for (row, bias) in weights.chunks_exact_mut(self.dim()).zip(bias) {
            for ((w, m), s) in row.iter_mut().zip(&self.standard.mean).zip(&self.standard.scale) {
                *w = (*w - m * *bias) * s;
            }
        }
        sum
    }

    /// About `X'X / n` (dim, dim): in `f32`, of evenly spaced rows if there are many.
    pub fn gram(&self) -> DMatrix<f64> {
        let (dim, count) = (self.dim(), self.x.len() / self.dim());
        let taken = count.min((GRAM_SAMPLE.0 * dim).max(GRAM_SAMPLE.1));
        let rows: Vec<usize> = (0..taken).map(|i| i * count / taken).collect();
        let mut gram = vec![0.0f64; dim * dim];
        let mut tile = vec![0.0; GRAM_ROWS * dim];
        for rows in rows.chunks(GRAM_ROWS) {
            let tile = &mut tile[..rows.len() * dim];
            tile.par_chunks_mut(dim).zip(rows).with_min_len(64).for_each(|(out, &row)| {
                self.standard.row(&self.x[row * dim..][..dim], out);
            });
            let packed = Packed::new(tile, rows.len(), dim);
            let pieces = gram.par_chunks_mut(GRAM_COLUMNS * dim).enumerate();
            pieces.for_each(|(i, gram)| {
                let (first, mut sum) = (i * GRAM_COLUMNS, vec![0.0; gram.len()]);
                let columns = first..first + gram.len() / dim;
                product_of_columns(&mut sum, Start::Zero, tile, columns, &packed);
                gram.iter_mut().zip(sum).for_each(|(g, s)| *g += f64::from(s));
            });
        }
        DMatrix::from_vec(dim, dim, gram) / taken as f64
    }
}

fn add(sum: &mut [f64], x: &[f64]) {
    sum.iter_mut().zip(x).for_each(|(s, x)| *s += x);
}
