//! Image files to bytes: whole, upright and of bearable size, or refused with the reason.

use std::{
    io::{Cursor, Read},
    path::Path,
};

use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage, imageops, metadata::Orientation,
};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::{JpegDecoder, errors::DecodeErrors};

use super::regular::regular_file;

/// Pixels of the largest image that is decoded: 134 million, 400 MB as RGB.
const MOST_PIXELS: u64 = 1 << 27;
/// Bytes that a decoder may allocate for one image.
const MOST_MEMORY: u64 = 1 << 29;
/// Bytes of the largest file that is read.
const MOST_BYTES: u64 = 1 << 30;

/// Endings of the files that [`decode_square`] reads, in lower case.
pub(crate) const READABLE: [&str; 5] = ["jpg", "jpeg", "png", "webp", "bmp"];

/// The largest centred square of an image file, upright as its EXIF tag says, resized to `size` (triangle
/// filter, which averages when it shrinks): `out` is `(channel, row, column)`, red first.
pub(crate) fn decode_square(file: &Path, size: usize, out: &mut [u8]) -> Result<(), String> {
    let square = read(file).map(|image| fit(image, size as u32));
    let square = square.map_err(|reason| format!("`{}` ({reason})", file.display()))?;
    for (i, pixel) in square.pixels().enumerate() {
        for c in 0..3 {
            out[c * size * size + i] = pixel.0[c];
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<DynamicImage, String> {
    let mut opened = regular_file(file).map_err(|e| e.to_string())?;
    let length = opened.metadata().map_err(|e| e.to_string())?.len();
    if length > MOST_BYTES {
        return Err(format!("{length} bytes; files of at most {MOST_BYTES} are read"));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    opened.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    let (mut image, orientation) =
        if bytes.starts_with(&[0xFF, 0xD8]) { jpeg(&bytes)? } else { other(&bytes, file)? };
    image.apply_orientation(orientation);
    Ok(image)
}

fn within_limits(width: u64, height: u64) -> Result<(), String> {
    if width * height <= MOST_PIXELS {
        return Ok(());
    }
    Err(format!("{width} x {height} pixels; at most {MOST_PIXELS} are decoded, shrink it first"))
}

/// PNG, WebP, BMP. JPEG and PNG under each other's names are common and harmless; WebP and BMP under another
/// name are refused, since other programs would leave them out.
fn other(bytes: &[u8], file: &Path) -> Result<(DynamicImage, Orientation), String> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    let (found, named) = (reader.format(), ImageFormat::from_path(file).ok());
    if let Some(format @ (ImageFormat::WebP | ImageFormat::Bmp)) = found.filter(|_| found != named) {
        return Err(format!(
            "its content is {format:?}; give it the ending `.{}`",
            format.extensions_str()[0]
        ));
    }
    let mut decoder = reader.into_decoder().map_err(|e| e.to_string())?;
    let (width, height) = decoder.dimensions();
    within_limits(width.into(), height.into())?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_MEMORY);
    decoder.set_limits(limits).map_err(|e| e.to_string())?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?, orientation))
}

/// Strict where decoders are usually lenient: what cannot be decoded is not filled up with grey.
fn jpeg(bytes: &[u8]) -> Result<(DynamicImage, Orientation), String> {
    if !has_end(bytes) {
        return Err("the file is cut off: no end of image".into());
    }
    match jpeg_as(bytes, true) {
        // Harmless, and no sign of lost data.
        Err(DecodeErrors::FormatStatic(reason)) if reason.contains("Extra bytes between headers") => {
            jpeg_as(bytes, false).map_err(|e| e.to_string())?
        }
        result => result.map_err(|e| e.to_string())?,
    }
}

type Decoded = Result<(DynamicImage, Orientation), String>;

