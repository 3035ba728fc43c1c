//! Updates of parameters in place.

use rayon::prelude::*;

use super::elementwise::combine;
use super::simd::vectorised;
use crate::kernels::AdamWStep;

/// Values per task: those of a parameter, its gradient, moments and shadow stay in a core's cache.
const TASK: usize = 1 << 14;

/// The step's constants as the update uses them, computed in f64 and rounded once.
#[derive(Clone, Copy)]
struct Constants {
    decay: f32,
    take1: f32,
    beta2: f32,
    take2: f32,
    step_size: f32,
    root_scale: f32,
    eps: f32,
    grad_scale: f32,
}

impl Constants {
    fn new(step: &AdamWStep, grad_scale: f64) -> Self {
        Constants {
            decay: (1.0 - step.lr * step.weight_decay) as f32,
            // `1 - beta` before rounding: in f32 it would lose half its digits.
            take1: (1.0 - step.beta1) as f32,
            beta2: step.beta2 as f32,
            take2: (1.0 - step.beta2) as f32,
            step_size: (step.lr / step.correction1()) as f32,
            root_scale: (1.0 / step.correction2().sqrt()) as f32,
            eps: step.eps as f32,
            grad_scale: grad_scale as f32,
        }
    }
}

/// One AdamW step on a parameter `p`, `grad_scale` times its gradient, and its moments; then a shadow
/// moves with its momentum.
pub fn adamw(
    step: &AdamWStep,
    grad_scale: f64,
    p: &mut [f32],
    grad: &[f32],
    [m, v]: [&mut [f32]; 2],
    shadow: Option<(&mut [f32], f64)>,
) {
    let constants = Constants::new(step, grad_scale);
    let update = |(((p, g), m), v): Values<'_>| adamw_part(constants, p, g, m, v);
    let all = p.par_chunks_mut(TASK).zip(grad.par_chunks(TASK));
    let all = all.zip(m.par_chunks_mut(TASK)).zip(v.par_chunks_mut(TASK));
    let Some((shadow, momentum)) = shadow else { return all.for_each(update) };
    let (keep, take) = (momentum as f32, (1.0 - momentum) as f32);
    // While a part of the parameter is in the cache.
    all.zip(shadow.par_chunks_mut(TASK)).for_each(|((((p, g), m), v), f)| {
        update((((&mut *p, g), m), v));
        combine(f, keep, p, take);
    });
}

/// Parts of a parameter, its gradient and its moments.
type Values<'a> = (((&'a mut [f32], &'a [f32]), &'a mut [f32]), &'a mut [f32]);

vectorised! {
    fn adamw_part(c: Constants, p: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32]) {
        for (((p, g), m), v) in p.iter_mut().zip(grad).zip(m).zip(v) {
            let g = g * c.grad_scale;
            *p *= c.decay;
            // `lerp` and `addcmul` of PyTorch's single-tensor AdamW.
            *m += c.take1 * (g - *m);
            *v = c.beta2 * *v + c.take2 * g * g;
            *p -= c.step_size * *m / (v.sqrt() * c.root_scale + c.eps);
        }
    }
}

/// `teacher = momentum * teacher + (1 - momentum) * student`.
pub fn ema(teacher: &mut [f32], student: &[f32], momentum: f64) {
    let (keep, take) = (momentum as f32, (1.0 - momentum) as f32);
    teacher
        .par_chunks_mut(TASK)
        .zip(student.par_chunks(TASK))
        .for_each(|(teacher, student)| combine(teacher, keep, student, take));
}

/// Sum of squares in f64, in a fixed order.
pub fn sq_norm(values: &[f32]) -> f64 {
    let part = |c: &[f32]| c.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>();
    let sums: Vec<f64> = values.par_chunks(TASK).map(part).collect();
    sums.iter().sum()
}
