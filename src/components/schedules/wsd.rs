//! A warm-up, a plateau, a decay.

use ijepa_registry::prelude::*;

use super::shared::{Ease, check_phases};

/// Settings of `kind: wsd`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wsd {
    /// Value of the plateau.
    #[schemars(range(min = 0.0, max = 1e30))]
    peak: f64,
    /// Length of the warm-up in epochs; fractions count, steps are rounded down.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e6), extend("x-aliases" = ["warmup"]))]
    warmup_epochs: f64,
    /// Length of the decay at the end of the run, in epochs.
    #[schemars(range(min = 0.0, max = 1e6), extend("x-aliases" = ["cooldown_epochs", "anneal_epochs"]))]
    decay_epochs: f64,
    /// Value that the warm-up leaves from.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e30))]
    start: f64,
    /// Value of the last step.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e30))]
    end: f64,
    /// Form of the decay.
    #[serde(default)]
    decay: Decay,
}

/// Form of the decay; `q` runs from 0 to 1 over it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Decay {
    /// A straight line: `1 - q` of the way is left.
    #[default]
    Linear,
    /// Half a cosine: `(1 + cos(pi q)) / 2` is left.
    Cosine,
    /// `1 - sqrt(q)` is left: steep at first (Hägele et al. 2024).
    OneMinusSqrt,
}

component! {
    /// Warm-up, stable, decay: a linear warm-up, a plateau, and a decay in the last epochs.
    ///
    /// The plateau does not know how long the run is: runs of several lengths share their steps up to the decay.
    /// Zhai et al. 2022 (arXiv 2106.04560, "cooldown"); the name is that of Hu et al. 2024 (arXiv 2404.06395), the
    /// square root that of Hägele et al. 2024 (arXiv 2405.18392). With `T` steps, `W` of them warm-up and `D` of them
    /// decay, and `t = step + 1`: `start + t/W (peak - start)` for `t < W`, `peak` until `t = T - D`, then
    /// `end + (peak - end) left(q)` with `q = (t - T + D) / D`.
    schedule "wsd" => Wsd, example = "{ peak: 0.001, warmup_epochs: 0.5, decay_epochs: 0.2 }",
    aliases = ["warmup_stable_decay" => "{ kind: wsd, peak: 1.0e-3, warmup_epochs: 10, decay_epochs: 20 }",
        "trapezoid" => "{ kind: wsd, peak: 1.0e-3, warmup_epochs: 10, decay_epochs: 20 }"]
}

impl Decay {
    /// What is left of the way from plateau to end.
    fn left(self, q: f64) -> f64 {
        match self {
            Decay::Linear => 1.0 - q,
            Decay::Cosine => 1.0 - Ease::Cosine.of(q),
            Decay::OneMinusSqrt => 1.0 - q.sqrt(),
        }
    }
}

impl Schedule for Wsd {
    fn check(&self, horizon: Horizon) -> Vec<Problem> {
        let phases = [("warmup_epochs", self.warmup_epochs), ("decay_epochs", self.decay_epochs)];
        check_phases(phases, horizon).into_iter().collect()
    }

    fn value(&self, step: u64, horizon: Horizon) -> f64 {
        let warmup = horizon.epochs_to_steps(self.warmup_epochs);
        let decay = horizon.epochs_to_steps(self.decay_epochs);
        let t = (step + 1).min(horizon.steps);
        if t < warmup {
            return self.start + t as f64 / warmup as f64 * (self.peak - self.start);
        }
        match t.saturating_sub(horizon.steps.saturating_sub(decay)) {
            0 => self.peak,
            into if into >= decay => self.end,
            into => self.end + (self.peak - self.end) * self.decay.left(into as f64 / decay as f64),
        }
    }

    fn end_points(&self, horizon: Horizon) -> (Option<f64>, Option<f64>) {
        let decays = horizon.epochs_to_steps(self.decay_epochs) > 0;
        (None, Some(if decays { self.end } else { self.peak }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Horizon = Horizon { steps: 10, steps_per_epoch: 5, images_per_step: 8 };

    fn trapezoid(decay: Decay) -> Wsd {
        Wsd { peak: 1.0, warmup_epochs: 0.5, decay_epochs: 0.8, start: 0.0, end: 0.2, decay }
    }

    fn values(schedule: &Wsd, run: Horizon) -> Vec<f64> {
        (0..run.steps).map(|i| (schedule.value(i, run) * 1e9).round() / 1e9).collect()
    }

    #[test]
    fn it_rises_stays_and_falls() {
        let wanted = [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2];
        assert_eq!(values(&trapezoid(Decay::Linear), RUN), wanted);
        let steep = values(&trapezoid(Decay::OneMinusSqrt), RUN);
        assert_eq!(steep[6..], [0.6, 0.434314575, 0.307179677, 0.2]);
        assert_eq!(values(&trapezoid(Decay::Cosine), RUN)[7], 0.6);
        assert_eq!(trapezoid(Decay::Linear).value(99, RUN), 0.2);
    }

    #[test]
    fn a_longer_run_has_the_same_steps_up_to_the_decay() {
        let longer = Horizon { steps: 20, ..RUN };
        let (short, long) =
            (values(&trapezoid(Decay::Linear), RUN), values(&trapezoid(Decay::Linear), longer));
        assert_eq!(short[..6], long[..6]);
        assert_eq!(short[6..], long[16..]);
    }

    #[test]
    fn phases_that_do_not_fit_the_run_are_refused() {
        let long = Wsd { decay_epochs: 1.6, ..trapezoid(Decay::Linear) };
        let problem = &long.check(RUN)[0];
        assert_eq!(problem.path, "decay_epochs");
        assert!(problem.message.contains("10 steps"), "{}", problem.message);
        assert!(trapezoid(Decay::Linear).check(RUN).is_empty());
    }
}
