//! Wiring of student, teacher and predictor (I-JEPA, arXiv 2301.08243).

use std::ops::Range;

use ijepa_registry::{prelude::*, recipe::Recipe};

use super::flops::ModelSize;
use super::pass::{Mark, Pass, Phase};
use super::rows::{TargetRows, context_layout, context_rows, prediction_plan};
use crate::{
    data::patchify_into,
    kernels::{self, Backend},
};

/// Prefixes of parameter names.
const CONTEXT: &str = "context_encoder.";
const PREDICTOR: &str = "predictor.";
const TARGET: &str = "target_encoder.";

/// Sizes that every part of the model agrees on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Shape of the images.
    pub image: ImageShape,
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Width of the encoder's tokens.
    pub dim: usize,
}

impl Geometry {
    /// The patch grid.
    pub fn grid(&self) -> Grid {
        self.image.grid(self.patch)
    }

    /// The images, `(channel, row, column)` each, cut into their patches.
    pub fn patches(&self, images: &[f32]) -> Vec<f32> {
        let mut patches = Vec::with_capacity(images.len());
        for image in images.chunks_exact(self.image.len()) {
            patchify_into(image, self.image, self.patch, &mut patches);
        }
        patches
    }
}

/// Context encoder, target encoder, predictor and loss on one device.
pub struct Jepa<D: Backend> {
    /// Where the tensors live.
    pub device: D,
    /// Sizes.
    pub geometry: Geometry,
    /// Sees the context patches; trained.
    pub context_encoder: Box<dyn Encoder<D>>,
    /// Sees the whole image; an average of the context encoder's past.
    pub target_encoder: Box<dyn Encoder<D>>,
    /// Guesses target tokens from context tokens; trained.
    pub predictor: Box<dyn Predictor<D>>,
    /// Compares the two.
    pub loss: Box<dyn Loss<D>>,
}

impl<D: Backend> Jepa<D> {
    /// Predicts the targets of every image and compares. `images` holds all patches of `plans.len()`
    /// images; `mark` is told the end of each phase.
    pub fn forward(
        &self,
        images: PatchBatch<D>,
        plans: &[MaskPlan],
        mark: &mut Mark,
    ) -> Result<Pass<D>, ModelError> {
        let rows = TargetRows::new(self.geometry.grid(), plans);
        let raw = self.target_encoder.encode(&images, Some(&rows.keep))?;
        let targets = self.loss.target(raw)?;
        mark(Phase::Target);
        let context = self.context(images.pixels, plans)?;
        let plan = prediction_plan(context.layout.clone(), plans);
        let encoded = self.context_encoder.encode_taped(&context)?;
        mark(Phase::Context);
        let prediction = self.predictor.predict(encoded, &plan)?;
        let kept = prediction.retaped::<NoneTape>();
        let wanted = D::gather_sum(targets.clone(), &rows.index, &[])?;
        let loss = self.loss.loss(prediction, wanted)?;
        mark(Phase::Predictor);
        Ok(Pass { loss, prediction: kept, targets, rows })
    }

    /// Images of a batch of `count` that a step passes through the model together: all of them where
    /// their order of summation could matter to the loss, else parts of at most `tokens` patches. The
    /// activations that backward needs are then those of one part.
    pub fn parts(&self, count: usize, tokens: usize) -> Vec<Range<usize>> {
        let images = if self.loss.is_mean_over_rows() { tokens / self.geometry.grid().len() } else { count };
        let parts = count.div_ceil(images.max(1));
        (0..parts).map(|i| i * count / parts..(i + 1) * count / parts).collect()
    }

