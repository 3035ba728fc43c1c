//! What an augmentation does to one image, as data: a host carries it out, or a device.

use crate::{
    image::{Image, ImageShape},
    rng::Stream,
};

/// An augmentation whose effect can be said as operations ([`crate::kinds::Augmentation::as_image_ops`]).
pub trait AsImageOps {
    /// The operations that its `apply` performs on an image of this shape, using the same random draws.
    fn image_ops(&self, shape: ImageShape, stream: &mut Stream) -> Vec<ImageOp>;
}

/// A rectangle of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Crop {
    /// All of an image of this shape.
    pub fn whole(shape: ImageShape) -> Self {
        Crop { top: 0, left: 0, height: shape.height, width: shape.width }
    }
    /// Whether it has a pixel and all of them lie on an image of this shape.
    pub fn fits(&self, shape: ImageShape) -> bool {
        let within = |start: usize, length: usize, all: usize| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= all)
        };
        within(self.top, self.height, shape.height) && within(self.left, self.width, shape.width)
    }
}

/// `(value - mean) * scale`, with constants of each channel's own.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelMap {
    /// Subtracted, one per channel.
    pub mean: Vec<f32>,
    /// Multiplied by afterwards, one per channel.
    pub scale: Vec<f32>,
}

impl ChannelMap {
    /// The map that changes nothing.
    pub fn identity(channels: usize) -> Self {
        ChannelMap { mean: vec![0.0; channels], scale: vec![1.0; channels] }
    }
}

/// One change of an image.
#[derive(Clone, Debug, PartialEq)]
pub enum ImageOp {
    /// The part is cut out and resized to the size of the image, bilinearly.
    Crop(Crop),
    /// Columns are mirrored.
    Flip,
    /// Values are mapped channel by channel.
    Channels(ChannelMap),
}

impl ImageOp {
    /// Carries it out on the host. A device has to give the same bits.
    ///
    /// # Panics
    /// If a crop does not lie on the image: a broken promise of the augmentation.
    pub fn apply(&self, image: &mut Image) {
        match self {
            // Nothing to resize, whatever the values are.
            ImageOp::Crop(crop) if *crop == Crop::whole(image.shape) => {}
            ImageOp::Crop(crop) => resize(image, *crop),
            ImageOp::Flip => image.data.chunks_exact_mut(image.shape.width.max(1)).for_each(<[f32]>::reverse),
            ImageOp::Channels(map) => map_channels(image, map),
        }
    }
}

fn map_channels(image: &mut Image, map: &ChannelMap) {
    let plane = (image.shape.height * image.shape.width).max(1);
    let channels = image.data.chunks_exact_mut(plane);
    for (values, (&mean, &scale)) in channels.zip(map.mean.iter().zip(&map.scale)) {
        values.iter_mut().for_each(|v| *v = (*v - mean) * scale);
    }
}

/// Where an output pixel lies between two input pixels: (first, second, share of the second).
fn taps(start: usize, from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    let tap = |i: usize| {
        // Pixel centres lie at half-integers; outside the outermost centres the edge repeats.
        let at = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
        let first = at as usize;
        (start + first, start + (first + 1).min(from - 1), (at - first as f64) as f32)
    };
    (0..to).map(tap).collect()
}

fn resize(image: &mut Image, crop: Crop) {
    let (height, width) = (image.shape.height, image.shape.width);
    let (rows, columns) = (taps(crop.top, crop.height, height), taps(crop.left, crop.width, width));
    let mut between = vec![0.0; width];
    let mut out = Vec::with_capacity(image.data.len());
    for plane in image.data.chunks_exact(height * width) {
        for &(upper, lower, down) in &rows {
            let (a, b) = (&plane[upper * width..][..width], &plane[lower * width..][..width]);
            for ((mixed, a), b) in between.iter_mut().zip(a).zip(b) {
                *mixed = a + down * (b - a);
            }
            let mix = |&(l, r, right): &(usize, usize, f32)| between[l] + right * (between[r] - between[l]);
            out.extend(columns.iter().map(mix));
        }
    }
    image.data = out;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(shape: ImageShape) -> Image {
        Image { shape, data: (0..shape.len()).map(|v| v as f32).collect() }
    }

    #[test]
    fn interpolation_is_bilinear_between_pixel_centres() {
        let mut image = image(ImageShape { channels: 1, height: 4, width: 4 });
        ImageOp::Crop(Crop { top: 1, left: 1, height: 2, width: 2 }).apply(&mut image);
        // torch: interpolate([[5, 6], [9, 10]], size=4, mode="bilinear", align_corners=False)
        let expected = [5., 5.25, 5.75, 6., 6., 6.25, 6.75, 7., 8., 8.25, 8.75, 9., 9., 9.25, 9.75, 10.];
        assert_eq!(image.data, expected);
    }

    #[test]
    fn a_whole_crop_and_the_identity_change_nothing_and_two_flips_neither() {
        let shape = ImageShape { channels: 2, height: 2, width: 3 };
        let original = image(shape);
        let mut same = original.clone();
        ImageOp::Crop(Crop::whole(shape)).apply(&mut same);
        ImageOp::Channels(ChannelMap::identity(2)).apply(&mut same);
        ImageOp::Flip.apply(&mut same);
        assert_eq!(same.data[..6], [2.0, 1.0, 0.0, 5.0, 4.0, 3.0]);
        ImageOp::Flip.apply(&mut same);
        assert_eq!(same, original);
    }

    #[test]
    fn a_crop_fits_if_it_lies_on_the_image() {
        let shape = ImageShape { channels: 1, height: 4, width: 6 };
        let fits = |top, left, height, width| Crop { top, left, height, width }.fits(shape);
        assert!(fits(0, 0, 4, 6) && fits(3, 5, 1, 1));
        assert!(!fits(0, 0, 0, 6) && !fits(1, 0, 4, 6) && !fits(0, 1, 1, 6) && !fits(usize::MAX, 0, 1, 1));
    }
}
