//! Images inside a page.

use std::io::Cursor;

use base64::{Engine, prelude::BASE64_STANDARD};
use ijepa_registry::image::ImageShape;
use image::{
    ImageFormat, RgbImage,
    imageops::{FilterType, resize},
};

/// An image as `data:` URI of a PNG; grey images become colour images.
pub(crate) fn data_uri(shape: ImageShape, pixels: &[u8]) -> Option<String> {
    encoded(&rgb(shape, pixels)?)
}

/// The same with the longer side at most `side` pixels long.
pub(crate) fn thumbnail(shape: ImageShape, pixels: &[u8], side: u32) -> Option<String> {
    let image = rgb(shape, pixels)?;
    let longer = image.width().max(image.height());
    if longer <= side {
        return encoded(&image);
    }
    let short = |length: u32| (length * side / longer).max(1);
    encoded(&resize(&image, short(image.width()), short(image.height()), FilterType::Triangle))
}

fn rgb(shape: ImageShape, pixels: &[u8]) -> Option<RgbImage> {
    let plane = shape.height * shape.width;
    let channel = |c: usize, i: usize| pixels.get(c.min(shape.channels - 1) * plane + i).copied();
    let bytes: Option<Vec<u8>> =
        (0..plane).flat_map(|i| (0..3).map(move |c| (c, i))).map(|(c, i)| channel(c, i)).collect();
    RgbImage::from_raw(shape.width as u32, shape.height as u32, bytes?)
}

fn encoded(image: &RgbImage) -> Option<String> {
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).ok()?;
    Some(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png.into_inner())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(uri: &str) -> RgbImage {
        let png = BASE64_STANDARD.decode(uri.trim_start_matches("data:image/png;base64,")).expect("base64");
        image::load_from_memory(&png).expect("png").to_rgb8()
    }

    #[test]
    fn images_are_png() {
        let shape = ImageShape { channels: 1, height: 2, width: 2 };
        let uri = data_uri(shape, &[0, 255, 128, 7]).expect("an image");
        assert_eq!(decoded(&uri).get_pixel(1, 0).0, [255; 3]);
    }

    #[test]
    fn large_images_shrink_and_small_ones_stay() {
        let shape = ImageShape { channels: 3, height: 20, width: 10 };
        let size = |side| {
            let image = decoded(&thumbnail(shape, &[9; 600], side).expect("an image"));
            (image.width(), image.height())
        };
        assert_eq!((size(20), size(8)), ((10, 20), (4, 8)));
    }
}
