//! Optimizer `my_optimizer`.

use ijepa_registry::prelude::*;

use ijepa_run::kernels::{AdamWStep, AdamWUpdate, Backend};

component! {
    // TODO: say in one sentence how it moves parameters, then the formula and where it comes from.
    /// AdamW that learns biases and norms at a rate of their own.
    ///
    /// `lr_p = lr * vector_rate` for biases, gains and biases of norms, `lr_p = lr` for matrices.
    optimizer "my_optimizer" => MyOptimizer, example = "{ vector_rate: 2.0 }"
}

/// Settings of `optimizer: { kind: my_optimizer }`. Learning rate and weight decay are schedules of the experiment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "ijepa_registry::serde", deny_unknown_fields, default)]
struct MyOptimizer {
    // TODO: your settings. Each has a sentence, a range and a default.
    /// What the learning rate of biases and norms is multiplied by.
    #[schemars(range(min = 0.0, max = 1000.0))]
    vector_rate: f64,
}

impl Default for MyOptimizer {
    fn default() -> Self {
        MyOptimizer { vector_rate: 1.0 }
    }
}

impl MyOptimizer {
    fn build<D: Backend>(&self) -> Box<dyn Optimizer<D>> {
        Box::new(State { settings: self.clone(), steps: 0, moments: Vec::new() })
    }

    /// What a step does to this parameter.
    fn step_of<D: Device<f32>>(&self, step: u64, rates: Rates, param: &Param<D>) -> AdamWStep {
        // TODO: rates and decay of a parameter, by its name, its shape or its depth.
        let vector = param.is_bias_or_norm();
        AdamWStep {
            step,
            lr: rates.learning_rate * if vector { self.vector_rate } else { 1.0 },
            weight_decay: if vector { 0.0 } else { rates.weight_decay },
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
        }
    }
}

impl OptimizerSettings for MyOptimizer {
    fn check(&self) -> Vec<Problem> {
        // TODO: what ranges cannot say.
        vec![]
    }
    build_on_devices!(optimizer);
}

/// First and second moment of one parameter.
struct Moments<D: Device<f32>> {
    name: String,
    first: Flat<D>,
    second: Flat<D>,
}

impl<D: Device<f32>> Moments<D> {
    fn zero(name: &str, param: &Param<D>) -> Self {
        let zeros = || param.data.device().zeros_like(&(param.len(),));
        Moments { name: name.to_owned(), first: zeros(), second: zeros() }
    }
}

/// The built optimizer.
struct State<D: Device<f32>> {
    settings: MyOptimizer,
    steps: u64,
    /// In the order of the parameters; filled at the first step.
    moments: Vec<Moments<D>>,
}

impl<D: Backend> Optimizer<D> for State<D> {
    fn step(
        &mut self,
        params: &mut [(String, &mut Param<D>)],
        gradients: &mut Gradients<f32, D>,
        rates: Rates,
    ) -> Result<StepReport<D>, ModelError> {
        if self.moments.is_empty() {
            self.moments = params.iter().map(|(name, p)| Moments::zero(name, p)).collect();
        }
        self.steps += 1;
        let trained: Vec<_> = params.iter().filter(|(_, p)| p.trainable).map(|(_, p)| &p.data).collect();
        let gradient_norm = D::gradient_norm(&trained, gradients)?;
        // TODO: the update of every parameter that is trained.
        let mut updates = Vec::new();
        for ((_, param), moments) in params.iter_mut().zip(&mut self.moments).filter(|(p, _)| p.1.trainable) {
            let step = self.settings.step_of(self.steps, rates, param);
            let Moments { first: m, second: v, .. } = moments;
            updates.push(AdamWUpdate { param: &mut param.data, m, v, step, shadow: None });
        }
        D::adamw(&mut updates, gradients, None, 1.0)?;
        Ok(StepReport { gradient_norm })
    }
    fn state(&self) -> OptimizerState {
        // TODO: everything that a stopped run needs to continue exactly.
        let both = |m: &Moments<D>| {
            let named = |part: &str, tensor: &Flat<D>| (format!("{part}/{}", m.name), tensor.as_vec());
            [named("first", &m.first), named("second", &m.second)]
        };
        OptimizerState { steps: self.steps, tensors: self.moments.iter().flat_map(both).collect() }
    }
    fn restore(&mut self, state: OptimizerState, params: &[(String, &Param<D>)]) -> Result<(), ModelError> {
        self.steps = state.steps;
        self.moments = params.iter().map(|(name, p)| Moments::zero(name, p)).collect();
        let stored: std::collections::HashMap<_, _> = state.tensors.into_iter().collect();
        for m in self.moments.iter_mut().filter(|_| state.steps > 0) {
            for (part, tensor) in [("first", &mut m.first), ("second", &mut m.second)] {
                let name = format!("{part}/{}", m.name);
                let values = stored.get(&name).filter(|values| values.len() == tensor.shape().0);
                let values =
                    values.ok_or_else(|| ModelError(format!("{name} is missing or of another size")))?;
                tensor.copy_from(values);
            }
        }
        Ok(())
    }
}
