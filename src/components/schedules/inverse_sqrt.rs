//! A linear warm-up, then the inverse square root of the step.

use ijepa_registry::prelude::*;

use super::shared::check_phases;

/// Settings of `kind: inverse_sqrt`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct InverseSqrt {
    /// Value at the end of the warm-up.
    #[schemars(range(min = 0.0, max = 1e30))]
    peak: f64,
    /// Length of the warm-up in epochs, at least one step.
    #[schemars(range(min = 0.0, max = 1e6), extend("x-aliases" = ["warmup"]))]
    warmup_epochs: f64,
    /// Value that the warm-up leaves from.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e30))]
    start: f64,
}

component! {
    /// A linear warm-up, then a fall with the inverse square root of the step.
    ///
    /// Vaswani et al. 2017 (arXiv 1706.03762, section 5.3). With `W` steps of warm-up and `t = step + 1`:
    /// `start + t/W (peak - start)` for `t < W`, then `peak sqrt(W / t)`. It does not know how long the run is.
    schedule "inverse_sqrt" => InverseSqrt, example = "{ peak: 0.001, warmup_epochs: 0.5 }",
    aliases = ["noam" => "{ kind: inverse_sqrt, peak: 1.0e-3, warmup_epochs: 10 }",
        "rsqrt" => "{ kind: inverse_sqrt, peak: 1.0e-3, warmup_epochs: 10 }"]
}

impl Schedule for InverseSqrt {
    fn check(&self, horizon: Horizon) -> Vec<Problem> {
        check_phases([("warmup_epochs", self.warmup_epochs)], horizon).into_iter().collect()
    }

    fn value(&self, step: u64, horizon: Horizon) -> f64 {
        let warmup = horizon.epochs_to_steps(self.warmup_epochs).max(1);
        let t = step + 1;
        if t < warmup {
            return self.start + t as f64 / warmup as f64 * (self.peak - self.start);
        }
        self.peak * (warmup as f64 / t as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Horizon = Horizon { steps: 16, steps_per_epoch: 8, images_per_step: 8 };

    #[test]
    fn four_times_the_steps_are_half_the_value() {
        let schedule = InverseSqrt { peak: 1.0, warmup_epochs: 0.5, start: 0.0 };
        let at = [0, 2, 3, 15].map(|step| schedule.value(step, RUN));
        assert_eq!(at, [0.25, 0.75, 1.0, 0.5]);
        let unwarmed = InverseSqrt { warmup_epochs: 0.0, ..schedule };
        assert_eq!([0, 3].map(|step| unwarmed.value(step, RUN)), [1.0, 0.5]);
    }

    #[test]
    fn a_warmup_of_the_whole_run_is_refused() {
        let endless = InverseSqrt { peak: 1.0, warmup_epochs: 2.0, start: 0.0 };
        assert_eq!(endless.check(RUN)[0].path, "warmup_epochs");
    }
}
