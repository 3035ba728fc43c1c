//! Step arithmetic shared by the schedules.

use ijepa_registry::prelude::*;

/// Point `i` of `count` equally spaced ones from `start` to `end`, both included; saturates at
/// `end`. A single point is `start`, as in `numpy.linspace`.
pub(super) fn linspace(start: f64, end: f64, i: u64, count: u64) -> f64 {
    match i {
        0 => start,
        i if i + 1 >= count => end,
        i => i as f64 * ((end - start) / (count - 1) as f64) + start,
    }
}

/// From `start` to `end` along half a cosine; `progress` is held within 0 to 1, because the
/// cosine would rise again beyond.
pub(super) fn half_cosine(start: f64, end: f64, progress: f64) -> f64 {
    end + 0.5 * (start - end) * (1.0 + (std::f64::consts::PI * progress.clamp(0.0, 1.0)).cos())
}

/// Form of a way from one value to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ease {
    /// Half a cosine.
    #[default]
    Cosine,
    /// A straight line.
    Linear,
}

impl Ease {
    /// Share of the way after a share `progress` of the time, both 0 to 1.
    pub(super) fn of(self, progress: f64) -> f64 {
        match self {
            Ease::Cosine => 0.5 * (1.0 - (std::f64::consts::PI * progress).cos()),
            Ease::Linear => progress,
        }
    }

    /// The value after a share `progress` of the time; both ends are met exactly.
    pub(super) fn between(self, from: f64, to: f64, progress: f64) -> f64 {
        if progress >= 1.0 { to } else { from + (to - from) * self.of(progress) }
    }
}

/// The problem of phases (setting, epochs) that leave a run no step of its own.
pub(super) fn check_phases<const N: usize>(phases: [(&str, f64); N], horizon: Horizon) -> Option<Problem> {
    if let Some((name, epochs)) = phases.iter().find(|(_, epochs)| epochs.is_nan() || *epochs < 0.0) {
        return Some(Problem::new(*name, format!("{epochs} epochs; 0 or more are allowed")));
    }
    let steps: u64 = phases.iter().map(|(_, epochs)| horizon.epochs_to_steps(*epochs)).sum();
    let (name, _) = phases.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let names: Vec<String> = phases.iter().map(|(name, epochs)| format!("{name}: {epochs}")).collect();
    let sentence = || {
        format!(
            "`{}` takes {steps} steps, but the whole run has {}; fewer are allowed",
            names.join("` and `"),
            horizon.steps
        )
    };
    let run = horizon.steps as f64 / horizon.steps_per_epoch.max(1) as f64;
    (steps >= horizon.steps).then(|| {
        Problem::new(*name, sentence())
            .help(format!("train longer than {run} epochs, or write less here; for a short trial:"))
            .instead(run / 10.0)
    })
}

/// Steps of a run stretched by `scale`, rounded down: Meta's `int(ipe_scale * epochs * ipe)`.
pub(super) fn stretched(horizon: Horizon, scale: f64) -> u64 {
    let (steps, per_epoch) = (horizon.steps, horizon.steps_per_epoch.max(1));
    if steps % per_epoch == 0 {
        // The reference's order of products: another one can round to the neighbouring step.
        (scale * (steps / per_epoch) as f64 * per_epoch as f64) as u64
    } else {
        (scale * steps as f64) as u64
    }
}

/// The problem of a stretch that would end a schedule before its run.
pub(super) fn check_scale(scale: f64) -> Option<Problem> {
    let sentence = || format!("{scale} would end the schedule before the run does; 1 or more is allowed");
    (scale.is_nan() || scale < 1.0).then(|| Problem::new("scale", sentence()))
}

/// The problem of a stretch that the chosen convention does not use.
pub(super) fn check_scale_unused(scale: f64, convention: &str) -> Option<Problem> {
    let sentence =
        || format!("{scale} has no effect with `convention: {convention}`; only 1 is allowed there");
    (scale != 1.0).then(|| Problem::new("scale", sentence()).help("remove `scale`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linspace_hits_both_ends_and_survives_one_point() {
        let points: Vec<f64> = (0..5).map(|i| linspace(1.0, 2.0, i, 5)).collect();
        assert_eq!(points, [1.0, 1.25, 1.5, 1.75, 2.0]);
        assert_eq!((linspace(1.0, 2.0, 9, 5), linspace(1.0, 2.0, 0, 1)), (2.0, 1.0));
    }

    #[test]
    fn the_stretch_is_rounded_down() {
        assert_eq!(stretched(Horizon { steps: 35, steps_per_epoch: 7, images_per_step: 8 }, 1.25), 43);
        assert_eq!(stretched(Horizon { steps: 100, steps_per_epoch: 195, images_per_step: 8 }, 1.0), 100);
        assert_eq!(stretched(Horizon { steps: 0, steps_per_epoch: 0, images_per_step: 0 }, 1.0), 0);
    }
}
