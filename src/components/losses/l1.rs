//! Loss `l1`.

use ijepa_registry::prelude::*;

use super::{
    DistanceLoss, TargetTransform,
    shared::{distance_loss, is_flat},
};
use crate::kernels::RowLoss;

component! {
    /// Absolute error, averaged over all elements: the loss of V-JEPA.
    ///
    /// Bardes et al. 2024, arXiv 2404.08471: an element far off weighs no more than one nearby, and the
    /// best constant is the median of the targets. `smooth_l1` becomes this as its `beta` goes to 0.
    loss "l1" => L1, example = "{ target: layer_norm }",
    aliases = ["mae" => "l1", "mean_absolute_error" => "l1", "absolute" => "l1"]
}

/// Settings of `loss: { kind: l1 }`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct L1 {
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

impl Default for L1 {
    fn default() -> Self {
        L1 { target: TargetTransform::LayerNorm, distance_power: 0.0 }
    }
}

/// Below this the smooth form is a parabola; no difference of two tokens is that small without being 0.
const POINT: f32 = 1e-30;

impl L1 {
    fn distance(&self) -> RowLoss {
        RowLoss::SmoothL1 { beta: POINT }
    }
}

distance_loss!(L1, distance_power);

#[cfg(test)]
mod tests {
    use dfdx::prelude::{Backward, Trace};

    use super::*;
    use crate::kernels::from_host;

    #[test]
    fn it_is_the_mean_of_absolute_differences_and_its_slope_their_sign() {
        let (p, t) = ([0.5, -2.0, 3.0, 1.0], [0.5, 1.0, -4.0, 1.0 + 1e-6]);
        let rows = |values: [f32; 4]| from_host(&Cpu::default(), values, 2, 2).unwrap();
        let (prediction, loss) =
            (rows(p), L1 { target: TargetTransform::None, distance_power: 0.0 }.build::<Cpu>());
        let value = loss.loss(prediction.leaky_trace(), rows(t)).unwrap();
        let expected = p.iter().zip(t).map(|(p, t)| f64::from((p - t).abs())).sum::<f64>() / 4.0;
        assert!((f64::from(value.as_vec()[0]) - expected).abs() < 1e-6);
        assert_eq!(value.backward().get(&prediction).as_vec(), [0.0, -0.25, 0.25, -0.25]);
    }
}
