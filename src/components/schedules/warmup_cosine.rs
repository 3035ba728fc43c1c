//! A linear warm-up, then half a cosine.

use ijepa_registry::prelude::*;

use super::shared::{check_scale, check_scale_unused, half_cosine, linspace, stretched};

/// Settings of `kind: warmup_cosine`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WarmupCosine {
    /// Value at the end of the warm-up.
    #[schemars(range(min = 0.0, max = 1e30))]
    peak: f64,
    /// Length of the warm-up in epochs; fractions count, steps are rounded down.
    #[schemars(range(min = 0.0, max = 1e6), extend("x-aliases" = ["warmup"]))]
    warmup_epochs: f64,
    /// Value that the warm-up leaves from.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e30))]
    start: f64,
    /// Value that the cosine ends at.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e30))]
    end: f64,
    /// How steps are counted.
    #[serde(default)]
    convention: Convention,
    /// Length of the whole curve in runs (`ipe_scale` of the I-JEPA code): with 1.25 the run
    /// stops before the cosine reaches `end`. Only with `convention: meta`.
    #[serde(default = "one")]
    #[schemars(range(min = 1.0, max = 1000.0))]
    scale: f64,
}

/// How steps are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Convention {
    /// Meta's I-JEPA code: the first step has already left `start`, the last one is at `end`.
    #[default]
    Meta,
    /// `sombersomni/ijepa-homemade@fea7df9`: the first step is at `start`, `peak` occurs twice, and the last
    /// step is one short of `end`.
    Reference,
}

fn one() -> f64 {
    1.0
}

component! {
    /// A linear warm-up from `start` to `peak`, then half a cosine to `end`.
    ///
    /// The learning rate of both published recipes. With `T` steps, `W` of them warm-up:
    ///
    /// - `meta`: `t = step + 1`, `T' = floor(scale T)`; `start + t/W (peak - start)` for `t < W`,
    ///   then `end + (peak - end) (1 + cos(pi p)) / 2` with `p = (t - W) / (T' - W)`;
    /// - `reference`: `W` equally spaced values from `start` to `peak`, both included, then the
    ///   same cosine with `p = (step - W) / (T - W)`, which starts at `peak` again. From
    ///   `start: 0` the first step moves nothing.
    schedule "warmup_cosine" => WarmupCosine,
    example = "{ peak: 0.001, start: 0.0002, end: 1.0e-6, warmup_epochs: 0.5 }",
    aliases = ["cosine_warmup" => "{ kind: warmup_cosine, peak: 1.0e-3, warmup_epochs: 10 }"]
}

impl WarmupCosine {
    fn meta(&self, step: u64, warmup: u64, horizon: Horizon) -> f64 {
        let t = step + 1;
        if t < warmup {
            return self.start + t as f64 / warmup as f64 * (self.peak - self.start);
        }
        let length = stretched(horizon, self.scale).saturating_sub(warmup).max(1);
        half_cosine(self.peak, self.end, (t - warmup) as f64 / length as f64).max(self.end)
    }
    fn reference(&self, step: u64, warmup: u64, horizon: Horizon) -> f64 {
        // Steps beyond the run keep its last value.
        let step = step.min(horizon.steps.saturating_sub(1));
        if step < warmup {
            return linspace(self.start, self.peak, step, warmup);
        }
        let length = horizon.steps.saturating_sub(warmup).max(1);
        half_cosine(self.peak, self.end, (step - warmup) as f64 / length as f64)
    }
    fn check_warmup(&self, horizon: Horizon) -> Option<Problem> {
        let epochs = self.warmup_epochs;
        if epochs.is_nan() || epochs < 0.0 {
            return Some(Problem::new("warmup_epochs", format!("{epochs} epochs; 0 or more are allowed")));
        }
        let warmup = horizon.epochs_to_steps(epochs);
        let sentence = || {
            format!(
                "{epochs} epochs of warm-up are {warmup} steps, but the whole run has {}; fewer are allowed",
                horizon.steps
            )
        };
        let run = horizon.steps as f64 / horizon.steps_per_epoch.max(1) as f64;
        (warmup >= horizon.steps).then(|| {
            Problem::new("warmup_epochs", sentence())
                .help(format!("train longer than {run} epochs, or warm up for less; for a short trial:"))
                .instead(run / 10.0)
        })
    }
}

impl Schedule for WarmupCosine {
    fn check(&self, horizon: Horizon) -> Vec<Problem> {
        let meta = self.convention == Convention::Meta;
        let scale = if meta { check_scale(self.scale) } else { check_scale_unused(self.scale, "reference") };
        let upside_down = (meta && self.end > self.peak).then(|| {
            let sentence =
                format!("{} is above `peak` ({}), where this convention never goes", self.end, self.peak);
            Problem::new("end", sentence).help("a rising value is `kind: cosine` or `kind: linear`")
        });
        self.check_warmup(horizon).into_iter().chain(scale).chain(upside_down).collect()
    }
    fn value(&self, step: u64, horizon: Horizon) -> f64 {
        let warmup = horizon.epochs_to_steps(self.warmup_epochs);
        match self.convention {
            Convention::Meta => self.meta(step, warmup, horizon),
            Convention::Reference => self.reference(step, warmup, horizon),
        }
    }
    fn end_points(&self, horizon: Horizon) -> (Option<f64>, Option<f64>) {
        let warmup = horizon.epochs_to_steps(self.warmup_epochs);
        match self.convention {
            Convention::Meta => (None, (stretched(horizon, self.scale) <= horizon.steps).then_some(self.end)),
            Convention::Reference => (Some(if warmup > 0 { self.start } else { self.peak }), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Horizon = Horizon { steps: 8, steps_per_epoch: 4, images_per_step: 8 };

    fn curve(convention: Convention) -> WarmupCosine {
        WarmupCosine { peak: 1.0, warmup_epochs: 0.5, start: 0.25, end: 0.125, convention, scale: 1.0 }
    }

    #[test]
    fn meta_starts_late_and_ends_exactly() {
        let meta = curve(Convention::Meta);
        assert_eq!((meta.value(0, RUN), meta.value(1, RUN)), (0.625, 1.0));
        assert_eq!((meta.value(7, RUN), meta.value(70, RUN)), (0.125, 0.125));
    }

    #[test]
    fn reference_holds_the_peak_twice_and_stays_above_the_end() {
        let reference = curve(Convention::Reference);
        let values: Vec<f64> = (0..3).map(|i| reference.value(i, RUN)).collect();
        assert_eq!(values, [0.25, 1.0, 1.0]);
        assert!(reference.value(7, RUN) > 0.125);
        assert_eq!(reference.value(7, RUN), reference.value(8, RUN));
    }

    #[test]
    fn an_endless_warmup_is_refused() {
        let endless = WarmupCosine { warmup_epochs: 2.0, ..curve(Convention::Meta) };
        let problem = &endless.check(RUN)[0];
        assert_eq!(problem.path, "warmup_epochs");
        assert!(problem.message.contains("are 8 steps, but the whole run has 8"), "{}", problem.message);
        assert!(curve(Convention::Meta).check(RUN).is_empty());
    }

    #[test]
    fn a_rising_meta_curve_is_refused() {
        let rising = WarmupCosine { end: 2.0, ..curve(Convention::Meta) };
        assert_eq!(rising.check(RUN)[0].path, "end");
        assert!(WarmupCosine { convention: Convention::Reference, ..rising }.check(RUN).is_empty());
    }
}
