//! Newton's method with the whole second derivative and its Cholesky factor, all in f64: slow, obvious, and
//! sure of its optimum. What [`super::logistic_optimum`] is judged by.

use ijepa_registry::prelude::*;
use nalgebra::{Cholesky, DMatrix, DVector};

use super::design::Design;
use super::logistic_optimum::{Fit, Task, dot, fit};
use super::shares::Shares;
use crate::components::probes::shared::features::{Standardiser, tests::blobs};

/// A classification problem.
struct Problem {
    x: Vec<f32>,
    labels: Vec<u32>,
    dim: usize,
    classes: usize,
    used: Vec<bool>,
    standard: Standardiser,
}

impl Problem {
    fn new(x: Vec<f32>, labels: Vec<u32>, dim: usize, classes: usize) -> Self {
        let standard = Standardiser::fit(&Features { dim, tokens: 1, values: &x, labels: &labels });
        let used = vec![true; labels.len()];
        Problem { x, labels, dim, classes, used, standard }
    }

    fn blobs(n: usize, dim: usize, classes: usize, spread: f64) -> Self {
        let (x, labels) = blobs(n, dim, classes, spread, 0);
        Problem::new(x, labels, dim, classes)
    }

    /// Features of an untrained encoder: nearly the same for all images, and nearly collinear around their
    /// mean (condition number of the second moments about 1e8). Labels depend on all directions.
    fn collinear(n: usize, dim: usize, classes: usize) -> Self {
        let mut s = Stream::new(2, "test/collinear", 0, 0);
        let mixing: Vec<f64> = (0..dim * dim).map(|_| s.normal() / (dim as f64).sqrt()).collect();
        let answer: Vec<f64> = (0..dim * classes).map(|_| s.normal()).collect();
        let (mut x, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let z: Vec<f64> = (0..dim).map(|_| s.normal()).collect();
            let small = |j: usize| z[j] * 10f64.powf(-4.0 * j as f64 / dim as f64);
            x.extend((0..dim).map(|i| {
                let sum: f64 = (0..dim).map(|j| mixing[i * dim + j] * small(j)).sum();
                (1.0 + 0.05 * sum) as f32
            }));
            let score = |c: usize| dot(&answer[c * dim..][..dim], &z) * 0.1 + s_shift(c);
            let best = (0..classes).max_by(|&a, &b| score(a).total_cmp(&score(b)));
            labels.push(if s.chance(0.2) { s.below(classes) } else { best.unwrap_or(0) } as u32);
        }
        Problem::new(x, labels, dim, classes)
    }

    fn design(&self) -> Design<'_> {
        Design::new(&self.x, &self.standard)
    }

    /// Standardised features in f64, with a 1 behind them for the bias.
    fn row(&self, i: usize) -> DVector<f64> {
        let x = &self.x[i * self.dim..][..self.dim];
        let value = |j: usize| (f64::from(x[j]) - self.standard.mean[j]) * self.standard.scale[j];
        DVector::from_fn(self.dim + 1, |j, _| if j < self.dim { value(j) } else { 1.0 })
    }

    /// Objective by its definition; `w` is `(class, dim + 1)`, the bias last.
    fn objective(&self, w: &DMatrix<f64>, decay: f64) -> f64 {
        let used: Vec<usize> = (0..self.labels.len()).filter(|&i| self.used[i]).collect();
        let nll = |&i: &usize| {
            let z = w * self.row(i);
            let top = z.max();
            top + z.map(|z| (z - top).exp()).sum().ln() - z[self.labels[i] as usize]
        };
        let nll = used.iter().map(nll).sum::<f64>() / used.len() as f64;
        nll + 0.5 * decay * w.columns(0, self.dim).norm_squared()
    }

    /// Derivatives of [`Problem::objective`], of `w` by columns.
    fn derivatives(&self, w: &DMatrix<f64>, decay: f64) -> (DVector<f64>, DMatrix<f64>) {
        let (k, side) = (self.classes, self.classes * (self.dim + 1));
        let n = self.used.iter().filter(|u| **u).count() as f64;
        let (mut g, mut h) = (DVector::zeros(side), DMatrix::zeros(side, side));
        for i in (0..self.labels.len()).filter(|&i| self.used[i]) {
            let x = self.row(i);
            let z = w * &x;
            let e = z.map(|v| (v - z.max()).exp());
            let p = &e / e.sum();
            let mut r = p.clone();
            r[self.labels[i] as usize] -= 1.0;
            g += x.kronecker(&r) / n;
            let inner = (DMatrix::from_diagonal(&p) - &p * p.transpose()) / n;
            for (a, xa) in x.iter().enumerate() {
                for (b, xb) in x.iter().enumerate().take(a + 1) {
                    let mut block = h.view_mut((a * k, b * k), (k, k));
                    block += &inner * (xa * xb);
                }
            }
        }
        for i in 0..side {
            if i < k * self.dim {
                g[i] += decay * w.as_slice()[i];
                h[(i, i)] += decay;
            }
            // All biases may move together without an effect.
            h[(i, i)] += if i < k * self.dim { 0.0 } else { 1e-9 };
            (0..i).for_each(|j| h[(j, i)] = h[(i, j)]);
        }
        (g, h)
    }

    /// The minimum, to about 1e-11 nats.
    fn newton(&self, decay: f64) -> (DMatrix<f64>, f64) {
        let mut w = DMatrix::zeros(self.classes, self.dim + 1);
        let mut value = self.objective(&w, decay);
        for _ in 0..60 {
            let (g, h) = self.derivatives(&w, decay);
            let step = Cholesky::new(h).expect("a positive matrix").solve(&g);
            if 0.5 * g.dot(&step) < 1e-13 {
                break;
            }
            let mut by = 1.0;
            loop {
                let moved = &w - DMatrix::from_column_slice(self.classes, self.dim + 1, step.as_slice()) * by;
                let next = self.objective(&moved, decay);
                if next < value || by < 1e-6 {
                    (w, value) = (moved, next);
                    break;
                }
                by *= 0.5;
            }
        }
        (w, value)
    }

    /// A head in the layout of [`Fit`] as `(class, dim + 1)`.
    fn matrix(&self, head: &[f64]) -> DMatrix<f64> {
        let bias = self.classes * self.dim;
        let at = |c: usize, j: usize| if j < self.dim { head[c * self.dim + j] } else { head[bias + c] };
        DMatrix::from_fn(self.classes, self.dim + 1, at)
    }

    fn correct(&self, w: &DMatrix<f64>) -> i64 {
        let right = |i: &usize| (w * self.row(*i)).argmax().0 == self.labels[*i] as usize;
        (0..self.labels.len()).filter(right).count() as i64
    }

    /// Fits every decay from the one before, and compares each with Newton's method.
    fn check(&self, name: &str, decays: &[f64]) {
        let gram = self.design().gram();
        let (design, labels, used) = (self.design(), &self.labels[..], &self.used[..]);
        let task = Task { design, labels, used, classes: self.classes, gram: &gram };
        let mut found = Fit::zero(&task);
        for &decay in decays {
            found = fit(&task, decay, &found);
            let w = self.matrix(&found.head);
            let (best, least) = self.newton(decay);
            let gap = self.objective(&w, decay) - least;
            assert!(gap < 1e-7 && gap > -1e-10, "{name}, decay {decay}: gap {gap:e}");
            assert!(
                found.gap >= gap - 1e-10 && found.gap <= 1e-7,
                "{name}: {:e} vouches for {gap:e}",
                found.gap
            );
            assert!((found.objective - self.objective(&w, decay)).abs() < 1e-10, "{name}");
            let (ours, theirs) = (self.correct(&w), self.correct(&best));
            assert!((ours - theirs).abs() <= 1, "{name}, decay {decay}: {ours} instead of {theirs}");
        }
    }
}

