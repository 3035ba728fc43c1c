//! What all losses share: the target transform, and the loss built from a distance.

use ijepa_registry::prelude::*;

use crate::kernels::{Backend, RowLoss};

/// What predictions are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetTransform {
    /// The target encoder's output as it is.
    None,
    /// Layer norm of each token without gain and bias, eps 1e-5: removes the learned affine part
    /// of the encoder's last norm.
    LayerNorm,
}

/// Epsilon of the target norm: the default of `torch.nn.functional.layer_norm`.
const TARGET_NORM_EPS: f32 = 1e-5;

/// A distance between rows, after the target transform.
#[derive(Clone, Copy, Debug)]
pub struct DistanceLoss {
    pub transform: TargetTransform,
    pub distance: RowLoss,
}

impl<D: Backend> Loss<D> for DistanceLoss {
    fn target(&self, raw: Rows<D>) -> Result<Rows<D>, ModelError> {
        match self.transform {
            TargetTransform::None => Ok(raw),
            TargetTransform::LayerNorm => D::standardize(&raw, TARGET_NORM_EPS),
        }
    }
    fn loss(&self, prediction: TapedRows<D>, target: Rows<D>) -> Result<TapedScalar<D>, ModelError> {
        D::loss(self.distance, prediction, &target)
    }
    fn is_mean_over_rows(&self) -> bool {
        true
    }
}

/// Implements [`LossSettings`] for a settings struct with a `target` field and a `distance` method.
macro_rules! distance_loss {
    ($settings:ty) => {
        impl LossSettings for $settings {
            fn check(&self) -> Vec<Problem> {
                vec![]
            }
            build_on_devices!(loss);
        }
        impl $settings {
            fn build<D: $crate::kernels::Backend>(&self) -> Box<dyn Loss<D>> {
                Box::new(DistanceLoss { transform: self.target, distance: self.distance() })
            }
        }
    };
}
pub(super) use distance_loss;
