//! The patch grid and what a masking strategy returns.

use crate::rng::Stream;

/// Patches of an image: `rows x cols`, numbered row-major from the top left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    /// Patch rows.
    pub rows: usize,
    /// Patch columns.
    pub cols: usize,
}

impl Grid {
    /// Number of patches.
    pub fn len(self) -> usize {
        self.rows * self.cols
    }
    /// Whether the grid holds no patch.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
    /// Patch numbers of the block whose top left patch is `(top, left)`, sorted.
    pub fn block(self, top: usize, left: usize, height: usize, width: usize) -> Vec<u32> {
        let row = |r: usize| (left..left + width).map(move |c| (r * self.cols + c) as u32);
        (top..top + height).flat_map(row).collect()
    }
}

/// The masks of one image. Each target is predicted on its own from each context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskPlan {
    /// What a context encoder pass sees: sorted, unique patch numbers, one list per context.
    pub contexts: Vec<Vec<u32>>,
    /// What is predicted: sorted, unique patch numbers, one list per target block.
    pub targets: Vec<Vec<u32>>,
}

/// The masks of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskBatch {
    /// One plan per image, in batch order.
    pub plans: Vec<MaskPlan>,
    /// Draws thrown away because they broke a promise (too small a context, say).
    pub redraws: u64,
}

/// Key of one batch's masks: equal keys give equal masks, whatever else happens in a run.
#[derive(Clone, Debug)]
pub struct BatchDraw {
    /// Seed of the experiment.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Step within the epoch, from 0.
    pub step: u64,
    /// Index in the data set of every image of the batch.
    pub images: Vec<u64>,
}

impl BatchDraw {
    /// The stream shared by the whole batch.
    pub fn batch_stream(&self) -> Stream {
        Stream::new(self.seed, "mask/batch", self.epoch, self.step)
    }
    /// The stream of image `i` of the batch; it does not depend on the batch around it.
    pub fn image_stream(&self, i: usize) -> Stream {
        Stream::new(self.seed, "mask/image", self.epoch, self.images[i])
    }
}
