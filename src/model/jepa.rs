//! Wiring of student, teacher and predictor (I-JEPA, arXiv 2301.08243).

use std::ops::Range;

use ijepa_registry::{
    device::{fused_ema::EmaUpdate, transform::TransformProgram},
    prelude::*,
};

use super::forward::{ForwardPass, Phase, PhaseTimer};
use super::indexing::{TargetRows, context_layout, context_rows, prediction_plan};
use super::terms::Term;
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
    /// Width of the targets.
    pub target_dim: usize,
}

impl Geometry {
    /// The patch grid.
    pub fn grid(&self) -> Grid {
        self.image.grid(self.patch)
    }

    /// Features of an image and their width, of an encoder or else of pixels.
    pub fn feature(&self, encoded: bool, needs: Needs) -> (usize, usize) {
        let (patches, rows) = (self.grid().len(), needs.pooling.rows(self.grid().len()));
        let width = match (encoded, needs.pooling) {
            (true, pooling) => self.dim * pooling.widths() * needs.layers,
            (false, Pooling::Tokens) => self.image.len() / patches,
            (false, _) => self.image.len(),
        };
        (rows, width)
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

/// Context encoder, targets, predictor and loss on one device.
pub struct Jepa<D: Backend> {
    /// Where the tensors live.
    pub device: D,
    /// Sizes.
    pub geometry: Geometry,
    /// Sees the context patches; trained.
    pub context_encoder: Box<dyn Encoder<D>>,
    /// Says what is to be predicted: by default a teacher that sees the whole image.
    pub targets: Box<dyn Targets<D>>,
    /// Guesses targets from context tokens; trained.
    pub predictor: Box<dyn Predictor<D>>,
    /// Compares the two.
    pub loss: Box<dyn Loss<D>>,
    /// Further terms of the loss, each with its weight in a step.
    pub terms: Vec<Term<D>>,
}

/// What a step brings besides the pixels.
#[derive(Clone, Copy, Debug)]
pub struct StepInput<'a> {
    /// Masks of every image.
    pub plans: &'a [MaskPlan],
    /// Which training images they are.
    pub indices: &'a [u32],
    /// Seed of the experiment.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Step of the run, from 0.
    pub step: u64,
    /// Weights of the terms.
    pub weights: &'a [f64],
}

impl<D: Backend> Jepa<D> {
    /// The loss of a step, with views `(c, t)` of every image `x`, encoder `f`, targets `h`, predictor `g`,
    /// distance `d` and terms `r_k` of weight `w_k`:
    ///
    /// ```text
    /// L = mean_t d(g(f(x_c), t), h(x)_t) + sum_k w_k r_k(f(x_c) or g)
    /// ```
    ///
    /// `images` holds all patches of every image; `mark` is told the end of each phase.
    pub fn forward(
        &self,
        images: PatchBatch<D>,
        step: StepInput,
        mark: &mut PhaseTimer,
    ) -> Result<ForwardPass<D>, ModelError> {
        let (plans, student) = (step.plans, self.context_encoder.as_ref());
        let rows = TargetRows::new(self.geometry.grid(), plans);
        let targets = self.targets.targets(&TargetInput { images: &images, keep: &rows.keep, student })?;
        let targets = self.loss.target(targets)?;
        mark(Phase::Target);
        let (context, draw) = (self.context(images.pixels, plans)?, step.draw());
        let encoded = student.encode_taped(&context, Mode::Train(&draw))?;
        mark(Phase::Context);
        let plan = prediction_plan(context.layout, plans);
        let seen = (!self.terms.is_empty()).then(|| encoded.retaped::<NoneTape>());
        let prediction = self.predictor.predict(encoded, &plan, Mode::Train(&draw))?;
        let kept = prediction.retaped::<NoneTape>();
        let wanted = D::gather_sum(targets.clone(), &rows.index, &[])?;
        let loss = self.loss.loss_in_place(prediction, wanted, &plan, self.geometry.grid())?;
        let (loss, terms) = self.add_terms(loss, seen, &plan, &kept, step)?;
        mark(Phase::Predictor);
        Ok(ForwardPass { loss, terms, prediction: kept, targets, rows })
    }

