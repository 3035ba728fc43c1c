//! Images as rows of patches.
//!
//! A row holds one patch channel-major, `(channel, row, column)`: the layout of a convolution
//! weight `[D, C, p, p]` flattened, so patch embedding is one matrix product. Patches are
//! numbered in raster order.

use ijepa_registry::image::ImageShape;

/// Appends every patch of one image (`channel, row, column`) to `out`, in raster order: rows of
/// `channels * patch * patch` values.
///
/// # Panics
/// If `pixels` is not one image of `shape`, or `patch` does not divide it: configuration checks rule
/// these out.
pub fn patchify_into(pixels: &[f32], shape: ImageShape, patch: usize, out: &mut Vec<f32>) {
    assert_eq!(pixels.len(), shape.len(), "one image of {shape:?} expected");
    assert!(
        patch > 0 && shape.height.is_multiple_of(patch) && shape.width.is_multiple_of(patch),
        "patch size {patch} must divide {} x {}",
        shape.height,
        shape.width
    );
    out.reserve(shape.len());
    // A copy of known length is one or two vector moves; of unknown length, a call per row.
    match patch {
        2 => rows(pixels, shape, patch, |row| out.extend_from_slice(&row[..2])),
        4 => rows(pixels, shape, patch, |row| out.extend_from_slice(&row[..4])),
        8 => rows(pixels, shape, patch, |row| out.extend_from_slice(&row[..8])),
        16 => rows(pixels, shape, patch, |row| out.extend_from_slice(&row[..16])),
        _ => rows(pixels, shape, patch, |row| out.extend_from_slice(&row[..patch])),
    }
}

/// Hands the start of each pixel row of each patch to `copy`.
#[inline(always)]
fn rows(pixels: &[f32], shape: ImageShape, patch: usize, mut copy: impl FnMut(&[f32])) {
    let (columns, plane) = (shape.width / patch, shape.height * shape.width);
    for position in 0..shape.height / patch * columns {
        let corner = (position / columns) * patch * shape.width + (position % columns) * patch;
        for channel in 0..shape.channels {
            for row in 0..patch {
                copy(&pixels[channel * plane + corner + row * shape.width..(channel + 1) * plane]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, one value at a time.
    fn naive(pixels: &[f32], s: ImageShape, patch: usize, position: usize) -> Vec<f32> {
        let (top, left) = (position / (s.width / patch) * patch, position % (s.width / patch) * patch);
        let mut row = vec![];
        for c in 0..s.channels {
            for y in 0..patch {
                for x in 0..patch {
                    row.push(pixels[(c * s.height + top + y) * s.width + left + x]);
                }
            }
        }
        row
    }

    #[test]
    fn rows_match_the_definition() {
        let shape = ImageShape { channels: 3, height: 24, width: 48 };
        let pixels: Vec<f32> = (0..shape.len()).map(|v| v as f32).collect();
        for patch in [1, 2, 3, 4, 8, 12] {
            let count = (24 / patch) * (48 / patch);
            let mut all = vec![];
            patchify_into(&pixels, shape, patch, &mut all);
            let expected: Vec<f32> = (0..count).flat_map(|p| naive(&pixels, shape, patch, p)).collect();
            assert_eq!(all, expected, "patch {patch}");
        }
    }

    #[test]
    #[should_panic(expected = "patch size 5 must divide 24 x 48")]
    fn a_patch_that_does_not_divide_is_a_broken_invariant() {
        let shape = ImageShape { channels: 1, height: 24, width: 48 };
        patchify_into(&vec![0.0; shape.len()], shape, 5, &mut vec![]);
    }
}
