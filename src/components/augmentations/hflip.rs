//! Mirroring.

use ijepa_registry::prelude::*;

/// Settings of `hflip`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Hflip {
    /// Probability that an image is mirrored, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    probability: f64,
}

impl Default for Hflip {
    fn default() -> Self {
        Hflip { probability: 0.5 }
    }
}

component! {
    /// Mirrors an image left to right with a probability.
    ///
    /// The same as torchvision's `RandomHorizontalFlip`. Where the two sides mean different
    /// things (text, left-right position labels) it should be left out.
    augmentation "hflip" => Hflip, example = "{ probability: 0.5 }",
    aliases = ["flip" => "hflip", "horizontal_flip" => "hflip", "random_horizontal_flip" => "hflip"]
}

impl Augmentation for Hflip {
    fn check(&self, _: ImageShape) -> Vec<Problem> {
        if (0.0..=1.0).contains(&self.probability) {
            return vec![];
        }
        vec![Problem::new("probability", format!("is {}; allowed are 0 to 1", self.probability))]
    }

    fn apply(&self, image: &mut Image, stream: &mut Stream) {
        let image_ops = self.image_ops(image.shape, stream);
        image_ops.iter().flatten().for_each(|op| op.apply(image));
    }

    fn image_ops(&self, _: ImageShape, stream: &mut Stream) -> Option<Vec<ImageOp>> {
        Some(stream.chance(self.probability).then_some(ImageOp::Flip).into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 2, width: 3 };

    fn apply(probability: f64, key: u64) -> Vec<f32> {
        let mut image = Image { shape: SHAPE, data: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] };
        Hflip { probability }.apply(&mut image, &mut Stream::new(0, "test", 0, key));
        image.data
    }

    #[test]
    fn rows_are_reversed() {
        assert_eq!(apply(1.0, 0), [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
        assert_eq!(apply(0.0, 0), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn the_probability_is_kept() {
        let flipped = (0..4000).filter(|&key| apply(0.25, key)[0] == 3.0).count();
        assert!((900..1100).contains(&flipped), "{flipped} of 4000");
    }

    #[test]
    fn a_probability_outside_0_to_1_is_refused() {
        assert!(Hflip::default().check(SHAPE).is_empty());
        for probability in [-0.1, 1.5, f64::NAN] {
            let problems = Hflip { probability }.check(SHAPE);
            assert_eq!(problems[0].path, "probability");
            assert!(problems[0].message.contains(&probability.to_string()));
        }
    }
}
