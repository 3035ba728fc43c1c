//! Loss `l2`.

use ijepa_registry::prelude::*;

use super::{DistanceLoss, TargetTransform, shared::distance_loss};
use crate::kernels::RowLoss;

component! {
    /// Squared error, summed over the features and averaged over the predicted patches.
    ///
    /// The loss of `sombersomni/ijepa-homemade@fea7df9`; its scale grows with the encoder's width (a prediction of
    /// zero costs about `dim`). Compare runs by `explained_variance`, not by this value.
    loss "l2" => L2, example = "{ target: none }",
    aliases = ["mse" => "l2", "mean_squared_error" => "l2", "squared" => "l2"]
}

/// Settings of `loss: { kind: l2 }`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct L2 {
    /// What predictions are compared with.
    target: TargetTransform,
}

impl Default for L2 {
    fn default() -> Self {
        L2 { target: TargetTransform::None }
    }
}

impl L2 {
    fn distance(&self) -> RowLoss {
        RowLoss::L2
    }
}

distance_loss!(L2);
