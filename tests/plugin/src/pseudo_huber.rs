//! Loss `pseudo_huber`.

use dfdx::tensor_ops::{MeanTo, TrySub};
use ijepa_registry::prelude::*;

component! {
    /// `sqrt(1 + d^2) - 1`, averaged over all elements `d`: quadratic near 0, linear far away.
    ///
    /// Composed of operations of `dfdx`, which the prelude brings: right and slow, on a CPU.
    loss "pseudo_huber" => PseudoHuber, example = "{}"
}

/// Settings of `loss: { kind: pseudo_huber }` (none).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "ijepa_registry::serde", deny_unknown_fields)]
struct PseudoHuber {}

impl PseudoHuber {
    fn build<D: Device<f32>>(&self) -> Box<dyn Loss<D>> {
        Box::new(self.clone())
    }
}

impl LossSettings for PseudoHuber {
    fn check(&self) -> Vec<Problem> {
        vec![]
    }
    build_on_devices!(loss);
}

impl<D: Device<f32>> Loss<D> for PseudoHuber {
    fn target(&self, raw: Rows<D>) -> Result<Rows<D>, ModelError> {
        Ok(raw)
    }
    fn loss(&self, prediction: TapedRows<D>, target: Rows<D>) -> Result<TapedScalar<D>, ModelError> {
        let difference = prediction.try_sub(target).map_err(ModelError::from_debug)?;
        Ok(((difference.square() + 1.0).sqrt() - 1.0).mean())
    }
    fn is_mean_over_rows(&self) -> bool {
        true
    }
}