    /// Images of a batch of `count` that a step passes through the model together: all of them where
    /// their order of summation could matter to the loss, else parts of at most `tokens` patches. The
    /// activations that backward needs are then those of one part.
    pub fn parts(&self, count: usize, tokens: usize) -> Vec<Range<usize>> {
        let divisible = self.loss.is_mean_over_rows() && self.terms.is_empty();
        let images = if divisible { tokens / self.geometry.grid().len() } else { count };
        let parts = count.div_ceil(images.max(1));
        (0..parts).map(|i| i * count / parts..(i + 1) * count / parts).collect()
    }

    /// Step `step` of the optimizer; then a teacher that averages moves, if it does in this step: `teacher = momentum *
    /// teacher + (1 - momentum) * student`.
    pub fn update(
        &mut self,
        optimizer: &mut dyn Optimizer<D>,
        gradients: &mut Gradients<f32, D>,
        rates: Rates,
        momentum: f64,
        step: u64,
    ) -> Result<StepReport<D>, ModelError> {
        // Teachers come in the order of the context encoder's parameters, which are the first.
        let mut average = EmaUpdate { momentum, shadows: self.targets.shadows(step) };
        let mut params = named(CONTEXT, self.context_encoder.params_mut());
        params.extend(named(PREDICTOR, self.predictor.params_mut()));
        params.extend(self.terms.iter_mut().flat_map(Term::params_mut));
        let report = match optimizer.as_fused() {
            Some(fused) => fused.step_and_average(&mut params, gradients, rates, &mut average)?,
            None => optimizer.step(&mut params, gradients, rates)?,
        };
        let left = average.shadows.into_iter().zip(&params);
        let mut left: Vec<_> = left.filter_map(|(teacher, (_, p))| Some((teacher?, &p.data))).collect();
        D::ema(&mut left, momentum)?;
        Ok(report)
    }

    /// What probes see of some images, `(image, token, dim)`: of each of the last blocks that are asked for what
    /// `needs.pooling` makes of its tokens, side by side. `images` holds all patches of every image.
    pub fn features(
        &self,
        encoder: &dyn Encoder<D>,
        needs: Needs,
        images: &PatchBatch<D>,
    ) -> Result<Vec<f32>, ModelError> {
        let class = || {
            let missing = || ModelError("the encoder has no class token".into());
            encoder.class_tokens(images, needs.layers)?.ok_or_else(missing)
        };
        let of_patches =
            || encoder.encode(images, &EncodeRequest { layers: needs.layers, ..EncodeRequest::OUTPUT });
        let mean = |layer: Rows<D>| D::mean_rows(&layer, self.geometry.grid().len());
        let layers: Vec<Rows<D>> = match needs.pooling {
            Pooling::Tokens => of_patches()?,
            Pooling::Mean => of_patches()?.into_iter().map(mean).collect::<Result<_, _>>()?,
            Pooling::ClassToken => class()?,
            Pooling::ClassAndMean => {
                let both = class()?.into_iter().zip(of_patches()?);
                both.map(|(class, layer)| D::concat_columns(class, mean(layer)?)).collect::<Result<_, _>>()?
            }
        };
        let mut layers = layers.into_iter();
        let first = layers.next().ok_or_else(|| ModelError("the encoder returned no layer".into()))?;
        kernels::to_host(&layers.try_fold(first, D::concat_columns)?)
    }

