//! Colour taken away.

use ijepa_registry::prelude::*;

use super::shared::{check_probability, check_rgb, luma, map_pixels};

/// Settings of `grayscale`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Grayscale {
    /// Probability that an image loses its colour, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    probability: f64,
}

impl Default for Grayscale {
    fn default() -> Self {
        Grayscale { probability: 0.2 }
    }
}

component! {
    /// Replaces red, green and blue of an image by its luma, with a probability.
    ///
    /// torchvision's `RandomGrayscale`: `0.2989 R + 0.587 G + 0.114 B` in all three channels. The default is that of
    /// SimCLR (Chen et al. 2020, arXiv 2002.05709, appendix A).
    augmentation "grayscale" => Grayscale, example = "{ probability: 0.2 }",
    aliases = ["random_grayscale" => "grayscale", "greyscale" => "grayscale"]
}

impl Augmentation for Grayscale {
    fn check(&self, shape: ImageShape) -> Vec<Problem> {
        check_probability(self.probability).into_iter().chain(check_rgb(shape)).collect()
    }

    fn apply(&self, image: &mut Image, stream: &mut Stream) {
        if stream.chance(self.probability) {
            map_pixels(image, |pixel| [luma(pixel); 3]);
        }
    }

    fn needs_unit_range(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_channels_hold_the_luma() {
        let shape = ImageShape { channels: 3, height: 1, width: 2 };
        let mut image = Image { shape, data: vec![1.0, 0.5, 0.0, 0.5, 0.0, 0.5] };
        Grayscale { probability: 0.0 }.apply(&mut image, &mut Stream::new(0, "test", 0, 0));
        assert_eq!(image.data[..2], [1.0, 0.5]);
        Grayscale { probability: 1.0 }.apply(&mut image, &mut Stream::new(0, "test", 0, 0));
        assert_eq!(image.data[0], 0.2989);
        assert!((image.data[1] - 0.49995).abs() < 1e-6);
        assert_eq!(image.data[..2], image.data[4..]);
    }

    #[test]
    fn one_channel_and_a_wrong_probability_are_refused() {
        let gray = ImageShape { channels: 1, height: 8, width: 8 };
        let paths: Vec<String> =
            Grayscale { probability: 2.0 }.check(gray).into_iter().map(|p| p.path).collect();
        assert_eq!(paths, ["probability", ""]);
    }
}
