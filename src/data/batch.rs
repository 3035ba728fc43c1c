//! A training batch: images, as patches or as programs for a device, and their masks.

use std::sync::Arc;

use ijepa_registry::{
    device::transform::TransformProgram,
    image::{Image, ImageSet},
    kinds::{Masking, PatchMoments, ViewOptions},
    mask::{BatchDraw, MaskBatch},
};

use super::{patches::patchify_into, pipeline::Pipeline};

/// The images of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchImages {
    /// Their patches after augmentation, `(image, patch, channel * patch * patch)`.
    Patches(Vec<f32>),
    /// How a device that holds the training images makes the same patches.
    Programs(Vec<TransformProgram>),
}

/// One training batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Step within the epoch, from 0.
    pub step: usize,
    /// Which training images.
    pub indices: Vec<u32>,
    /// The same, augmented.
    pub images: BatchImages,
    /// Their masks.
    pub masks: MaskBatch,
}

/// What batches are made of.
#[derive(Debug)]
pub struct BatchSource {
    /// The data.
    pub data: Arc<ImageSet>,
    /// The image pipeline.
    pub pipeline: Pipeline,
    /// Masking strategy.
    pub masking: Box<dyn Masking>,
    /// How often masks are drawn, on which grid, and what is kept of them.
    pub views: ViewOptions,
    /// Epochs of the whole run.
    pub epochs: u64,
    /// Side of a square patch in pixels.
    pub patch: usize,
    /// Seed of the order, the augmentations and the masks.
    pub seed: u64,
}

/// Patches of training images that are looked at before training, at most; of 1,024 images of 64 patches.
const LOOKED_AT: usize = 1 << 16;

impl BatchSource {
    /// What the patches of training images are like without augmentation: of images that are evenly spaced, so that
    /// every class of a sorted data set has its share.
    pub fn patch_moments(&self) -> PatchMoments {
        let (data, count) = (&self.data, self.data.count(&self.data.train));
        let taken = count.min(LOOKED_AT / data.shape.grid(self.patch).len().max(1)).max(1);
        let mut patches = Vec::with_capacity(taken * data.shape.len());
        for i in 0..taken {
            let image = self.pipeline.evaluation_image(data, &data.train, i * count / taken);
            patchify_into(&image.data, data.shape, self.patch, &mut patches);
        }
        PatchMoments::of(&patches, data.shape.channels * self.patch.pow(2))
    }

    /// The batch of (epoch, step), in patches: a function of this place and of the source alone.
    pub fn batch(&self, epoch: u64, step: usize, indices: &[u32]) -> Batch {
        let shape = self.data.shape;
        let mut patches = Vec::with_capacity(indices.len() * shape.len());
        let mut seen = Vec::new();
        for &i in indices {
            let image = self.image(i, epoch);
            patchify_into(&image.data, shape, self.patch, &mut patches);
            seen.extend(self.masking.sees_images().then_some(image));
        }
        self.masked(epoch, step, indices, BatchImages::Patches(patches), seen)
    }

    /// An image as it is trained on.
    fn image(&self, index: u32, epoch: u64) -> Image {
        self.pipeline.train_image(&self.data, &self.data.train, index as usize, self.seed, epoch)
    }

    /// The same batch as programs, if every image has one; else in patches.
    pub fn batch_of_programs(&self, epoch: u64, step: usize, indices: &[u32]) -> Batch {
        let program = |&i: &u32| self.pipeline.train_program(self.data.shape, i as usize, self.seed, epoch);
        match indices.iter().map(program).collect() {
            Some(programs) => {
                // The device makes the patches; masks that depend on them are drawn here.
                let asked = if self.masking.sees_images() { indices } else { &[] };
                let seen = asked.iter().map(|&i| self.image(i, epoch)).collect();
                self.masked(epoch, step, indices, BatchImages::Programs(programs), seen)
            }
            None => self.batch(epoch, step, indices),
        }
    }

    fn masked(
        &self,
        epoch: u64,
        step: usize,
        indices: &[u32],
        images: BatchImages,
        seen: Vec<Image>,
    ) -> Batch {
        let draw = BatchDraw {
            seed: self.seed,
            epoch,
            step: step as u64,
            images: indices.iter().map(|&i| u64::from(i)).collect(),
            repeat: 0,
            progress: epoch as f64 / self.epochs.max(1) as f64,
            pixels: seen.into(),
        };
        let masks = self.masking.views(self.data.shape.grid(self.patch), draw, &self.views);
        Batch { epoch, step, indices: indices.to_vec(), images, masks }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::data::pipeline::tests::{black_set, pipeline};
    use ijepa_registry::{
        mask::{Grid, MaskPlan},
        problem::Problem,
    };

    /// The context is a patch that the image's stream draws, the target the one after it.
    #[derive(Debug)]
    struct Drawn;

    impl Masking for Drawn {
        fn check(&self, _: Grid) -> Vec<Problem> {
            vec![]
        }
        fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
            let plan = |i| {
                let context = draw.image_stream(i).below(grid.len() - 1) as u32;
                MaskPlan::new(vec![context], vec![vec![context + 1]])
            };
            MaskBatch { plans: (0..draw.images.len()).map(plan).collect(), redraws: draw.step }
        }
    }

    /// `count` images of 2 x 2 patches, with a draw of their stream added.
    pub fn source(count: usize, seed: u64) -> BatchSource {
        BatchSource {
            data: Arc::new(black_set(count)),
            pipeline: pipeline(&[false]),
            masking: Box::new(Drawn),
            views: ViewOptions::default(),
            epochs: 4,
            patch: 2,
            seed,
        }
    }

    fn patches(batch: &Batch) -> &[f32] {
        match &batch.images {
            BatchImages::Patches(patches) => patches,
            BatchImages::Programs(programs) => panic!("{programs:?}"),
        }
    }

    #[test]
    fn a_batch_has_programs_if_all_its_images_do() {
        // This pipeline adds draws, which are no edits.
        assert_eq!(source(10, 5).batch_of_programs(1, 2, &[7, 3]), source(10, 5).batch(1, 2, &[7, 3]));
        let plain = BatchSource { pipeline: Pipeline::default(), ..source(10, 5) };
        let batch = plain.batch_of_programs(1, 2, &[7, 3]);
        let program = |i| TransformProgram::new(i, plain.data.shape, []).unwrap();
        assert_eq!(batch.images, BatchImages::Programs(vec![program(7), program(3)]));
        assert_eq!(batch.masks, plain.batch(1, 2, &[7, 3]).masks);
    }

    #[test]
    fn patches_and_masks_depend_on_image_epoch_and_seed_alone() {
        let batch = source(10, 5).batch(1, 2, &[7, 3]);
        assert_eq!((patches(&batch).len(), batch.masks.plans.len()), (2 * 48, 2));
        assert_eq!(batch, source(10, 5).batch(1, 2, &[7, 3]));
        let alone = source(10, 5).batch(1, 0, &[3]);
        assert_eq!(patches(&alone), &patches(&batch)[48..]);
        assert_eq!(alone.masks.plans, batch.masks.plans[1..]);
        for other in [source(10, 6).batch(1, 2, &[7, 3]), source(10, 5).batch(0, 2, &[7, 3])] {
            assert_ne!(other.images, batch.images);
        }
    }
}
