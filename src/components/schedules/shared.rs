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
        assert_eq!(stretched(Horizon { steps: 35, steps_per_epoch: 7 }, 1.25), 43);
        assert_eq!(stretched(Horizon { steps: 100, steps_per_epoch: 195 }, 1.0), 100);
        assert_eq!(stretched(Horizon { steps: 0, steps_per_epoch: 0 }, 1.0), 0);
    }
}
