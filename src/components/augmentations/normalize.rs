//! Normalisation of the channels.

use ijepa_registry::prelude::*;

/// Settings of `normalize`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Normalize {
    /// Mean of each channel, of values 0 to 1.
    #[schemars(length(min = 1, max = 64), inner(range(min = -1000.0, max = 1000.0)))]
    mean: Vec<f64>,
    /// Standard deviation of each channel, of values 0 to 1; above 0.
    #[schemars(length(min = 1, max = 64), inner(range(min = 1e-6, max = 1000.0)))]
    std: Vec<f64>,
}

impl Default for Normalize {
    fn default() -> Self {
        Normalize { mean: vec![0.4914, 0.4822, 0.4465], std: vec![0.2470, 0.2435, 0.2616] }
    }
}

component! {
    /// Subtracts the mean of each channel and divides by its standard deviation.
    ///
    /// Also applied when features are extracted. The defaults are the constants usually taken
    /// for CIFAR-10.
    augmentation "normalize" => Normalize,
    example = "{ mean: [0.4914, 0.4822, 0.4465], std: [0.2470, 0.2435, 0.2616] }"
}

impl Augmentation for Normalize {
    fn check(&self, shape: ImageShape) -> Vec<Problem> {
        let mut problems = vec![];
        for (name, values) in [("mean", &self.mean), ("std", &self.std)] {
            if values.len() != shape.channels {
                let (given, wanted) = (values.len(), shape.channels);
                let message = format!("has {given} values; the images have {wanted} channels");
                problems
                    .push(Problem::new(name, message).help(format!("write one value per channel: {wanted}")));
            }
            for (i, &value) in values.iter().enumerate() {
                if !value.is_finite() {
                    problems.push(Problem::new(
                        format!("{name}.{i}"),
                        format!("is {value}; must be a finite number"),
                    ));
                } else if name == "std" && value <= 0.0 {
                    problems.push(Problem::new(format!("std.{i}"), format!("is {value}; must be above 0")));
                }
            }
        }
        problems
    }

    fn apply(&self, image: &mut Image, stream: &mut Stream) {
        self.image_ops(image.shape, stream).iter().for_each(|op| op.apply(image));
    }

    fn as_image_ops(&self) -> Option<&dyn AsImageOps> {
        Some(self)
    }

    fn at_evaluation(&self) -> bool {
        true
    }

    fn leaves_unit_range(&self) -> bool {
        true
    }
}

impl AsImageOps for Normalize {
    fn image_ops(&self, _: ImageShape, _: &mut Stream) -> Vec<ImageOp> {
        let mean = self.mean.iter().map(|&mean| mean as f32).collect();
        let scale = self.std.iter().map(|&std| (1.0 / std) as f32).collect();
        vec![ImageOp::Channels(ChannelMap { mean, scale })]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(channels: usize) -> ImageShape {
        ImageShape { channels, height: 1, width: 2 }
    }

    #[test]
    fn each_channel_has_its_own_constants() {
        let settings = Normalize { mean: vec![0.5, 0.25], std: vec![0.5, 0.125] };
        let mut image = Image { shape: shape(2), data: vec![0.0, 1.0, 0.25, 0.5] };
        settings.apply(&mut image, &mut Stream::new(0, "test", 0, 0));
        assert_eq!(image.data, [-1.0, 1.0, 0.0, 2.0]);
        assert!(settings.at_evaluation());
    }

    #[test]
    fn lengths_and_values_are_checked() {
        assert!(Normalize::default().check(shape(3)).is_empty());
        let problems = Normalize::default().check(shape(1));
        assert_eq!(problems.len(), 2);
        assert_eq!(problems[0].message, "has 3 values; the images have 1 channels");
        let wrong = Normalize { mean: vec![f64::NAN, 0.0], std: vec![0.0, -1.0] };
        let paths: Vec<_> = wrong.check(shape(2)).into_iter().map(|p| p.path).collect();
        assert_eq!(paths, ["mean.0", "std.0", "std.1"]);
    }
}
