//! Optimizer `sgd`.

use ijepa_registry::prelude::*;

use super::shared::{
    Buffers, Groups, ParamGroup, assign, decays, ensure_groups, gradient_rows, norm_of, rows, times,
};
use crate::kernels::Backend;

component! {
    /// Stochastic gradient descent with momentum, as PyTorch's `SGD`.
    ///
    /// With gradient `g`, weight decay `w`, momentum `m` and learning rate `lr`: `g' = g + w p`, `b = m b + g'`, then
    /// `p = p - lr b`, with Nesterov's momentum `p = p - lr (g' + m b)`. The decay is part of the gradient, not
    /// decoupled from it as in `adamw`. Without momentum `b` is `g'`.
    optimizer "sgd" => Sgd, example = "{ momentum: 0.9, nesterov: true }",
    aliases = ["momentum" => "{ kind: sgd, momentum: 0.9 }"]
}

/// Settings of `optimizer: { kind: sgd }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Sgd {
    /// Share of the last step's direction that is kept, at least 0 and below 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    momentum: f64,
    /// Whether to look ahead along the momentum.
    nesterov: bool,
    /// Largest global gradient norm; larger gradients are scaled down to it. `null`: no clipping. On a GPU every
    /// step then waits for the device.
    #[schemars(range(min = 1e-12, max = 1e12), extend("x-aliases" = ["grad_clip", "clip_grad", "max_grad_norm"]))]
    clip: Option<f64>,
    /// Whether weight decay also applies to biases and norms.
    decay_bias_and_norm: bool,
    /// Parameters whose rates are multiplied; where several groups name one, their factors multiply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<ParamGroup>,
}

impl Default for Sgd {
    fn default() -> Self {
        Sgd { momentum: 0.9, nesterov: false, clip: None, decay_bias_and_norm: false, groups: Vec::new() }
    }
}

impl Sgd {
    fn build<D: Backend>(&self) -> Box<dyn Optimizer<D>> {
        let buffers = Buffers::none("momentum_buffer");
        Box::new(State { settings: self.clone(), steps: 0, groups: Groups::default(), buffers })
    }
}

impl OptimizerSettings for Sgd {
    fn check(&self) -> Vec<Problem> {
        let mut problems = Groups::check(&self.groups, 1.0);
        if !(0.0..1.0).contains(&self.momentum) {
            problems.push(Problem::new("momentum", format!("{} is not in [0, 1)", self.momentum)));
        }
        if self.nesterov && self.momentum == 0.0 {
            let message = "needs a momentum above 0, which it looks ahead along";
            problems.push(Problem::new("nesterov", message).help("write `momentum: 0.9`"));
        }
        problems
    }
    fn check_parameters(&self, names: &dyn Fn() -> Vec<String>) -> Vec<Problem> {
        Groups::check_parameters(&self.groups, names)
    }
    build_on_devices!(optimizer);
}

/// The built optimizer.
struct State<D: Device<f32>> {
    settings: Sgd,
    steps: u64,
    /// Made at the first step.
    groups: Groups,
    buffers: Buffers<D>,
}

impl<D: Backend> State<D> {
    /// What all gradients are multiplied by.
    fn clipping(&self, norm: &Scalar<D>) -> Result<f64, ModelError> {
        let Some(limit) = self.settings.clip else { return Ok(1.0) };
        let norm = D::read(&[], &[norm])?[0];
        // PyTorch's `clip_grad_norm_`.
        Ok((limit / (norm + 1e-6)).min(1.0))
    }

    fn move_one(
        &mut self,
        i: usize,
        param: &mut Param<D>,
        gradients: &mut Gradients<f32, D>,
        rates: Rates,
        scale: f64,
    ) -> Result<(), ModelError> {
        let mut g = gradient_rows(param, gradients)?;
        if scale < 1.0 {
            g = times(g, scale)?;
        }
        let values = rows(&param.data, &param.dims)?;
        if rates.weight_decay > 0.0 {
            g = D::add(g, times(values.clone(), rates.weight_decay)?)?;
        }
        let momentum = self.settings.momentum;
        if momentum > 0.0 {
            let buffer = self.buffers.get(i);
            let moved = D::add(times(rows(buffer, &param.dims)?, momentum)?, g.clone())?;
            assign(buffer, moved.clone())?;
            g = if self.settings.nesterov { D::add(g, times(moved, momentum)?)? } else { moved };
        }
        let moved = D::add(values, times(g, -rates.learning_rate)?)?;
        assign(&mut param.data, moved)
    }
}