    /// Mean tokens `(context, dim)` of an encoder that sees the contexts of `plans` alone.
    pub fn context_features(
        &self,
        encoder: &dyn Encoder<D>,
        images: PatchBatch<D>,
        plans: &[MaskPlan],
    ) -> Result<Vec<f32>, ModelError> {
        let context = self.context(images.pixels, plans)?;
        let tokens = encoder.tokens(&context, None)?;
        kernels::to_host(&D::segment_means(tokens, &context.layout.segments)?)
    }

    /// The encoder that probes call `target`, if there is one.
    pub fn target_encoder(&self) -> Option<&dyn Encoder<D>> {
        self.targets.encoder(self.context_encoder.as_ref())
    }

    /// Every named parameter that the optimizer updates, in a fixed order.
    pub fn trained_params(&self) -> Vec<(String, &Param<D>)> {
        let mut all = self.all_params();
        all.retain(|(name, _)| !name.starts_with(TARGET));
        all
    }

    /// Every named parameter, those of a teacher included: what a checkpoint holds.
    pub fn all_params(&self) -> Vec<(String, &Param<D>)> {
        let mut all = named(CONTEXT, self.context_encoder.params());
        all.extend(named(PREDICTOR, self.predictor.params()));
        all.extend(self.terms.iter().flat_map(Term::params));
        all.extend(named(TARGET, self.targets.params()));
        all
    }

    /// The same, to be replaced.
    pub fn all_params_mut(&mut self) -> Vec<(String, &mut Param<D>)> {
        let mut all = named(CONTEXT, self.context_encoder.params_mut());
        all.extend(named(PREDICTOR, self.predictor.params_mut()));
        all.extend(self.terms.iter_mut().flat_map(Term::params_mut));
        all.extend(named(TARGET, self.targets.params_mut()));
        all
    }

    /// Whole images from all of their patches on the host.
    pub fn images_of_patches(&self, patches: &[f32]) -> Result<PatchBatch<D>, ModelError> {
        let Geometry { image, patch, .. } = self.geometry;
        let layout = Layout::full(self.geometry.grid(), patches.len() / image.len());
        let width = image.channels * patch * patch;
        let pixels = kernels::from_host(&self.device, patches, layout.segments.rows(), width)?;
        Ok(PatchBatch { pixels, layout, grid: self.geometry.grid() })
    }

    /// Whole images made where the device holds `images`.
    pub fn images_of_programs(
        &self,
        images: &D::Images,
        programs: &[TransformProgram],
    ) -> Result<PatchBatch<D>, ModelError> {
        let layout = Layout::full(self.geometry.grid(), programs.len());
        let pixels = D::patches(images, programs, self.geometry.patch)?;
        Ok(PatchBatch { pixels, layout, grid: self.geometry.grid() })
    }

    /// The context patches alone, picked where `pixels` is.
    fn context(&self, pixels: Rows<D>, plans: &[MaskPlan]) -> Result<PatchBatch<D>, ModelError> {
        let grid = self.geometry.grid();
        let pixels = D::gather_sum(pixels, &context_rows(grid, plans), &[])?;
        Ok(PatchBatch { pixels, layout: context_layout(plans), grid })
    }
}

impl StepInput<'_> {
    /// Key of what terms of the loss draw.
    pub(super) fn key(&self) -> StepKey {
        StepKey { seed: self.seed, step: self.step }
    }

    /// Keys of what is drawn in the passes over the contexts.
    fn draw(&self) -> TrainDraw {
        let views = |(plan, image): (&MaskPlan, &u32)| {
            let image = u64::from(*image);
            (0..plan.views.len() as u64).map(move |view| (image, view))
        };
        let sequences = self.plans.iter().zip(self.indices).flat_map(views).collect();
        TrainDraw { seed: self.seed, epoch: self.epoch, sequences }
    }
}

/// Parameters with their full names.
pub(super) fn named<D: Device<f32>, P: std::ops::Deref<Target = Param<D>>>(
    root: &str,
    params: Vec<P>,
) -> Vec<(String, P)> {
    params.into_iter().map(|p| (format!("{root}{}", p.name), p)).collect()
}
