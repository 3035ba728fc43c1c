//! Loss `cosine`.

use ijepa_registry::prelude::*;

use super::{DistanceLoss, TargetTransform, shared::distance_loss};
use crate::kernels::RowLoss;

component! {
    /// One minus the cosine between predicted and target token, averaged over the predicted patches.
    ///
    /// Blind to the length of tokens (BYOL, arXiv 2006.07733, up to a factor 2).
    loss "cosine" => Cosine, example = "{ target: none }",
    aliases = ["cos" => "cosine", "cosine_similarity" => "cosine"]
}

/// Settings of `loss: { kind: cosine }`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Cosine {
    /// What predictions are compared with.
    target: TargetTransform,
}

impl Default for Cosine {
    fn default() -> Self {
        Cosine { target: TargetTransform::None }
    }
}

impl Cosine {
    fn distance(&self) -> RowLoss {
        RowLoss::Cosine
    }
}

distance_loss!(Cosine);
