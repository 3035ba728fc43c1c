//! Mirroring.

use ijepa_registry::prelude::*;

use super::shared::check_probability;

/// Settings of `hflip`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Hflip {
    /// Probability that an image is mirrored, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    probability: f64,
    /// Whether every epoch draws anew.
    #[serde(skip_serializing_if = "Draws::is_random")]
    draws: Draws,
}

/// How draws of different epochs belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Draws {
    /// Every epoch draws anew, as torchvision does.
    #[default]
    Random,
    /// The first epoch draws; afterwards an image is mirrored in every second epoch, so that each side is seen
    /// equally often (Jordan 2024, arXiv 2404.00498, "alternating flip"). `probability` is that of the first epoch.
    Alternate,
}

impl Draws {
    fn is_random(&self) -> bool {
        *self == Draws::Random
    }
}

impl Default for Hflip {
    fn default() -> Self {
        Hflip { probability: 0.5, draws: Draws::Random }
    }
}

component! {
    /// Mirrors an image left to right with a probability.
    ///
    /// The same as torchvision's `RandomHorizontalFlip`. Where the two sides mean different
    /// things (text, left-right position labels) it should be left out. `draws: alternate` shows each image both
    /// ways equally often.
    augmentation "hflip" => Hflip, example = "{ probability: 0.5 }",
    aliases = ["flip" => "hflip", "horizontal_flip" => "hflip", "random_horizontal_flip" => "hflip"]
}

impl Augmentation for Hflip {
    fn check(&self, _: ImageShape) -> Vec<Problem> {
        check_probability(self.probability).into_iter().collect()
    }

    fn apply(&self, image: &mut Image, stream: &mut Stream) {
        self.image_ops(image.shape, stream).iter().for_each(|op| op.apply(image));
    }

    fn as_image_ops(&self) -> Option<&dyn AsImageOps> {
        Some(self)
    }
}

impl AsImageOps for Hflip {
    fn image_ops(&self, _: ImageShape, stream: &mut Stream) -> Vec<ImageOp> {
        self.mirrors(stream).then_some(ImageOp::Flip).into_iter().collect()
    }
}

impl Hflip {
    fn mirrors(&self, stream: &mut Stream) -> bool {
        match self.draws {
            Draws::Random => stream.chance(self.probability),
            Draws::Alternate => {
                let odd_epoch = stream.first_counter() % 2 == 1;
                stream.with_first_counter(0).chance(self.probability) != odd_epoch
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 2, width: 3 };

    fn apply(probability: f64, key: u64) -> Vec<f32> {
        let mut image = Image { shape: SHAPE, data: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] };
        Hflip { probability, draws: Draws::Random }.apply(&mut image, &mut Stream::new(0, "test", 0, key));
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
    fn alternating_draws_mirror_every_second_epoch() {
        let hflip = Hflip { probability: 0.5, draws: Draws::Alternate };
        let mirrors = |epoch, key| hflip.mirrors(&mut Stream::new(0, "test", epoch, key));
        let first = (0..1000).filter(|&key| mirrors(0, key)).count();
        assert!((450..550).contains(&first), "{first} of 1000");
        assert!((0..100).all(|key| (0..6).all(|epoch| mirrors(epoch, key) != mirrors(epoch + 1, key))));
    }

    #[test]
    fn a_probability_outside_0_to_1_is_refused() {
        assert!(Hflip::default().check(SHAPE).is_empty());
        for probability in [-0.1, 1.5, f64::NAN] {
            let problems = Hflip { probability, draws: Draws::Random }.check(SHAPE);
            assert_eq!(problems[0].path, "probability");
            assert!(problems[0].message.contains(&probability.to_string()));
        }
    }
}
