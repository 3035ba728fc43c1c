//! Brightness, contrast, saturation and hue at random.

use ijepa_registry::prelude::*;

use super::shared::{check_probability, check_rgb, luma, map_pixels};

/// Settings of `color_jitter`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ColorJitter {
    /// Probability that an image is changed at all, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    probability: f64,
    /// Factors of the brightness reach from 1 less this to 1 more, and never below 0.
    #[schemars(range(min = 0.0, max = 100.0))]
    brightness: f64,
    /// The same for the distance from the image's mean luma.
    #[schemars(range(min = 0.0, max = 100.0))]
    contrast: f64,
    /// The same for the distance of each pixel from its own luma.
    #[schemars(range(min = 0.0, max = 100.0))]
    saturation: f64,
    /// Greatest turn of the hue, in turns of the colour circle, either way; 0 to 0.5.
    #[schemars(range(min = 0.0, max = 0.5))]
    hue: f64,
}

impl Default for ColorJitter {
    fn default() -> Self {
        ColorJitter { probability: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 }
    }
}

component! {
    /// Changes brightness, contrast, saturation and hue by random amounts, in random order.
    ///
    /// torchvision's `ColorJitter` inside a `RandomApply`, for tensors: factors are uniform, each result is held
    /// within 0 to 1, and a setting of 0 leaves its property as it is. The defaults are those of BYOL but for its
    /// saturation of 0.2 (Grill et al. 2020, arXiv 2006.07733, appendix B).
    augmentation "color_jitter" => ColorJitter,
    example = "{ brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 }",
    aliases = ["jitter" => "color_jitter", "colour_jitter" => "color_jitter"]
}

/// One change of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Brightness(f32),
    Contrast(f32),
    Saturation(f32),
    Hue(f32),
}

impl Augmentation for ColorJitter {
    fn check(&self, shape: ImageShape) -> Vec<Problem> {
        let mut problems: Vec<Problem> = check_probability(self.probability).into_iter().collect();
        let settings = [
            ("brightness", self.brightness, 100.0),
            ("contrast", self.contrast, 100.0),
            ("saturation", self.saturation, 100.0),
            ("hue", self.hue, 0.5),
        ];
        for (name, value, most) in settings {
            if !(0.0..=most).contains(&value) {
                problems.push(Problem::new(name, format!("is {value}; allowed are 0 to {most}")));
            }
        }
        problems.into_iter().chain(check_rgb(shape)).collect()
    }

    fn apply(&self, image: &mut Image, stream: &mut Stream) {
        if stream.chance(self.probability) {
            self.draw(stream).into_iter().for_each(|change| change.apply(image));
        }
    }

    fn needs_unit_range(&self) -> bool {
        true
    }
}

impl ColorJitter {
    /// Changes of one image in their order. Every setting draws, 0 too, so that one does not shift another.
    fn draw(&self, stream: &mut Stream) -> Vec<Change> {
        let mut factor = |width: f64| stream.uniform_in((1.0 - width).max(0.0), 1.0 + width) as f32;
        let (brightness, contrast, saturation) =
            (factor(self.brightness), factor(self.contrast), factor(self.saturation));
        let hue = stream.uniform_in(-self.hue, self.hue) as f32;
        let mut changes = [
            (self.brightness, Change::Brightness(brightness)),
            (self.contrast, Change::Contrast(contrast)),
            (self.saturation, Change::Saturation(saturation)),
            (self.hue, Change::Hue(hue)),
        ];
        stream.shuffle(&mut changes);
        changes.into_iter().filter(|(width, _)| *width > 0.0).map(|(_, change)| change).collect()
    }
}

impl Change {
    fn apply(self, image: &mut Image) {
        match self {
            Change::Brightness(factor) => map_pixels(image, |pixel| pixel.map(|v| blend(v, 0.0, factor))),
            Change::Contrast(factor) => {
                let mean = mean_luma(image);
                map_pixels(image, |pixel| pixel.map(|v| blend(v, mean, factor)));
            }
            Change::Saturation(factor) => {
                map_pixels(image, |pixel| pixel.map(|v| blend(v, luma(pixel), factor)));
            }
            Change::Hue(turn) => map_pixels(image, |pixel| turned(pixel, turn)),
        }
    }
}

