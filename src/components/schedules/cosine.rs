//! Half a cosine over the run, without warm-up.

use ijepa_registry::prelude::*;

use super::shared::{check_scale, half_cosine, stretched};

/// Settings of `kind: cosine`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Cosine {
    /// Value that the curve leaves from, one step before the first.
    #[schemars(range(min = 0.0, max = 1e30))]
    start: f64,
    /// Value that the curve ends at.
    #[schemars(range(min = 0.0, max = 1e30))]
    end: f64,
    /// Length of the curve in runs (`ipe_scale` of the I-JEPA code): with 1.25 the run stops after
    /// four fifths of it and `end` is not reached.
    #[serde(default = "one")]
    #[schemars(range(min = 1.0, max = 1000.0))]
    scale: f64,
}

fn one() -> f64 {
    1.0
}

component! {
    /// Half a cosine from `start` to `end` over the run.
    ///
    /// The weight decay of Meta's I-JEPA code, 0.04 to 0.4. With `T' = floor(scale T)` and
    /// `t = step + 1` (the first step has already left `start`):
    /// `end + (start - end) (1 + cos(pi t / T')) / 2`, never beyond `end`.
    schedule "cosine" => Cosine, example = "{ start: 0.04, end: 0.4 }",
    aliases = ["cosine_annealing" => "{ kind: cosine, start: 1.0e-3, end: 0 }"]
}

impl Schedule for Cosine {
    fn check(&self, _horizon: Horizon) -> Vec<Problem> {
        check_scale(self.scale).into_iter().collect()
    }
    fn value(&self, step: u64, horizon: Horizon) -> f64 {
        let length = stretched(horizon, self.scale).max(1);
        let value = half_cosine(self.start, self.end, (step + 1) as f64 / length as f64);
        // Rounding alone could step past the end.
        if self.end <= self.start { value.max(self.end) } else { value.min(self.end) }
    }
    fn end_points(&self, horizon: Horizon) -> (Option<f64>, Option<f64>) {
        (None, (stretched(horizon, self.scale) <= horizon.steps).then_some(self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Horizon = Horizon { steps: 4, steps_per_epoch: 2, images_per_step: 8 };

    #[test]
    fn passes_the_middle_and_stays_at_the_end() {
        let up = Cosine { start: 0.0, end: 2.0, scale: 1.0 };
        assert!((up.value(1, RUN) - 1.0).abs() < 1e-15);
        assert_eq!((up.value(3, RUN), up.value(9, RUN)), (2.0, 2.0));
    }

    #[test]
    fn a_stretched_curve_is_cut_off() {
        let down = Cosine { start: 2.0, end: 0.0, scale: 2.0 };
        assert!((down.value(3, RUN) - 1.0).abs() < 1e-15);
        assert_eq!(down.end_points(RUN), (None, None));
        assert_eq!(Cosine { start: 2.0, end: 0.0, scale: 0.9 }.check(RUN)[0].path, "scale");
    }
}
