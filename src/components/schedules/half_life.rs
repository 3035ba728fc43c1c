//! A momentum said by how long it remembers.

use ijepa_registry::prelude::*;

/// Settings of `kind: half_life`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HalfLife {
    /// Images after which half of the average has been replaced, at the first step.
    #[schemars(range(min = 1e-3, max = 1e15), extend("x-aliases" = ["images", "start_images"]))]
    start: f64,
    /// The same at the last step; absent: `start`, all along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1e-3, max = 1e15), extend("x-aliases" = ["end_images"]))]
    end: Option<f64>,
}

component! {
    /// A momentum given as a half-life in images, constant or growing by equal factors.
    ///
    /// A momentum of 0.996 remembers 1.3 epochs of CIFAR-10 at batch size 256, and a fifth of an epoch of ImageNet
    /// at 2,048: copied to another batch size or data set it means something else. A half-life of `h` images does
    /// not: with `b` images a step the momentum is `2^(-b / h)`, and in step `i` of `T`
    /// `h = start (end / start)^(i / (T - 1))`.
    schedule "half_life" => HalfLife, example = "{ start: 4000, end: 500000 }"
}

impl HalfLife {
    /// Half-life in images.
    fn images(&self, step: u64, horizon: Horizon) -> f64 {
        let last = horizon.steps.saturating_sub(1);
        let end = self.end.unwrap_or(self.start);
        match (step, last) {
            (0, _) => self.start,
            (step, last) if step >= last => end,
            _ => self.start * (end / self.start).powf(step as f64 / last as f64),
        }
    }
}

impl Schedule for HalfLife {
    fn check(&self, _: Horizon) -> Vec<Problem> {
        let bad = |name: &str, images: f64| {
            let message = format!("a half-life of {images} images; must be above 0 and finite");
            (!(images > 0.0 && images.is_finite())).then(|| Problem::new(name, message))
        };
        bad("start", self.start).into_iter().chain(self.end.and_then(|end| bad("end", end))).collect()
    }

    fn value(&self, step: u64, horizon: Horizon) -> f64 {
        (-(horizon.images_per_step.max(1) as f64) / self.images(step, horizon)).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Horizon = Horizon { steps: 9, steps_per_epoch: 3, images_per_step: 100 };

    #[test]
    fn half_of_the_average_is_left_after_the_half_life() {
        let schedule = HalfLife { start: 300.0, end: None };
        let left: f64 = (0..3).map(|i| schedule.value(i, RUN)).product();
        assert!((left - 0.5).abs() < 1e-15, "{left}");
        // Another batch size, the same memory in images.
        let finer = Horizon { images_per_step: 50, ..RUN };
        let left: f64 = (0..6).map(|i| schedule.value(i, finer)).product();
        assert!((left - 0.5).abs() < 1e-15, "{left}");
    }

    #[test]
    fn it_grows_by_equal_factors() {
        let schedule = HalfLife { start: 100.0, end: Some(25_600.0) };
        let images: Vec<f64> = (0..9).map(|i| schedule.images(i, RUN).round()).collect();
        assert_eq!(images, [100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0, 12_800.0, 25_600.0]);
        assert_eq!(schedule.value(0, RUN), 0.5);
    }

    #[test]
    fn a_half_life_of_nothing_is_refused() {
        assert_eq!(HalfLife { start: 0.0, end: Some(f64::NAN) }.check(RUN).len(), 2);
    }
}
