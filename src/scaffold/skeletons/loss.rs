//! Loss `my_loss`.

use ijepa_registry::prelude::*;

use ijepa_run::kernels::{Backend, Function};

component! {
    // TODO: say in one sentence what it computes, then the formula and where it comes from.
    /// Squared error, averaged over all elements.
    ///
    /// `factor * mean_ij (prediction_ij - target_ij)^2`
    loss "my_loss" => MyLoss, example = "{ factor: 2.0 }"
}

/// Settings of `loss: { kind: my_loss }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "ijepa_registry::serde", deny_unknown_fields, default)]
struct MyLoss {
    // TODO: your settings. Each has a sentence, a range and a default.
    /// What the distance is multiplied by.
    #[schemars(range(min = 1e-6, max = 1e6))]
    factor: f32,
}

impl Default for MyLoss {
    fn default() -> Self {
        MyLoss { factor: 1.0 }
    }
}

impl MyLoss {
    fn build<D: Backend>(&self) -> Box<dyn Loss<D>> {
        Box::new(self.clone())
    }
}

impl LossSettings for MyLoss {
    fn check(&self) -> Vec<Problem> {
        // TODO: what ranges cannot say, such as settings that contradict each other.
        vec![]
    }
    build_on_devices!(loss);
}

impl<D: Backend> Loss<D> for MyLoss {
    fn target(&self, raw: Rows<D>) -> Result<Rows<D>, ModelError> {
        // TODO: what predictions are compared with. `D::standardize(&raw, 1e-5)` normalises each token.
        Ok(raw)
    }
    fn loss(&self, prediction: TapedRows<D>, target: Rows<D>) -> Result<TapedScalar<D>, ModelError> {
        // TODO: the loss of (patch, dim) against (patch, dim). The operators are those of `Backend` and `Compose`.
        let (patches, dim) = *prediction.shape();
        let minus_target = D::map(target, Function::Affine { scale: -1.0, shift: 0.0 })?;
        let difference = D::add(prediction, minus_target)?;
        let sum = D::sum(D::map(difference, Function::Square)?)?;
        D::scale(sum, self.factor / (patches * dim) as f32)
    }
    // TODO: true if each row counts for itself; batches then pass in micro-batches, which takes less memory.
    fn is_mean_over_rows(&self) -> bool {
        true
    }
}
