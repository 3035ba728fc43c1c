//! The moments of Adam and the step that they give.

use ijepa_registry::{device::fused_ema::EmaUpdate, prelude::*};

use super::{groups::Groups, tensors::Buffers};
use crate::kernels::{AdamWStep, AdamWUpdate, Backend, Clip};

/// What does not change from step to step.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct AdamConstants {
    /// Decay rates of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Largest global gradient norm.
    pub clip: Option<f64>,
}

/// Problems of decay rates outside [0, 1), below `path`.
pub(in super::super) fn check_betas(path: &str, betas: &[f64; 2]) -> Vec<Problem> {
    let bad = |(i, b): (usize, &f64)| {
        (!(0.0..1.0).contains(b))
            .then(|| Problem::new(format!("{path}.{i}"), format!("{b} is not in [0, 1)")))
    };
    betas.iter().enumerate().filter_map(bad).collect()
}

/// First and second moment of every parameter.
pub(in super::super) struct Adam<D: Device<f32>> {
    constants: AdamConstants,
    steps: u64,
    first: Buffers<D>,
    second: Buffers<D>,
}

impl<D: Backend> Adam<D> {
    pub fn new(constants: AdamConstants) -> Self {
        Adam { constants, steps: 0, first: Buffers::none("exp_avg"), second: Buffers::none("exp_avg_sq") }
    }

    /// One step of all parameters that learn, each at its rates; `norm` is that of all gradients. Followers of these
    /// parameters in `average` move with them.
    pub fn step(
        &mut self,
        params: &mut [(String, &mut Param<D>)],
        gradients: &mut Gradients<f32, D>,
        rates: impl Fn(usize, &Param<D>) -> Rates,
        norm: &Scalar<D>,
        average: &mut EmaUpdate<'_, D>,
    ) -> Result<(), ModelError> {
        let named = |params: &[(String, &mut Param<D>)], buffers: &mut Buffers<D>| {
            buffers.ensure(params.iter().map(|(name, p)| (name.as_str(), &**p)));
        };
        named(params, &mut self.first);
        named(params, &mut self.second);
        self.steps += 1;
        let AdamConstants { betas: [beta1, beta2], eps, clip } = self.constants;
        let step_of = |rates: Rates| AdamWStep {
            step: self.steps,
            lr: rates.learning_rate,
            weight_decay: rates.weight_decay,
            beta1,
            beta2,
            eps,
        };
        let moments = self.first.all_mut().zip(self.second.all_mut());
        let mut updates = Vec::new();
        for (i, ((_, param), (m, v))) in params.iter_mut().zip(moments).enumerate() {
            if param.trainable {
                let shadow = average.shadows.get_mut(i).and_then(Option::take);
                let step = step_of(rates(i, param));
                updates.push(AdamWUpdate { param: &mut param.data, m, v, step, shadow });
            }
        }
        let clip = clip.map(|limit| Clip { limit, norm });
        D::adamw(&mut updates, gradients, clip.as_ref(), average.momentum)
    }

    /// Tensors for a checkpoint, both moments of a parameter after one another.
    pub fn state(&self) -> OptimizerState {
        let (first, second) = (self.first.state(), self.second.state());
        let tensors = first.into_iter().zip(second).flat_map(|(m, v)| [m, v]).collect();
        OptimizerState { steps: self.steps, tensors }
    }

    pub fn restore(
        &mut self,
        state: &OptimizerState,
        params: &[(String, &Param<D>)],
    ) -> Result<(), ModelError> {
        self.steps = state.steps;
        for buffers in [&mut self.first, &mut self.second] {
            *buffers = Buffers::none(buffers.kind());
            buffers.ensure(params.iter().map(|(name, p)| (name.as_str(), *p)));
            if state.steps > 0 {
                buffers.restore(&state.tensors)?;
            }
        }
        Ok(())
    }
}

/// Gradient norm of all parameters that learn.
pub(in super::super) fn norm_of<D: Backend>(
    params: &[(String, &mut Param<D>)],
    gradients: &mut Gradients<f32, D>,
) -> Result<Scalar<D>, ModelError> {
    let trained: Vec<_> = params.iter().filter(|(_, p)| p.trainable).map(|(_, p)| &p.data).collect();
    D::gradient_norm(&trained, gradients)
}

/// Whether weight decay applies to a parameter.
pub(in super::super) fn decays<D: Device<f32>>(param: &Param<D>, bias_and_norm_too: bool) -> bool {
    bias_and_norm_too || !param.is_bias_or_norm()
}

/// Groups of the parameters of a step, made at the first one.
pub(in super::super) fn ensure_groups<D: Device<f32>>(
    groups: &mut Groups,
    (settings, layer_decay): (&[super::ParamGroup], f64),
    params: &[(String, &mut Param<D>)],
) -> Result<(), ModelError> {
    if groups.is_empty() {
        let names: Vec<&str> = params.iter().map(|(name, _)| name.as_str()).collect();
        *groups = Groups::new(settings, layer_decay, &names)?;
    }
    Ok(())
}
