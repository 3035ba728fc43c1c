//! Augmentation `my_augmentation`.

use ijepa_registry::prelude::*;

component! {
    // TODO: say in one sentence what it does to an image, then where it comes from.
    /// Multiplies all values of an image by one random factor.
    augmentation "my_augmentation" => MyAugmentation, example = "{ strength: 0.2 }"
}

/// Settings of `augmentation: [{ kind: my_augmentation }]`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "ijepa_registry::serde", deny_unknown_fields, default)]
struct MyAugmentation {
    // TODO: your settings. Each has a sentence, a range and a default.
    /// The factor is uniform in `[1 - strength, 1 + strength)`.
    #[schemars(range(min = 0.0, max = 1.0))]
    strength: f64,
}

impl Default for MyAugmentation {
    fn default() -> Self {
        MyAugmentation { strength: 0.1 }
    }
}

impl Augmentation for MyAugmentation {
    fn check(&self, _shape: ImageShape) -> Vec<Problem> {
        // TODO: what ranges cannot say, such as a crop that is larger than the image.
        vec![]
    }
    fn apply(&self, image: &mut Image, stream: &mut Stream) {
        // TODO: change the values, `(channel, row, column)`. All randomness comes from the stream.
        let factor = stream.uniform_in(1.0 - self.strength, 1.0 + self.strength) as f32;
        image.data.iter_mut().for_each(|value| *value *= factor);
    }
    // TODO: `AsImageOps` says the same as operations, where it is made of crops, flips and maps of channels: then a GPU
    // does it. `hflip` is an example. `at_evaluation` is for what features need too, such as a normalisation.
}
