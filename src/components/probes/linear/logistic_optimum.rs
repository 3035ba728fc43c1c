//! Multinomial logistic regression at its optimum, with a certificate.
//!
//! Minimises `f(W, b) = mean_i [lse(z_i) - z_i,y_i] + decay / 2 |W|^2`, `z_i = W x_i + b`, over standardised
//! features `x`: the weights are decayed, the biases are not. Truncated Newton: the step solves `H s = -g`
//! by conjugate gradients with the true second derivative, preconditioned by the factor of
//! `share X'X / n + decay`, the bound of Böhning 1992 ("Multinomial logistic regression algorithm") with the
//! mean curvature of the softmax in the place of its largest.
//!
//! With `b` at its optimum, `f` as a function of `W` is convex even without `decay / 2 |W|^2`, so that
//! `f - min f <= |df/dW|^2 / (2 decay)`. This, with a gradient in f64, is what ends a fit and is reported.

use super::{
    curvature::{Curvature, Preconditioner},
    design::Design,
    shares::Shares,
};

/// A fit ends with a certificate of this (nats): half of what is promised.
pub(crate) const GAP: f64 = 5e-8;
/// Newton steps of a fit; 5 to 15 are usual.
const STEPS: usize = 100;
/// Halvings of a step.
const HALVINGS: usize = 40;
/// Conjugate gradients per step.
const PRODUCTS: usize = 400;
/// Share of the promised decrease that a step must bring (Armijo).
const SUFFICIENT: f64 = 1e-4;

/// What to fit.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    /// Features of all images.
    pub design: Design<'a>,
    /// Their classes.
    pub labels: &'a [u32],
    /// Which of them to fit to.
    pub used: &'a [bool],
    /// Number of classes.
    pub classes: usize,
    /// Second moments of the features, from [`Design::gram`].
    pub gram: &'a nalgebra::DMatrix<f64>,
}

/// A fitted head.
#[derive(Clone, Debug)]
pub(crate) struct Fit {
    /// Weights `(class, dim)` for standardised features, then a bias per class.
    pub head: Vec<f64>,
    /// `(image, class)`, of the used images and the others.
    pub logits: Vec<f64>,
    /// Its objective (nats).
    pub objective: f64,
    /// At most so far is that above its minimum (nats).
    pub gap: f64,
}

impl Fit {
    /// Where a search begins: no weights.
    pub fn zero(task: &Task) -> Self {
        let images = task.labels.len();
        let head = vec![0.0; task.classes * (task.design.dim() + 1)];
        Fit { head, logits: vec![0.0; images * task.classes], objective: f64::NAN, gap: f64::INFINITY }
    }
}

/// The optimum for one decay above 0, from a start nearby.
pub(crate) fn fit(task: &Task, decay: f64, from: &Fit) -> Fit {
    let weights = task.classes * task.design.dim();
    let mut at = from.clone();
    let mut preconditioner: Option<Preconditioner> = None;
    let mut first = None;
    for _ in 0..STEPS {
        let mut shares = Shares::of(task, &at.logits);
        let mut gradient = shares.gradient(task, &at.head, decay);
        if bound(&gradient[..weights], decay) <= GAP {
            // The bound is that of the best biases.
            shares = balance(task, shares, &mut at);
            gradient = shares.gradient(task, &at.head, decay);
        }
        at.gap = bound(&gradient[..weights], decay);
        at.objective = shares.nll + decay_term(&at.head[..weights], decay);
        if at.gap <= GAP {
            break;
        }
        let share = shares.curvature(task);
        if preconditioner.as_ref().is_none_or(|p| !p.fits(share)) {
            preconditioner = Some(Preconditioner::new(task.gram, share, decay));
        }
        let preconditioner = preconditioner.as_ref().expect("made above");
        let curvature = Curvature { task, shares: &shares, decay };
        let step = direction(&curvature, preconditioner, &gradient, &mut first);
        let moved = search(task, &mut at, &step, &gradient, decay);
        if !moved {
            break;
        }
    }
    at
}

/// `|df/dW|^2 / (2 decay)`.
fn bound(gradient: &[f64], decay: f64) -> f64 {
    dot(gradient, gradient) / (2.0 * decay)
}

fn decay_term(weights: &[f64], decay: f64) -> f64 {
    0.5 * decay * dot(weights, weights)
}

/// Moves the biases to their optimum by Newton's method, whose few unknowns cost no pass over the features.
fn balance(task: &Task, mut shares: Shares, at: &mut Fit) -> Shares {
    for _ in 0..20 {
        let Some(step) = shares.bias_step(task) else { break };
        let weights = at.head.len() - task.classes;
        at.head[weights..].iter_mut().zip(&step).for_each(|(b, s)| *b += s);
        for row in at.logits.chunks_exact_mut(task.classes) {
            row.iter_mut().zip(&step).for_each(|(z, s)| *z += s);
        }
        shares = Shares::of(task, &at.logits);
    }
    shares
}

/// About `-H^-1 g`, by preconditioned conjugate gradients.
fn direction(
    curvature: &Curvature,
    preconditioner: &Preconditioner,
    gradient: &[f64],
    first: &mut Option<f64>,
) -> Vec<f64> {
    let enough = 0.5 * GAP * curvature.decay;
    let mut step = vec![0.0; gradient.len()];
    let mut left: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut along = preconditioner.solve(&left);
    let mut length = dot(&left, &along);
    // Exact only near the end: far from it the quadratic model is not worth the products.
    let begin = *first.get_or_insert(length);
    let share = (length / begin).sqrt().clamp(1e-4, 0.1);
    let bar = share * share * length;
    for _ in 0..PRODUCTS {
        let curved = curvature.product(&along);
        let bend = dot(&along, &curved);
        if bend <= 0.0 {
            break;
        }
        let by = length / bend;
        axpy(&mut step, by, &along);
        axpy(&mut left, -by, &curved);
        let next = preconditioner.solve(&left);
        let (before, now) = (length, dot(&left, &next));
        if now <= bar || dot(&left, &left) <= enough {
            break;
        }
        length = now;
        along.iter_mut().zip(next).for_each(|(a, n)| *a = n + now / before * *a);
    }
    step
}

/// Goes along `step`, halved until the objective falls enough; false if it does not.
fn search(task: &Task, at: &mut Fit, step: &[f64], gradient: &[f64], decay: f64) -> bool {
    let weights = step.len() - task.classes;
    let along = task.design.logits(step);
    let (slope, mut by) = (dot(gradient, step), 1.0);
    for _ in 0..HALVINGS {
        let nll = Shares::nll(task, |i| at.logits[i] + by * along[i]);
        let square: f64 = at.head[..weights].iter().zip(step).map(|(w, s)| (w + by * s) * (w + by * s)).sum();
        let value = nll + 0.5 * decay * square;
        // Near the optimum the decrease is smaller than the rounding of the objective.
        if value <= at.objective + SUFFICIENT * by * slope + 1e-14 * at.objective.abs() {
            axpy(&mut at.head, by, step);
            axpy(&mut at.logits, by, &along);
            return true;
        }
        by *= 0.5;
    }
    false
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn axpy(y: &mut [f64], factor: f64, x: &[f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x);
}