/// `factor value + (1 - factor) other`, held within 0 to 1.
fn blend(value: f32, other: f32, factor: f32) -> f32 {
    (factor * value + (1.0 - factor) * other).clamp(0.0, 1.0)
}

fn mean_luma(image: &Image) -> f32 {
    let plane = image.shape.height * image.shape.width;
    let mean =
        |c: usize| image.data[c * plane..][..plane].iter().map(|v| f64::from(*v)).sum::<f64>() / plane as f64;
    // Luma is linear, so that the mean of lumas is the luma of means.
    luma([mean(0) as f32, mean(1) as f32, mean(2) as f32])
}

/// A colour with its hue turned, saturation and value of HSV as they were (Smith 1978).
fn turned([red, green, blue]: [f32; 3], turn: f32) -> [f32; 3] {
    let (max, min) = (red.max(green).max(blue), red.min(green).min(blue));
    let range = max - min;
    if range <= 0.0 {
        return [red, green, blue];
    }
    // Sixths of the circle from red over green to blue.
    let sixths = if max == red {
        (green - blue) / range
    } else if max == green {
        2.0 + (blue - red) / range
    } else {
        4.0 + (red - green) / range
    };
    let hue = (sixths + 6.0 * turn).rem_euclid(6.0);
    // Of each channel: full within a sixth around its own hue, absent beyond two sixths, a ramp between.
    let channel = |centre: f32| {
        let away = (hue - centre).rem_euclid(6.0);
        let away = away.min(6.0 - away);
        min + range * (2.0 - away).clamp(0.0, 1.0)
    };
    [channel(0.0), channel(2.0), channel(4.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 1, width: 2 };

    fn image() -> Image {
        Image { shape: SHAPE, data: vec![0.8, 0.1, 0.4, 0.3, 0.2, 0.9] }
    }

    fn check(change: Change, wanted: [f32; 6]) {
        let mut image = image();
        change.apply(&mut image);
        let close = image.data.iter().zip(wanted).all(|(got, want)| (got - want).abs() < 1e-5);
        assert!(close, "{change:?}: {:?}, not {wanted:?}", image.data);
    }

    #[test]
    fn changes_follow_their_formulas() {
        check(Change::Brightness(1.5), [1.0, 0.15, 0.6, 0.45, 0.3, 1.0]);
        // Lumas 0.49672 and 0.30859, mean 0.402655.
        check(
            Change::Contrast(0.5),
            [0.601_327_5, 0.251_327_5, 0.401_327_5, 0.351_327_5, 0.301_327_5, 0.651_327_5],
        );
        check(Change::Saturation(0.0), [0.49672, 0.30859, 0.49672, 0.30859, 0.49672, 0.30859]);
        // Python: h, s, v = colorsys.rgb_to_hsv(r, g, b); colorsys.hsv_to_rgb((h + 0.2) % 1, s, v)
        check(Change::Hue(0.2), HUE);
    }

    #[test]
    fn a_whole_turn_and_gray_change_nothing() {
        check(Change::Hue(1.0), [0.8, 0.1, 0.4, 0.3, 0.2, 0.9]);
        assert_eq!(turned([0.3; 3], 0.4), [0.3; 3]);
    }

    #[test]
    fn settings_of_zero_change_nothing_and_all_orders_occur() {
        let mut same = image();
        let none =
            ColorJitter { probability: 1.0, brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0 };
        none.apply(&mut same, &mut Stream::new(0, "test", 0, 0));
        assert_eq!(same, image());
        let order = |key| ColorJitter::default().draw(&mut Stream::new(0, "test", 0, key))[0];
        let first = |kind: fn(&Change) -> bool| (0..400).filter(|&key| kind(&order(key))).count();
        assert!((60..140).contains(&first(|c| matches!(c, Change::Hue(_)))));
        assert!((60..140).contains(&first(|c| matches!(c, Change::Brightness(_)))));
    }

    #[test]
    fn wrong_settings_are_named() {
        let wrong = ColorJitter { hue: 0.6, contrast: -1.0, ..ColorJitter::default() };
        let gray = ImageShape { channels: 1, ..SHAPE };
        let paths: Vec<String> = wrong.check(gray).into_iter().map(|p| p.path).collect();
        assert_eq!(paths, ["contrast", "hue", ""]);
    }

    const HUE: [f32; 6] = [0.480000, 0.860000, 0.800000, 0.100000, 0.200000, 0.900000];
}
