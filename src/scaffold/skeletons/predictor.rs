//! Predictor `my_predictor`.

use ijepa_registry::prelude::*;

use ijepa_run::{
    kernels::{Backend, Function},
    nn::{Init, InitScheme, Linear, PositionKind, position_table, table},
};

component! {
    // TODO: say in one sentence how it predicts, then where it comes from.
    /// Predicts every patch from the mean of the context tokens and its own position.
    ///
    /// `y_p = W2 gelu(W1 mean(context) + position_p)`
    predictor "my_predictor" => MyPredictor, example = "{ dim: 16 }"
}

/// Settings of `predictor: { kind: my_predictor }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "ijepa_registry::serde", deny_unknown_fields, default)]
struct MyPredictor {
    // TODO: your settings. Each has a sentence, a range and a default.
    /// Width of the hidden layer.
    #[schemars(range(min = 1, max = 4096))]
    dim: usize,
}

impl Default for MyPredictor {
    fn default() -> Self {
        MyPredictor { dim: 96 }
    }
}

impl MyPredictor {
    fn build<D: Backend>(
        &self,
        context: &PredictorContext<D>,
    ) -> Result<Box<dyn Predictor<D>>, ModelError> {
        // TODO: the layers; the names are those of the parameters in checkpoints and may not change later.
        let init = Init::new(context.device, context.seed, "predictor", InitScheme::Torch);
        let positions = position_table(&init, PositionKind::Learned, "positions", context.grid, self.dim);
        Ok(Box::new(Network {
            first: Linear::new(&init, "first", &[self.dim, context.encoder_dim]),
            positions: positions.ok_or_else(|| ModelError("no positions".into()))?,
            second: Linear::new(&init, "second", &[context.target_dim, self.dim]),
        }))
    }
}

impl PredictorSettings for MyPredictor {
    fn check(&self, _encoder_dim: usize) -> Vec<Problem> {
        // TODO: what ranges cannot say, such as heads that do not divide the width.
        vec![]
    }
    // TODO: `cost` and `parameters`, so that budgets and estimates work; `is_blockwise` where blocks of a view see
    // each other.
    build_on_devices!(predictor);
}

/// The built predictor.
struct Network<D: Device<f32>> {
    /// `[dim, encoder dim]`
    first: Linear<D>,
    /// `[1, patch, dim]`
    positions: Param<D>,
    /// `[target dim, dim]`
    second: Linear<D>,
}

impl<D: Backend> Predictor<D> for Network<D> {
    fn predict(
        &self,
        context: TapedRows<D>,
        plan: &PredictionPlan,
        _mode: Mode,
    ) -> Result<TapedRows<D>, ModelError> {
        // TODO: one row per predicted patch, in the order of the plan: (token, encoder dim) to (patch, target dim).
        let means = self.first.forward(D::segment_means(context, &plan.context.segments)?)?;
        let of_block = |p: &Prediction| vec![p.context as u32; p.targets.len()];
        let contexts: Vec<u32> = plan.predictions.iter().flat_map(of_block).collect();
        let patches: Vec<u32> = plan.predictions.iter().flat_map(|p| p.targets.clone()).collect();
        let hidden = D::gather_sum(means, &contexts, &[table(&self.positions, &patches)])?;
        self.second.forward(D::map(hidden, Function::Gelu)?)
    }
}

impl<D: Backend> Parameters<D> for Network<D> {
    // TODO: every parameter, both times in the same order.
    fn params(&self) -> Vec<&Param<D>> {
        let first = self.first.params.iter().chain([&self.positions]);
        first.chain(&self.second.params).collect()
    }
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let first = self.first.params.iter_mut().chain([&mut self.positions]);
        first.chain(&mut self.second.params).collect()
    }
}