fn jpeg_as(bytes: &[u8], strict: bool) -> Result<Decoded, DecodeErrors> {
    let limit = usize::from(u16::MAX);
    let options =
        DecoderOptions::default().set_strict_mode(strict).set_max_width(limit).set_max_height(limit);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers()?;
    let missing = || DecodeErrors::FormatStatic("no size or colours in its header");
    let (width, height) = decoder.dimensions().ok_or_else(missing)?;
    if let Err(reason) = within_limits(width as u64, height as u64) {
        return Ok(Err(reason));
    }
    let grey = decoder.input_colorspace().ok_or_else(missing)? == ColorSpace::Luma;
    let colours = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    let pixels = decoder.decode()?;
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let (width, height) = (width as u32, height as u32);
    let image = match grey {
        true => image::GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        false => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
    };
    let image = image.ok_or_else(|| "its pixels do not fill its size".to_owned());
    Ok(image.map(|image| (image, orientation.unwrap_or(Orientation::NoTransforms))))
}

/// Whether the markers of a JPEG file lead from its start to an end of image behind a scan. Decoders take
/// a file without one for complete.
fn has_end(bytes: &[u8]) -> bool {
    let (mut at, mut scanned) = (2, false);
    while let Some(skipped) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xFF)) {
        at += skipped + 1;
        match bytes.get(at).copied() {
            None => return false,
            Some(0xD9) if scanned => return true,
            // A stuffed byte of the scan, a fill byte, a restart, or an end that ends nothing.
            Some(0x00 | 0x01 | 0xFF | 0xD0..=0xD9) => {}
            Some(marker) => {
                scanned |= marker == 0xDA;
                let Some(length) = bytes.get(at + 1..at + 3) else { return false };
                at += usize::from(u16::from_be_bytes([length[0], length[1]]));
            }
        }
    }
    false
}

