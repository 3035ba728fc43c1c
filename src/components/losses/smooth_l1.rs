//! Loss `smooth_l1`.

use ijepa_registry::prelude::*;

use super::{
    DistanceLoss, TargetTransform,
    shared::{distance_loss, is_flat},
};
use crate::kernels::RowLoss;

component! {
    /// Smooth L1 (Huber) distance, averaged over all elements: Meta's released I-JEPA loss.
    ///
    /// Per element d: `0.5 d^2 / beta` where `|d| < beta`, else `|d| - 0.5 beta`.
    loss "smooth_l1" => SmoothL1, example = "{ target: layer_norm, beta: 1.0 }",
    aliases = ["huber" => "smooth_l1", "smoothl1" => "smooth_l1"]
}

/// Settings of `loss: { kind: smooth_l1 }`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SmoothL1 {
    /// What predictions are compared with.
    target: TargetTransform,
    /// Where the distance turns from quadratic to linear.
    #[schemars(range(min = 1e-6, max = 1e6))]
    beta: f32,
    /// Power of the distance to the context that weights a predicted patch: `r^distance_power`, with `r` the Euclidean
    /// distance in patches to the nearest patch of its context, at least 1. The loss stays a mean over all predicted
    /// patches. Above 0 far patches count more, below 0 near ones (V-JEPA 2.1 has -0.5, on tokens of the context and
    /// their distance to the mask). 0: all count once.
    #[serde(skip_serializing_if = "is_flat")]
    #[schemars(range(min = -4.0, max = 4.0), extend("x-aliases" = ["distance_weight", "distance_exponent"]))]
    distance_power: f64,
}

impl Default for SmoothL1 {
    fn default() -> Self {
        SmoothL1 { target: TargetTransform::LayerNorm, beta: 1.0, distance_power: 0.0 }
    }
}

impl SmoothL1 {
    fn distance(&self) -> RowLoss {
        RowLoss::SmoothL1 { beta: self.beta }
    }
}

distance_loss!(SmoothL1, distance_power);
