//! Bright values inverted.

use ijepa_registry::prelude::*;

use super::shared::check_probability;

/// Settings of `solarize`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Solarize {
    /// Probability that an image is solarized, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    probability: f64,
    /// Values from here on are inverted; of values 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    threshold: f64,
}

impl Default for Solarize {
    fn default() -> Self {
        Solarize { probability: 0.2, threshold: 0.5 }
    }
}

component! {
    /// Inverts all values at or above a threshold, with a probability.
    ///
    /// torchvision's `RandomSolarize`: `v` becomes `1 - v` where `v >= threshold`. Probability 0.2 as BYOL's second
    /// view (Grill et al. 2020, arXiv 2006.07733, appendix B).
    augmentation "solarize" => Solarize, example = "{ probability: 0.2, threshold: 0.5 }",
    aliases = ["random_solarize" => "solarize", "solarise" => "solarize"]
}

impl Augmentation for Solarize {
    fn check(&self, _: ImageShape) -> Vec<Problem> {
        let threshold = || format!("is {}; allowed are 0 to 1", self.threshold);
        let wrong = !(0.0..=1.0).contains(&self.threshold);
        let wrong = wrong.then(|| Problem::new("threshold", threshold()));
        check_probability(self.probability).into_iter().chain(wrong).collect()
    }

    fn apply(&self, image: &mut Image, stream: &mut Stream) {
        if stream.chance(self.probability) {
            let threshold = self.threshold as f32;
            image.data.iter_mut().filter(|v| **v >= threshold).for_each(|v| *v = 1.0 - *v);
        }
    }

    fn needs_unit_range(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 1, width: 4 };

    #[test]
    fn bright_values_are_inverted() {
        let mut image = Image { shape: SHAPE, data: vec![0.0, 0.25, 0.5, 1.0] };
        Solarize { probability: 1.0, threshold: 0.5 }.apply(&mut image, &mut Stream::new(0, "test", 0, 0));
        assert_eq!(image.data, [0.0, 0.25, 0.5, 0.0]);
    }

    #[test]
    fn settings_outside_0_to_1_are_refused() {
        assert!(Solarize::default().check(SHAPE).is_empty());
        assert_eq!(Solarize { probability: -0.1, threshold: f64::NAN }.check(SHAPE).len(), 2);
    }
}