fn fit(image: DynamicImage, size: u32) -> RgbImage {
    let side = image.width().min(image.height());
    let image =
        image.crop_imm((image.width() - side) / 2, (image.height() - side) / 2, side, side).into_rgb8();
    if side == size { image } else { imageops::resize(&image, size, size, imageops::FilterType::Triangle) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder};

    use super::*;

    /// Detail everywhere, so that the coded data are long.
    fn noisy(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([(x * 37 + y * 101) as u8, (x * y * 7) as u8, ((x * 11) ^ (y * 29)) as u8])
        })
    }

    fn coded(image: &RgbImage, exif: Option<u8>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
        if let Some(orientation) = exif {
            // A TIFF header and one entry: tag 0x0112, type SHORT.
            let mut tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
            tiff.extend([orientation, 0, 0, 0, 0, 0, 0]);
            encoder.set_exif_metadata(tiff).unwrap();
        }
        encoder.write_image(image, image.width(), image.height(), ExtendedColorType::Rgb8).unwrap();
        bytes
    }

    fn decoded(bytes: &[u8], size: usize) -> Result<Vec<u8>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.jpg");
        fs::write(&file, bytes).unwrap();
        let mut out = vec![0; 3 * size * size];
        decode_square(&file, size, &mut out).map(|()| out)
    }

    #[test]
    fn a_jpeg_cut_anywhere_is_refused_and_named() {
        for (width, height) in [(64, 64), (16, 16), (200, 8)] {
            let whole = coded(&noisy(width, height), None);
            assert!(decoded(&whole, 8).is_ok());
            for length in (2..whole.len()).step_by(1 + whole.len() / 97).chain([whole.len() - 1]) {
                let error = decoded(&whole[..length], 8).unwrap_err();
                assert!(error.contains("x.jpg") && error.contains("cut off"), "{length}: {error}");
            }
        }
    }

    #[test]
    fn bytes_after_the_end_and_fill_bytes_are_no_damage() {
        let whole = coded(&noisy(32, 32), None);
        let expected = decoded(&whole, 8).unwrap();
        let mut padded = whole[..2].to_vec();
        padded.extend([0xFF; 9]);
        padded.extend(&whole[2..]);
        padded.extend(b"trailing bytes");
        assert_eq!(decoded(&padded, 8).unwrap(), expected);
    }

    #[test]
    fn the_pixels_are_those_of_the_image_crate() {
        for size in [(48, 48), (33, 47)] {
            let bytes = coded(&noisy(size.0, size.1), None);
            let reference = fit(image::load_from_memory(&bytes).unwrap(), 16);
            let found = decoded(&bytes, 16).unwrap();
            let expected: Vec<u8> =
                (0..3).flat_map(|c| reference.pixels().map(move |p| p.0[c]).collect::<Vec<_>>()).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn images_stand_upright() {
        // Stored with blue on the left and red on the right; 6 turns it by 90 degrees clockwise.
        let half = |x: u32, _: u32| image::Rgb(if x < 16 { [0, 0, 255] } else { [255, 0, 0] });
        let stored = RgbImage::from_fn(32, 32, half);
        let upright = |exif| {
            let bytes = decoded(&coded(&stored, exif), 2).unwrap();
            // Red of the four pixels, row by row.
            [bytes[0], bytes[1], bytes[2], bytes[3]].map(|v| v > 128)
        };
        assert_eq!(upright(None), [false, true, false, true]);
        assert_eq!(upright(Some(1)), [false, true, false, true]);
        assert_eq!(upright(Some(3)), [true, false, true, false]);
        assert_eq!(upright(Some(8)), [true, true, false, false]);
        assert_eq!(upright(Some(6)), [false, false, true, true]);
    }

    #[test]
    fn depths_palettes_greys_and_alpha_come_out_as_colours() {
        let folder = tempfile::tempdir().unwrap();
        let save = |name: &str, image: DynamicImage| {
            let file = folder.path().join(name);
            image.save(&file).unwrap();
            let mut out = vec![0; 12];
            decode_square(&file, 2, &mut out).unwrap();
            [out[0], out[4], out[8]]
        };
        let rgb = RgbImage::from_pixel(4, 4, image::Rgb([200, 100, 50]));
        for name in ["a.png", "a.webp", "a.bmp"] {
            assert_eq!(save(name, rgb.clone().into()), [200, 100, 50], "{name}");
        }
        let image = DynamicImage::from(rgb);
        assert_eq!(save("deep.png", image.to_rgb16().into()), [200, 100, 50]);
        assert_eq!(save("alpha.png", image.to_rgba8().into()), [200, 100, 50]);
        let mut palette = png::Encoder::new(fs::File::create(folder.path().join("p.png")).unwrap(), 4, 4);
        palette.set_color(png::ColorType::Indexed);
        palette.set_depth(png::BitDepth::Eight);
        palette.set_palette(vec![0, 0, 0, 200, 100, 50]);
        palette.write_header().unwrap().write_image_data(&[1; 16]).unwrap();
        let mut out = vec![0; 12];
        decode_square(&folder.path().join("p.png"), 2, &mut out).unwrap();
        assert_eq!([out[0], out[4], out[8]], [200, 100, 50], "palette");
        let grey = image.to_luma8().get_pixel(0, 0).0[0];
        assert_eq!(save("grey.png", image.to_luma8().into()), [grey; 3]);
        assert_eq!(save("grey16.png", image.to_luma16().into()), [grey; 3]);
        let [red, ..] = save("grey.jpg", image.to_luma8().into());
        assert!(red.abs_diff(grey) < 3);
    }

    #[test]
    fn webp_and_bmp_are_refused_under_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let image = DynamicImage::from(RgbImage::from_pixel(4, 4, image::Rgb([200, 100, 50])));
        let renamed = |from: &str, to: &str| {
            image.save(folder.path().join(from)).unwrap();
            fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
            decode_square(&folder.path().join(to), 2, &mut [0; 12])
        };
        for (from, to) in [("a.webp", "w.png"), ("a.bmp", "b.jpg"), ("a.webp", "c.bmp")] {
            let reason = renamed(from, to).unwrap_err();
            assert!(reason.contains(to) && reason.contains("give it the ending"), "{reason}");
        }
        assert_eq!((renamed("a.png", "p.jpg"), renamed("a.jpg", "j.png")), (Ok(()), Ok(())));
    }

    #[test]
    fn an_image_too_large_for_memory_is_refused_before_it_is_decoded() {
        // One bit a pixel: some kilobytes on disk.
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 20_000, 20_000);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        encoder.write_header().unwrap().write_image_data(&vec![0; 2500 * 20_000]).unwrap();
        let error = decoded(&bytes, 4).unwrap_err();
        assert!(error.contains("20000 x 20000 pixels; at most 134217728"), "{error}");
    }
}
