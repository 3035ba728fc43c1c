//! Loss `l2`.

use ijepa_registry::prelude::*;

use super::{
    DistanceLoss, TargetTransform,
    shared::{distance_loss, is_flat},
};
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
    /// Power of the distance to the context that weights a predicted patch: `r^distance_power`, with `r` the Euclidean
    /// distance in patches to the nearest patch of its context, at least 1. The loss stays a mean over all predicted
    /// patches. Above 0 far patches count more, below 0 near ones (V-JEPA 2.1 has -0.5, on tokens of the context and
    /// their distance to the mask). 0: all count once.
    #[serde(skip_serializing_if = "is_flat")]
    #[schemars(range(min = -4.0, max = 4.0), extend("x-aliases" = ["distance_weight", "distance_exponent"]))]
    distance_power: f64,
}

impl Default for L2 {
    fn default() -> Self {
        L2 { target: TargetTransform::None, distance_power: 0.0 }
    }
}

impl L2 {
    fn distance(&self) -> RowLoss {
        RowLoss::L2
    }
}

distance_loss!(L2, distance_power);
