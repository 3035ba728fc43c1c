//! Optimizer `adamw`.

use ijepa_registry::prelude::*;

use crate::kernels::{AdamWStep, AdamWUpdate, Backend, Clip};

component! {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101), in PyTorch's order.
    ///
    /// Learning rate and weight decay follow their schedules at every step. Biases and the gain and
    /// bias of norms are not decayed unless `decay_bias_and_norm` says so (the CIFAR-10 reference
    /// decays everything). Gradients can be clipped by their global norm.
    optimizer "adamw" => AdamW, example = "{ betas: [0.9, 0.95], clip: 1.0 }",
    aliases = ["adam" => "adamw", "adam_w" => "adamw"]
}

/// Settings of `optimizer: { kind: adamw }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct AdamW {
    /// Decay rates of the first and second moment, each at least 0 and below 1.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    betas: [f64; 2],
    /// Added to the root of the second moment.
    #[schemars(range(min = 0.0, max = 1.0))]
    eps: f64,
    /// Largest global gradient norm; larger gradients are scaled down to it. `null`: no clipping.
    #[schemars(range(min = 1e-12, max = 1e12), extend("x-aliases" = ["grad_clip", "clip_grad", "max_grad_norm"]))]
    clip: Option<f64>,
    /// Whether weight decay also applies to biases and norms.
    decay_bias_and_norm: bool,
}

impl Default for AdamW {
    fn default() -> Self {
        AdamW { betas: [0.9, 0.999], eps: 1e-8, clip: None, decay_bias_and_norm: false }
    }
}

impl AdamW {
    fn build<D: Backend>(&self) -> Box<dyn Optimizer<D>> {
        Box::new(AdamWState { settings: self.clone(), steps: 0, moments: Vec::new() })
    }
}

impl OptimizerSettings for AdamW {
    fn check(&self) -> Vec<Problem> {
        let bad = |b: &f64| !(0.0..1.0).contains(b);
        let describe = |(i, b): (usize, &f64)| {
            bad(b).then(|| Problem::new(format!("betas.{i}"), format!("{b} is not in [0, 1)")))
        };
        self.betas.iter().enumerate().filter_map(describe).collect()
    }
    build_on_devices!(optimizer);
}

/// First and second moment of one parameter.
struct Moments<D: Device<f32>> {
    name: String,
    first: Flat<D>,
    second: Flat<D>,
}

/// The built optimizer.
struct AdamWState<D: Device<f32>> {
    settings: AdamW,
    steps: u64,
    /// In the order of the parameters; filled at the first step.
    moments: Vec<Moments<D>>,
}

impl<D: Backend> AdamWState<D> {
    fn ensure_moments(&mut self, params: &[(String, &mut Param<D>)]) {
        if self.moments.is_empty() {
            self.moments = params.iter().map(|(name, p)| Moments::zero(name, p)).collect();
        }
    }

    fn step_of(&self, rates: Rates, param: &Param<D>) -> AdamWStep {
        let decays = self.settings.decay_bias_and_norm || !param.is_bias_or_norm();
        AdamWStep {
            step: self.steps,
            lr: rates.learning_rate,
            weight_decay: if decays { rates.weight_decay } else { 0.0 },
            beta1: self.settings.betas[0],
            beta2: self.settings.betas[1],
            eps: self.settings.eps,
        }
    }
}

impl<D: Device<f32>> Moments<D> {
    fn zero(name: &str, param: &Param<D>) -> Self {
        let like = || param.data.device().zeros_like(&(param.len(),));
        Moments { name: name.to_string(), first: like(), second: like() }
    }
}

impl<D: Backend> Optimizer<D> for AdamWState<D> {
    fn step(
        &mut self,
        params: &mut [(String, &mut Param<D>)],
        gradients: &mut Gradients<f32, D>,
        rates: Rates,
    ) -> Result<StepReport<D>, ModelError> {
        let mut nothing = EmaUpdate { momentum: 1.0, shadows: Vec::new() };
        self.step_and_average(params, gradients, rates, &mut nothing)
    }

    fn step_and_average(
        &mut self,
        params: &mut [(String, &mut Param<D>)],
        gradients: &mut Gradients<f32, D>,
        rates: Rates,
        average: &mut EmaUpdate<'_, D>,
    ) -> Result<StepReport<D>, ModelError> {
        self.ensure_moments(params);
        self.steps += 1;
        let trained: Vec<_> = params.iter().filter(|(_, p)| p.trainable).map(|(_, p)| &p.data).collect();
        let gradient_norm = D::gradient_norm(&trained, gradients)?;
        let steps: Vec<AdamWStep> = params.iter().map(|(_, p)| self.step_of(rates, p)).collect();
        let mut updates = Vec::new();
        for (i, ((_, param), moments)) in params.iter_mut().zip(&mut self.moments).enumerate() {
            let (m, v, step) = (&mut moments.first, &mut moments.second, steps[i]);
            if param.trainable {
                let shadow = average.shadows.get_mut(i).and_then(Option::take);
                updates.push(AdamWUpdate { param: &mut param.data, m, v, step, shadow });
            }
        }
        let clip = self.settings.clip.map(|limit| Clip { limit, norm: &gradient_norm });
        D::adamw(&mut updates, gradients, clip.as_ref(), average.momentum)?;
        Ok(StepReport { gradient_norm })
    }

    fn state(&self) -> OptimizerState {
        let both = |m: &Moments<D>| {
            let named = |part: &str, t: &Flat<D>| (format!("{part}/{}", m.name), t.as_vec());
            [named("exp_avg", &m.first), named("exp_avg_sq", &m.second)]
        };
        OptimizerState { steps: self.steps, tensors: self.moments.iter().flat_map(both).collect() }
    }

    fn restore(&mut self, state: OptimizerState, params: &[(String, &Param<D>)]) -> Result<(), ModelError> {
        self.steps = state.steps;
        self.moments = params.iter().map(|(name, p)| Moments::zero(name, p)).collect();
        if state.steps == 0 {
            return Ok(());
        }
        let stored: std::collections::HashMap<_, _> = state.tensors.into_iter().collect();
        for m in &mut self.moments {
            for (part, tensor) in [("exp_avg", &mut m.first), ("exp_avg_sq", &mut m.second)] {
                let name = format!("{part}/{}", m.name);
                let values = stored.get(&name).ok_or_else(|| ModelError(format!("{name} is missing")))?;
                if values.len() != tensor.shape().0 {
                    let (a, b) = (values.len(), tensor.shape().0);
                    return Err(ModelError(format!("{name} holds {a} values, the model {b}")));
                }
                tensor.copy_from(values);
            }
        }
        Ok(())
    }
}
