//! Gaussian blur.

use ijepa_registry::prelude::*;

use super::shared::check_probability;

/// Settings of `blur`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Blur {
    /// Probability that an image is blurred, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    probability: f64,
    /// Pixels of the kernel along each side; odd.
    #[schemars(range(min = 1, max = 999), extend("x-aliases" = ["kernel_size"]))]
    kernel: usize,
    /// Least and greatest standard deviation in pixels, drawn uniformly.
    #[schemars(inner(range(min = 1e-3, max = 1000.0)))]
    sigma: [f64; 2],
}

impl Default for Blur {
    fn default() -> Self {
        Blur { probability: 0.5, kernel: 3, sigma: [0.1, 2.0] }
    }
}

component! {
    /// Blurs an image with a Gaussian of random width, with a probability.
    ///
    /// torchvision's `GaussianBlur` inside a `RandomApply`: weights `exp(-x^2 / (2 sigma^2))` at the pixels of the
    /// kernel, divided by their sum, along rows and columns, the border mirrored. Probability and `sigma` are SimCLR's
    /// (Chen et al. 2020, arXiv 2002.05709, appendix A), whose kernel has a tenth of the image's side.
    augmentation "blur" => Blur, example = "{ probability: 0.5, kernel: 3, sigma: [0.1, 2.0] }",
    aliases = ["gaussian_blur" => "blur"]
}

impl Augmentation for Blur {
    fn check(&self, shape: ImageShape) -> Vec<Problem> {
        let mut problems: Vec<Problem> = check_probability(self.probability).into_iter().collect();
        let most = 2 * shape.height.min(shape.width) - 1;
        if self.kernel.is_multiple_of(2) || self.kernel > most {
            let message =
                format!("is {}; allowed are odd numbers up to {most} for these images", self.kernel);
            problems.push(Problem::new("kernel", message));
        }
        let [low, high] = self.sigma;
        if !(low > 0.0 && low <= high && high.is_finite()) {
            let message =
                format!("is [{low}, {high}]; allowed is [least, greatest] with 0 < least <= greatest");
            problems.push(Problem::new("sigma", message));
        }
        problems
    }

    fn apply(&self, image: &mut Image, stream: &mut Stream) {
        if stream.chance(self.probability) {
            let weights = gaussian(self.kernel, stream.uniform_in(self.sigma[0], self.sigma[1]));
            let (height, width) = (image.shape.height, image.shape.width);
            for plane in image.data.chunks_exact_mut(height * width) {
                plane.chunks_exact_mut(width).for_each(|row| convolve(row, &weights));
                for column in 0..width {
                    let mut values: Vec<f32> = plane.iter().skip(column).step_by(width).copied().collect();
                    convolve(&mut values, &weights);
                    plane.iter_mut().skip(column).step_by(width).zip(values).for_each(|(v, new)| *v = new);
                }
            }
        }
    }
}

/// Weights of a Gaussian at the pixels of a kernel; their sum is 1.
fn gaussian(kernel: usize, sigma: f64) -> Vec<f32> {
    let at = |i: usize| i as f64 - (kernel - 1) as f64 / 2.0;
    let weights: Vec<f64> = (0..kernel).map(|i| (-0.5 * (at(i) / sigma).powi(2)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| (w / sum) as f32).collect()
}

/// Weighted sums of each value and its neighbours; beyond the ends the values are mirrored, the outermost ones once.
fn convolve(values: &mut [f32], weights: &[f32]) {
    let (half, last) = (weights.len() as isize / 2, values.len() as isize - 1);
    let mirrored = |at: isize| {
        if at < 0 {
            -at
        } else if at > last {
            2 * last - at
        } else {
            at
        }
    };
    let sum = |i: isize| -> f32 {
        (-half..=half).zip(weights).map(|(d, w)| w * values[mirrored(i + d) as usize]).sum()
    };
    let blurred: Vec<f32> = (0..=last).map(sum).collect();
    values.copy_from_slice(&blurred);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 3, width: 3 };

    #[test]
    fn a_point_becomes_the_product_of_two_gaussians() {
        let mut image = Image { shape: SHAPE, data: vec![0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0] };
        let settings = Blur { probability: 1.0, kernel: 3, sigma: [1.0, 1.0] };
        settings.apply(&mut image, &mut Stream::new(0, "test", 0, 0));
        let side = (-0.5f64).exp() / (1.0 + 2.0 * (-0.5f64).exp());
        let centre = 1.0 - 2.0 * side;
        // The border is mirrored without its outermost pixel: a corner sees the centre from both sides.
        let wanted = [4.0 * side * side, 2.0 * side * centre, centre * centre];
        for (at, want) in [(0, wanted[0]), (1, wanted[1]), (4, wanted[2]), (8, wanted[0])] {
            assert!((f64::from(image.data[at]) - want).abs() < 1e-6, "pixel {at}: {}", image.data[at]);
        }
    }

    #[test]
    fn a_flat_image_stays_flat() {
        let mut image = Image { shape: SHAPE, data: vec![0.25; 9] };
        Blur { probability: 1.0, kernel: 5, sigma: [2.0, 2.0] }
            .apply(&mut image, &mut Stream::new(0, "t", 0, 1));
        assert!(image.data.iter().all(|v| (v - 0.25).abs() < 1e-6));
    }

    #[test]
    fn even_and_too_wide_kernels_are_refused() {
        let wrong = |kernel, sigma| Blur { probability: 0.5, kernel, sigma }.check(SHAPE).len();
        assert_eq!([wrong(3, [0.1, 2.0]), wrong(2, [0.1, 2.0]), wrong(7, [0.1, 2.0])], [0, 1, 1]);
        assert_eq!(wrong(3, [2.0, 0.1]), 1);
    }
}