impl<D: Backend> Optimizer<D> for State<D> {
    fn step(
        &mut self,
        params: &mut [(String, &mut Param<D>)],
        gradients: &mut Gradients<f32, D>,
        rates: Rates,
    ) -> Result<StepReport<D>, ModelError> {
        ensure_groups(&mut self.groups, (&self.settings.groups, 1.0), params)?;
        if self.settings.momentum > 0.0 {
            self.buffers.ensure(params.iter().map(|(name, p)| (name.as_str(), &**p)));
        }
        let gradient_norm = norm_of(params, gradients)?;
        let scale = self.clipping(&gradient_norm)?;
        for (i, (_, param)) in params.iter_mut().enumerate().filter(|(_, (_, p))| p.trainable) {
            let rates = self.groups.rates(i, rates, decays(param, self.settings.decay_bias_and_norm));
            self.move_one(i, param, gradients, rates, scale)?;
        }
        self.steps += 1;
        Ok(StepReport { gradient_norm })
    }

    fn state(&self) -> OptimizerState {
        OptimizerState { steps: self.steps, tensors: self.buffers.state() }
    }

    fn restore(&mut self, state: OptimizerState, params: &[(String, &Param<D>)]) -> Result<(), ModelError> {
        self.steps = state.steps;
        if state.steps == 0 || self.settings.momentum == 0.0 {
            return Ok(());
        }
        self.buffers.ensure(params.iter().map(|(name, p)| (name.as_str(), *p)));
        self.buffers.restore(&state.tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfdx::prelude::TensorFromVec;

    /// Three steps of one weight of three values with gradients 1, 2 and 3 times (1, -2, 0.5), as PyTorch's
    /// `SGD(lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=NESTEROV)` takes them.
    fn steps(nesterov: bool) -> Vec<f32> {
        let settings = Sgd { nesterov, ..Sgd::default() };
        let mut optimizer = settings.cpu();
        let data = Cpu::default().tensor_from_vec(vec![1.0, 2.0, 3.0], (3,));
        let mut param = Param {
            name: "w".into(),
            dims: vec![1, 3],
            data,
            trainable: true,
            precision: MatmulPrecision::F32,
        };
        for k in 1..=3 {
            let mut gradients = Gradients::leaky();
            let slope = [1.0, -2.0, 0.5].map(|v| v * k as f32);
            gradients.get_or_alloc_mut(&param.data).unwrap().copy_from_slice(&slope);
            let rates = Rates { learning_rate: 0.1, weight_decay: 0.01 };
            optimizer.step(&mut [("w".into(), &mut param)], &mut gradients, rates).unwrap();
        }
        param.data.as_vec()
    }

    #[test]
    fn steps_are_those_of_pytorch() {
        for (nesterov, wanted) in [(false, PLAIN), (true, NESTEROV)] {
            let close = steps(nesterov).iter().zip(wanted).all(|(got, want)| (got - want).abs() < 1e-6);
            assert!(close, "{nesterov}: {:?}, not {wanted:?}", steps(nesterov));
        }
    }

    #[test]
    fn looking_ahead_needs_momentum() {
        assert_eq!(Sgd { momentum: 0.0, nesterov: true, ..Sgd::default() }.check()[0].path, "nesterov");
        assert_eq!(Sgd { momentum: 1.0, ..Sgd::default() }.check()[0].path, "momentum");
    }

    const PLAIN: [f32; 3] = [0.0439747, 3.8896296, 2.5079744];
    const NESTEROV: [f32; 3] = [-0.462_184, 4.8922276, 2.2488205];
}
