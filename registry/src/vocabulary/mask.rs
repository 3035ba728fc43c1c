//! The patch grid and what a masking strategy returns.

use std::{borrow::Cow, sync::Arc};

use crate::{
    image::{Image, ImageShape},
    rng::Stream,
};

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

/// One question about an image: what is seen, and what is to be predicted from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What the context encoder sees: sorted, unique patch numbers.
    pub context: Vec<u32>,
    /// What is predicted: sorted, unique patch numbers, one list per target block.
    pub targets: Vec<Vec<u32>>,
}

/// The masks of one image: its views. All views of an image share one pass of the teacher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaskPlan {
    /// At least one view, in order.
    pub views: Vec<View>,
}

impl MaskPlan {
    /// One view.
    pub fn new(context: Vec<u32>, targets: Vec<Vec<u32>>) -> Self {
        MaskPlan { views: vec![View { context, targets }] }
    }
    /// The same targets, predicted from each of the contexts.
    pub fn crossed(contexts: Vec<Vec<u32>>, targets: Vec<Vec<u32>>) -> Self {
        let view = |context| View { context, targets: targets.clone() };
        MaskPlan { views: contexts.into_iter().map(view).collect() }
    }
    /// The context of every view.
    pub fn contexts(&self) -> impl Iterator<Item = &Vec<u32>> + Clone {
        self.views.iter().map(|view| &view.context)
    }
    /// The target blocks of every view; those that views share come again.
    pub fn targets(&self) -> impl Iterator<Item = &Vec<u32>> + Clone {
        self.views.iter().flat_map(|view| &view.targets)
    }
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
#[derive(Clone, Debug, Default)]
pub struct BatchDraw {
    /// Seed of the experiment.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Step within the epoch, from 0.
    pub step: u64,
    /// Index in the data set of every image of the batch.
    pub images: Vec<u64>,
    /// Which of several independent draws for the same images, from 0 (`masking.draws`).
    pub repeat: u64,
    /// Share of the epochs that is over, from 0 to below 1, for masks that follow a schedule.
    pub progress: f64,
    /// The images as they are trained on, in batch order, for a strategy that asks for them
    /// ([`crate::kinds::Masking::sees_images`]); for others none.
    pub pixels: Arc<[Image]>,
}

/// Side in pixels of a patch of noise.
const NOISE_PATCH: usize = 4;

impl BatchDraw {
    /// The stream shared by the whole batch.
    pub fn batch_stream(&self) -> Stream {
        Stream::new(self.seed, &self.purpose("mask/batch"), self.epoch, self.step)
    }
    /// The stream of image `i` of the batch; it does not depend on the batch around it.
    pub fn image_stream(&self, i: usize) -> Stream {
        Stream::new(self.seed, &self.purpose("mask/image"), self.epoch, self.images[i])
    }
    /// The stream of a choice among strategies for image `i`.
    pub fn choice_stream(&self, i: usize) -> Stream {
        Stream::new(self.seed, &self.purpose("mask/choice"), self.epoch, self.images[i])
    }
    /// The stream of what the options of the section do to the masks of image `i`.
    pub fn option_stream(&self, i: usize) -> Stream {
        Stream::new(self.seed, &self.purpose("mask/options"), self.epoch, self.images[i])
    }
    /// The same draw with noise in place of images, where none are at hand: for laws, checks, estimates of cost. Every
    /// patch of an image has a contrast of its own.
    pub fn with_noise(self, grid: Grid) -> Self {
        let (height, width) = (grid.rows * NOISE_PATCH, grid.cols * NOISE_PATCH);
        let shape = ImageShape { channels: 1, height, width };
        let image = |&key: &u64| {
            let mut stream = Stream::new(self.seed, "mask/noise", self.epoch, key);
            let contrasts: Vec<f64> = (0..grid.len()).map(|_| stream.uniform()).collect();
            let mut pixel = |p: usize| {
                let patch = p / width / NOISE_PATCH * grid.cols + p % width / NOISE_PATCH;
                (0.5 + contrasts[patch] * (stream.uniform() - 0.5)) as f32
            };
            Image { shape, data: (0..shape.len()).map(&mut pixel).collect() }
        };
        BatchDraw { pixels: self.images.iter().map(image).collect(), ..self }
    }
    /// The first draw has the streams of an experiment with one draw.
    fn purpose(&self, name: &'static str) -> Cow<'static, str> {
        if self.repeat == 0 { name.into() } else { format!("{name}/{}", self.repeat).into() }
    }
}
