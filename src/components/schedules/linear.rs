//! A straight line over the run.

use ijepa_registry::prelude::*;

use super::shared::{check_scale, check_scale_unused, linspace};

/// Settings of `kind: linear`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Linear {
    /// Value of the first step.
    #[schemars(range(min = 0.0, max = 1e30))]
    start: f64,
    /// Value the line ends at.
    #[schemars(range(min = 0.0, max = 1e30))]
    end: f64,
    /// Which step is the end of the line.
    #[serde(default)]
    convention: Convention,
    /// Length of the line in runs (`ipe_scale` of the I-JEPA code): with 1.25 the run stops after
    /// four fifths of it. Only with `convention: exclusive`.
    #[serde(default = "one")]
    #[schemars(range(min = 1.0, max = 1000.0))]
    scale: f64,
}

/// Which step is the end of the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Convention {
    /// The last step of the run (`numpy.linspace`): the end is reached exactly.
    #[default]
    Inclusive,
    /// The step after the last one: the end is approached, never reached.
    Exclusive,
}

fn one() -> f64 {
    1.0
}

component! {
    /// A straight line from `start` to `end` over the run.
    ///
    /// The EMA momentum of both published recipes, 0.996 to 1 (Assran et al. 2023, section 4).
    /// In step `i` of `T`:
    ///
    /// - `inclusive`, `sombersomni/ijepa-homemade@fea7df9`: `start + i (end - start) / (T - 1)`;
    /// - `exclusive`, Meta's I-JEPA code: `start + i (end - start) / (scale T)`.
    schedule "linear" => Linear, example = "{ start: 0.996, end: 1.0 }"
}

impl Schedule for Linear {
    fn check(&self, _horizon: Horizon) -> Vec<Problem> {
        let problem = match self.convention {
            Convention::Inclusive => check_scale_unused(self.scale, "inclusive"),
            Convention::Exclusive => check_scale(self.scale),
        };
        problem.into_iter().collect()
    }
    fn value(&self, step: u64, horizon: Horizon) -> f64 {
        match self.convention {
            Convention::Inclusive => linspace(self.start, self.end, step, horizon.steps),
            Convention::Exclusive => {
                let steps = horizon.steps.max(1) as f64 * self.scale;
                self.start + (step as f64).min(steps) * (self.end - self.start) / steps
            }
        }
    }
    fn end_points(&self, horizon: Horizon) -> (Option<f64>, Option<f64>) {
        let reaches_end = self.convention == Convention::Inclusive && horizon.steps > 1;
        (Some(self.start), reaches_end.then_some(self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Horizon = Horizon { steps: 5, steps_per_epoch: 5, images_per_step: 8 };

    fn line(convention: Convention, scale: f64) -> Linear {
        Linear { start: 0.0, end: 4.0, convention, scale }
    }

    #[test]
    fn conventions_differ_in_the_end() {
        let values = |l: Linear| -> Vec<f64> { (0..5).map(|i| l.value(i, RUN)).collect() };
        assert_eq!(values(line(Convention::Inclusive, 1.0)), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(values(line(Convention::Exclusive, 1.6)), [0.0, 0.5, 1.0, 1.5, 2.0]);
        assert_eq!(line(Convention::Exclusive, 1.0).value(99, RUN), 4.0);
    }

    #[test]
    fn a_scale_that_does_nothing_or_overruns_is_refused() {
        assert!(line(Convention::Exclusive, 1.25).check(RUN).is_empty());
        assert!(line(Convention::Inclusive, 1.25).check(RUN)[0].message.contains("1.25 has no effect"));
        assert!(line(Convention::Exclusive, 0.5).check(RUN)[0].message.contains("1 or more"));
    }
}
