//! The same value in every step.

use ijepa_registry::prelude::*;

/// Settings of `kind: constant`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Constant {
    /// The value of every step, in the unit of whatever is scheduled (no unit for learning rate,
    /// weight decay and EMA momentum).
    #[schemars(range(min = 0.0, max = 1e30))]
    value: f64,
}

component! {
    /// The same value in every step.
    ///
    /// Weight decay of `sombersomni/ijepa-homemade@fea7df9` (0.05), or an EMA momentum that does not move.
    schedule "constant" => Constant, example = "value: 0.05", number = "value"
}

impl Schedule for Constant {
    fn check(&self, _horizon: Horizon) -> Vec<Problem> {
        vec![]
    }
    fn value(&self, _step: u64, _horizon: Horizon) -> f64 {
        self.value
    }
    fn end_points(&self, _horizon: Horizon) -> (Option<f64>, Option<f64>) {
        (Some(self.value), Some(self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_moves() {
        let horizon = Horizon { steps: 10, steps_per_epoch: 5, images_per_step: 8 };
        let schedule = Constant { value: 0.05 };
        assert!(schedule.check(horizon).is_empty());
        assert!((0..10).all(|i| schedule.value(i, horizon) == 0.05));
    }
}