    /// One step of the optimizer; then the target encoder moves: `teacher = momentum * teacher +
    /// (1 - momentum) * student`.
    pub fn update(
        &mut self,
        optimizer: &mut dyn Optimizer<D>,
        gradients: &mut Gradients<f32, D>,
        rates: Rates,
        momentum: f64,
    ) -> Result<StepReport<D>, ModelError> {
        // Teachers come in the order of the context encoder's parameters, which are the first.
        let teachers = self.target_encoder.params_mut().into_iter();
        let followers = teachers.map(|t| t.trainable.then_some(&mut t.data)).collect();
        let mut average = Average { momentum, followers };
        let mut params = named(CONTEXT, self.context_encoder.params_mut());
        params.extend(named(PREDICTOR, self.predictor.params_mut()));
        let report = optimizer.step_and_average(&mut params, gradients, rates, &mut average)?;
        let left = average.followers.into_iter().zip(&params);
        let mut left: Vec<_> = left.filter_map(|(teacher, (_, p))| Some((teacher?, &p.data))).collect();
        D::ema(&mut left, momentum)?;
        Ok(report)
    }

    /// Mean over the patches of the last layer, `(image, dim)`: what probes see. `images` holds all patches
    /// of every image.
    pub fn features(&self, encoder: &dyn Encoder<D>, images: &PatchBatch<D>) -> Result<Vec<f32>, ModelError> {
        let tokens = encoder.encode(images, None)?;
        kernels::to_host(&D::mean_rows(&tokens, self.geometry.grid().len())?)
    }

    /// Sizes to count operations with; none for components that name their parameters in their own way.
    pub fn size(&self) -> Option<ModelSize> {
        let (encoder, predictor) = (self.context_encoder.params(), self.predictor.params());
        ModelSize::of(&encoder, &predictor, self.geometry.grid().len())
    }

    /// Every named parameter that the optimizer updates, in a fixed order.
    pub fn trained_params(&self) -> Vec<(String, &Param<D>)> {
        let mut all = self.all_params();
        all.retain(|(name, _)| !name.starts_with(TARGET));
        all
    }

    /// Every named parameter, the target encoder included: what a checkpoint holds.
    pub fn all_params(&self) -> Vec<(String, &Param<D>)> {
        [
            (CONTEXT, self.context_encoder.params()),
            (PREDICTOR, self.predictor.params()),
            (TARGET, self.target_encoder.params()),
        ]
        .into_iter()
        .flat_map(|(root, params)| named(root, params))
        .collect()
    }

    /// The same, to be replaced.
    pub fn all_params_mut(&mut self) -> Vec<(String, &mut Param<D>)> {
        [
            (CONTEXT, self.context_encoder.params_mut()),
            (PREDICTOR, self.predictor.params_mut()),
            (TARGET, self.target_encoder.params_mut()),
        ]
        .into_iter()
        .flat_map(|(root, params)| named(root, params))
        .collect()
    }

    /// Whole images from all of their patches on the host.
    pub fn images_of_patches(&self, patches: &[f32]) -> Result<PatchBatch<D>, ModelError> {
        let Geometry { image, patch, .. } = self.geometry;
        let layout = Layout::full(self.geometry.grid(), patches.len() / image.len());
        let width = image.channels * patch * patch;
        let pixels = kernels::from_host(&self.device, patches, layout.segments.rows(), width)?;
        Ok(PatchBatch { pixels, layout })
    }

    /// Whole images made where the device holds `images`.
    pub fn images_of_recipes(
        &self,
        images: &D::Images,
        recipes: &[Recipe],
    ) -> Result<PatchBatch<D>, ModelError> {
        let layout = Layout::full(self.geometry.grid(), recipes.len());
        Ok(PatchBatch { pixels: D::patches(images, recipes, self.geometry.patch)?, layout })
    }

    /// The context patches alone, picked where `pixels` is.
    fn context(&self, pixels: Rows<D>, plans: &[MaskPlan]) -> Result<PatchBatch<D>, ModelError> {
        let pixels = D::gather_sum(pixels, &context_rows(self.geometry.grid(), plans), &[])?;
        Ok(PatchBatch { pixels, layout: context_layout(plans) })
    }
}

/// Parameters with their full names.
fn named<D: Device<f32>, P: std::ops::Deref<Target = Param<D>>>(
    root: &str,
    params: Vec<P>,
) -> Vec<(String, P)> {
    params.into_iter().map(|p| (format!("{root}{}", p.name), p)).collect()
}
