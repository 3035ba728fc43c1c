//! One rise and one fall.

use ijepa_registry::prelude::*;

use super::shared::Ease;

/// Settings of `kind: one_cycle`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneCycle {
    /// Greatest value.
    #[schemars(range(min = 0.0, max = 1e30), extend("x-aliases" = ["max_lr", "max"]))]
    peak: f64,
    /// Share of the run that rises (`pct_start` of PyTorch).
    #[serde(default = "rise")]
    #[schemars(range(min = 0.0, max = 1.0), extend("x-aliases" = ["pct_start"]))]
    rise: f64,
    /// Value of the first step, divided by `peak`: PyTorch's `1 / div_factor`.
    #[serde(default = "start_factor")]
    #[schemars(range(min = 0.0, max = 1.0))]
    start_factor: f64,
    /// Value of the last step, divided by that of the first one: PyTorch's `1 / final_div_factor`.
    #[serde(default = "end_factor")]
    #[schemars(range(min = 0.0, max = 1.0))]
    end_factor: f64,
    /// Form of rise and fall.
    #[serde(default)]
    shape: Ease,
}

fn rise() -> f64 {
    0.3
}
fn start_factor() -> f64 {
    0.04
}
fn end_factor() -> f64 {
    1e-4
}

component! {
    /// One rise to `peak` and one fall to almost nothing, over the whole run.
    ///
    /// Smith & Topin 2019 (arXiv 1708.07120) in the two-phase form of PyTorch's `OneCycleLR`, whose values it
    /// repeats. With `T` steps the peak lies at step `rise T - 1`, the end at step `T - 1`; between them half a cosine
    /// or a line. The momentum of the optimizer does not cycle.
    schedule "one_cycle" => OneCycle, example = "{ peak: 0.002 }",
    aliases = ["onecycle" => "{ kind: one_cycle, peak: 2.0e-3 }"]
}

impl Schedule for OneCycle {
    fn check(&self, horizon: Horizon) -> Vec<Problem> {
        // The peak lies after the first step and before the last one.
        let peak_at = self.rise * horizon.steps as f64 - 1.0;
        let inside = peak_at > 0.0 && peak_at < horizon.steps as f64 - 1.0;
        let message = format!(
            "a share of {} of {} steps has its peak at step {peak_at}; it must lie after step 0 and before the last one",
            self.rise, horizon.steps
        );
        (!inside)
            .then(|| Problem::new("rise", message).help("a share near 0.3 is usual"))
            .into_iter()
            .collect()
    }

    fn value(&self, step: u64, horizon: Horizon) -> f64 {
        let (first, last) = (self.peak * self.start_factor, self.peak * self.start_factor * self.end_factor);
        let end = horizon.steps.saturating_sub(1) as f64;
        let (at, peak_at) = ((step as f64).min(end), self.rise * horizon.steps as f64 - 1.0);
        if at <= peak_at {
            return self.shape.between(first, self.peak, at / peak_at);
        }
        self.shape.between(self.peak, last, (at - peak_at) / (end - peak_at))
    }

    fn end_points(&self, _: Horizon) -> (Option<f64>, Option<f64>) {
        let first = self.peak * self.start_factor;
        (Some(first), Some(first * self.end_factor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shape: Ease, wanted: [f64; 10]) {
        let schedule = OneCycle {
            peak: 1.0,
            rise: rise(),
            start_factor: start_factor(),
            end_factor: end_factor(),
            shape,
        };
        let run = Horizon { steps: 10, steps_per_epoch: 5, images_per_step: 8 };
        assert!(schedule.check(run).is_empty());
        for (step, want) in wanted.into_iter().enumerate() {
            let got = schedule.value(step as u64, run);
            assert!((got - want).abs() < 1e-12, "step {step}: {got}, not {want}");
        }
    }

    #[test]
    fn values_are_those_of_pytorch() {
        // torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10), torch 2.11
        check(Ease::Cosine, COSINE);
        check(Ease::Linear, LINEAR);
    }

    #[test]
    fn a_peak_outside_the_run_is_refused() {
        let schedule =
            OneCycle { peak: 1.0, rise: 0.1, start_factor: 0.1, end_factor: 0.1, shape: Ease::Linear };
        let run = Horizon { steps: 10, steps_per_epoch: 5, images_per_step: 8 };
        assert_eq!(schedule.check(run)[0].path, "rise");
        assert!(schedule.check(Horizon { steps: 11, ..run }).is_empty());
    }

    const COSINE: [f64; 10] = [
        0.040000000000000036,
        0.52,
        1.0,
        0.9504846320134737,
        0.8117456539497631,
        0.6112620219362893,
        0.38874197806371075,
        0.18825834605023697,
        0.049519367986526286,
        4e-06,
    ];
    const LINEAR: [f64; 10] = [
        0.04,
        0.52,
        1.0,
        0.8571434285714286,
        0.7142868571428571,
        0.5714302857142857,
        0.42857371428571434,
        0.2857171428571429,
        0.14286057142857145,
        4.000000000004e-06,
    ];
}
