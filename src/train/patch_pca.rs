//! The control `pca`: a linear encoder of patches that is fitted, not trained.

use rayon::prelude::*;

use crate::numerics::{Pca, Points};

/// Patches that principal components are found on, at most.
pub const MOST_PATCHES: usize = 65_536;

/// Principal components of the patches of training images, as an encoder: token `n` of an image is the coordinates
/// of patch `n`.
pub struct PatchPca {
    pca: Pca,
    /// Values of a patch.
    patch: usize,
    /// Coordinates that are kept: `dim` of the encoder, or all where a patch has fewer values.
    pub dim: usize,
}

impl PatchPca {
    /// Of patches `(patch, values)`.
    pub fn fit(patches: &[f32], patch: usize, dim: usize) -> Self {
        let dim = dim.min(patch);
        PatchPca { pca: Pca::fit(Points::new(patches, patch), dim), patch, dim }
    }

    /// Tokens of images that are given as their patches, `(image, patch, dim)`.
    pub fn tokens(&self, patches: &[f32]) -> Vec<f32> {
        let rows: Vec<&[f32]> = patches.chunks_exact(self.patch).collect();
        let token = |row: &&[f32]| self.pca.project(row).into_iter().map(|v| v as f32).collect::<Vec<f32>>();
        rows.par_iter().flat_map_iter(token).collect()
    }

    /// Their mean over `patches_of_image` patches each, `(image, dim)`: coordinates of the mean patch, since the map is
    /// linear.
    pub fn pooled(&self, patches: &[f32], patches_of_image: usize) -> Vec<f32> {
        let mean = |image: &[f32]| -> Vec<f32> {
            let sum = |j: usize| image.iter().skip(j).step_by(self.patch).map(|v| f64::from(*v)).sum::<f64>();
            (0..self.patch).map(|j| (sum(j) / patches_of_image as f64) as f32).collect()
        };
        let means: Vec<f32> = patches.chunks_exact(self.patch * patches_of_image).flat_map(mean).collect();
        self.tokens(&means)
    }
}

#[cfg(test)]
mod tests {
    use ijepa_registry::rng::Stream;

    use super::*;

    #[test]
    fn coordinates_keep_the_distances_of_patches_and_pooling_is_their_mean() {
        let mut stream = Stream::new(1, "test/patches", 0, 0);
        let patches: Vec<f32> = (0..40 * 6).map(|_| (3.0 + stream.normal()) as f32).collect();
        let pca = PatchPca::fit(&patches, 6, 100);
        assert_eq!(pca.dim, 6);
        let tokens = pca.tokens(&patches);
        let far = |x: &[f32], a: usize, b: usize| {
            (0..6).map(|j| (x[a * 6 + j] - x[b * 6 + j]).powi(2)).sum::<f32>().sqrt()
        };
        assert!((1..40).all(|i| (far(&tokens, 0, i) - far(&patches, 0, i)).abs() < 1e-4));
        let pooled = pca.pooled(&patches, 4);
        let mean =
            |image: usize, j: usize| (0..4).map(|n| tokens[(image * 4 + n) * 6 + j]).sum::<f32>() / 4.0;
        assert!((0..60).all(|k| (pooled[k] - mean(k / 6, k % 6)).abs() < 1e-5));
        assert_eq!(PatchPca::fit(&patches, 6, 2).tokens(&patches).len(), 80);
    }
}
