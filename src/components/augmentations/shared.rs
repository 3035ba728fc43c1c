//! What random edits of values share.

use ijepa_registry::prelude::*;

/// The problem of a probability outside 0 to 1.
pub(super) fn check_probability(probability: f64) -> Option<Problem> {
    let message = || format!("is {probability}; allowed are 0 to 1");
    (!(0.0..=1.0).contains(&probability)).then(|| Problem::new("probability", message()))
}

/// The problem of images that are not red, green and blue.
pub(super) fn check_rgb(shape: ImageShape) -> Option<Problem> {
    let message = || format!("the images have {} channels; needed are red, green and blue", shape.channels);
    (shape.channels != 3).then(|| Problem::new("", message()).help("remove this step"))
}

/// Luma of a pixel with the weights of ITU-R BT.601, as torchvision's `rgb_to_grayscale` has them.
pub(super) fn luma([red, green, blue]: [f32; 3]) -> f32 {
    0.2989 * red + 0.587 * green + 0.114 * blue
}

/// Replaces every pixel (red, green, blue) of an image `(3, height, width)`.
pub(super) fn map_pixels(image: &mut Image, map: impl Fn([f32; 3]) -> [f32; 3]) {
    let plane = image.shape.height * image.shape.width;
    let (red, rest) = image.data.split_at_mut(plane);
    let (green, blue) = rest.split_at_mut(plane);
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        [*r, *g, *b] = map([*r, *g, *b]);
    }
}