/// Offsets that make the classes unequally frequent.
fn s_shift(class: usize) -> f64 {
    0.2 * class as f64
}

const DECAYS: [f64; 5] = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6];

#[test]
fn few_images_with_many_features() {
    Problem::blobs(300, 200, 3, 4.0).check("300 x 200", &[1e-4]);
    Problem::blobs(150, 192, 3, 4.0).check("150 x 192", &[1e-6]);
}

#[test]
fn many_images_with_few_features() {
    Problem::blobs(4000, 64, 4, 6.0).check("4000 x 64", &[1e-2, 1e-4, 1e-6]);
}

#[test]
fn nearly_collinear_features() {
    Problem::collinear(1500, 60, 4).check("collinear", &DECAYS);
}

#[test]
fn classes_that_can_be_separated() {
    Problem::blobs(120, 6, 4, 0.01).check("separable", &DECAYS);
}

#[test]
fn a_part_of_the_images_and_features_that_never_vary() {
    let mut problem = Problem::blobs(500, 10, 3, 3.0);
    problem.used = (0..500).map(|i| i % 3 > 0).collect();
    problem.x.chunks_exact_mut(10).for_each(|x| x[4] = 0.1);
    let problem = Problem { used: problem.used, ..Problem::new(problem.x, problem.labels, 10, 3) };
    problem.check("a part", &[1e-3, 1e-6]);
    // Nothing varies: what is left is how frequent the classes are.
    let labels: Vec<u32> = (0..100).map(|i| u32::from(i % 10 > 4) + u32::from(i % 10 > 6)).collect();
    Problem::new(vec![0.5; 300], labels, 3, 3).check("constant", &[1e-3]);
}

#[test]
fn derivatives_are_those_of_the_definition_and_of_differences() {
    let problem = Problem::blobs(90, 5, 3, 2.0);
    let gram = problem.design().gram();
    let (design, labels, used) = (problem.design(), &problem.labels[..], &problem.used[..]);
    let task = Task { design, labels, used, classes: 3, gram: &gram };
    let head: Vec<f64> = (0..18).map(|i| (i as f64 * 0.7).sin()).collect();
    let along: Vec<f64> = (0..18).map(|i| (i as f64 * 1.9).cos()).collect();
    let at = |t: f64| -> Vec<f64> { head.iter().zip(&along).map(|(h, a)| h + t * a).collect() };
    let shares = |head: &[f64]| Shares::of(&task, &task.design.logits(head));
    let gradient = |t: f64| shares(&at(t)).gradient(&task, &at(t), 0.1);
    let (h, value) = (1e-4, |t: f64| problem.objective(&problem.matrix(&at(t)), 0.1));
    let slope = dot(&gradient(0.0), &along);
    assert!((slope - (value(h) - value(-h)) / (2.0 * h)).abs() < 1e-7);
    let now = shares(&head);
    let curved = super::curvature::Curvature { task: &task, shares: &now, decay: 0.1 }.product(&along);
    for (i, (up, down)) in gradient(h).iter().zip(gradient(-h)).enumerate() {
        assert!((curved[i] - (up - down) / (2.0 * h)).abs() < 1e-7, "{i}");
    }
    let (by_definition, _) = problem.derivatives(&problem.matrix(&head), 0.1);
    let ours = problem.matrix(&gradient(0.0));
    assert!(ours.iter().zip(&by_definition).all(|(a, b)| (a - b).abs() < 1e-12));
}
