//! Random crops, resized back to the size of the image.

use ijepa_registry::prelude::*;

/// Settings of `random_resized_crop`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RandomResizedCrop {
    /// Least and greatest area of the crop, as a fraction of the image; above 0, at most 1.
    #[schemars(inner(range(min = 1e-4, max = 1.0)))]
    scale: [f64; 2],
    /// Least and greatest width divided by height of the crop, before resizing; above 0.
    #[schemars(inner(range(min = 0.01, max = 100.0)))]
    ratio: [f64; 2],
}

impl Default for RandomResizedCrop {
    fn default() -> Self {
        RandomResizedCrop { scale: [0.3, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] }
    }
}

component! {
    /// Cuts out a random part of the image and resizes it to the full size.
    ///
    /// As torchvision's `RandomResizedCrop` with bilinear interpolation: the area is uniform in
    /// `scale`, the logarithm of the aspect ratio uniform in `ratio`; after ten draws that do
    /// not fit, the largest centred crop of an allowed ratio. Crops are never larger than the
    /// image, so they are only enlarged, and interpolation with and without antialiasing is
    /// the same.
    augmentation "random_resized_crop" => RandomResizedCrop, example = "{ scale: [0.3, 1.0] }",
    aliases = ["crop" => "random_resized_crop", "random_crop" => "random_resized_crop"]
}

impl Augmentation for RandomResizedCrop {
    fn check(&self, _: ImageShape) -> Vec<Problem> {
        let mut problems = vec![];
        let mut range = |name: &str, [low, high]: [f64; 2], most: f64, allowed: &str| {
            if !(low > 0.0 && low <= high && high <= most) {
                let message = format!("is [{low}, {high}]; allowed is [least, greatest] with {allowed}");
                problems.push(Problem::new(name, message));
            }
        };
        range("scale", self.scale, 1.0, "0 < least <= greatest <= 1");
        range("ratio", self.ratio, 100.0, "0 < least <= greatest <= 100");
        problems
    }

    fn apply(&self, image: &mut Image, stream: &mut Stream) {
        self.image_ops(image.shape, stream).iter().for_each(|op| op.apply(image));
    }

    fn as_image_ops(&self) -> Option<&dyn AsImageOps> {
        Some(self)
    }
}

impl AsImageOps for RandomResizedCrop {
    fn image_ops(&self, shape: ImageShape, stream: &mut Stream) -> Vec<ImageOp> {
        vec![ImageOp::Crop(self.draw(shape.height, shape.width, stream))]
    }
}

impl RandomResizedCrop {
    fn draw(&self, height: usize, width: usize, stream: &mut Stream) -> Crop {
        for _ in 0..10 {
            let area = (height * width) as f64 * stream.uniform_in(self.scale[0], self.scale[1]);
            let ratio = stream.uniform_in(self.ratio[0].ln(), self.ratio[1].ln()).exp();
            let (w, h) = ((area * ratio).sqrt().round() as usize, (area / ratio).sqrt().round() as usize);
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                let (top, left) = (stream.below(height - h + 1), stream.below(width - w + 1));
                return Crop { top, left, height: h, width: w };
            }
        }
        self.fallback(height, width)
    }

    /// The largest centred crop whose ratio is allowed.
    fn fallback(&self, height: usize, width: usize) -> Crop {
        let ratio = (width as f64 / height as f64).clamp(self.ratio[0], self.ratio[1]);
        let w = width.min(((height as f64 * ratio).round() as usize).max(1));
        let h = height.min(((width as f64 / ratio).round() as usize).max(1));
        Crop { top: (height - h) / 2, left: (width - w) / 2, height: h, width: w }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(key: u64) -> Stream {
        Stream::new(0, "test", 0, key)
    }

    #[test]
    fn crops_fit_and_follow_the_settings() {
        let settings = RandomResizedCrop::default();
        let (mut area, mut whole) = (0.0, 0);
        for key in 0..4000 {
            let c = settings.draw(32, 32, &mut stream(key));
            assert!(c.top + c.height <= 32 && c.left + c.width <= 32 && c.height > 0 && c.width > 0);
            let part = (c.height * c.width) as f64 / 1024.0;
            // Sides are rounded to whole pixels.
            assert!(part > 0.26 && (0.68..1.47).contains(&(c.width as f64 / c.height as f64)), "{c:?}");
            area += part / 4000.0;
            whole += usize::from(part == 1.0);
        }
        // Large crops of a wrong ratio do not fit, so the mean lies below that of the scale (0.65).
        assert!((0.58..0.65).contains(&area), "{area}");
        assert!(whole < 400, "{whole}");
    }

    #[test]
    fn a_ratio_that_never_fits_falls_back_to_the_centre() {
        let settings = RandomResizedCrop { scale: [1.0, 1.0], ratio: [2.0, 2.0] };
        assert_eq!(settings.draw(32, 32, &mut stream(0)), Crop { top: 8, left: 0, height: 16, width: 32 });
        let tall = RandomResizedCrop { scale: [1.0, 1.0], ratio: [0.5, 0.5] };
        assert_eq!(tall.draw(32, 32, &mut stream(0)), Crop { top: 0, left: 8, height: 32, width: 16 });
    }

    #[test]
    fn a_full_crop_changes_nothing_and_a_constant_stays_constant() {
        let shape = ImageShape { channels: 3, height: 5, width: 7 };
        let image = Image { shape, data: (0..105).map(|v| v as f32).collect() };
        let mut same = image.clone();
        RandomResizedCrop { scale: [1.0, 1.0], ratio: [1.4, 1.4] }.apply(&mut same, &mut stream(1));
        assert_eq!(same, image);
        let mut flat = Image { shape, data: vec![0.3; 105] };
        RandomResizedCrop::default().apply(&mut flat, &mut stream(2));
        assert_eq!(flat.data, vec![0.3; 105]);
    }

    #[test]
    fn wrong_ranges_are_refused() {
        let shape = ImageShape { channels: 3, height: 32, width: 32 };
        assert!(RandomResizedCrop::default().check(shape).is_empty());
        let wrong = RandomResizedCrop { scale: [0.5, 1.5], ratio: [2.0, 1.0] };
        let problems = wrong.check(shape);
        assert_eq!(
            problems[0].message,
            "is [0.5, 1.5]; allowed is [least, greatest] with 0 < least <= greatest <= 1"
        );
        assert_eq!(problems[1].path, "ratio");
        assert_eq!(RandomResizedCrop { scale: [f64::NAN, 1.0], ..Default::default() }.check(shape).len(), 1);
    }
}
