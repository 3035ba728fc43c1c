//! The model as probes see it that ask for more than features: other weights, other views, and a copy to train.

use std::sync::atomic::{AtomicBool, Ordering};

use dfdx::prelude::{PutTape, SplitTape};
use ijepa_registry::prelude::*;

use super::{Extractor, FEATURE_BATCH, Session, SplitImages, Subject, TrainError};
use crate::{
    config::{Control, ProbedEncoder},
    events::ProbedSplit,
    kernels::{from_host, to_host},
    model::BuildDevice,
};

/// In front of the names of an encoder's parameters, as where it is trained: layer-wise decay goes by names.
const ENCODER: &str = "context_encoder.";

/// A session, as the encoder of a subject and the images that a probe is judged on.
pub(super) struct SessionModel<'a, D: BuildDevice> {
    session: &'a Session<D>,
    probed: Extractor<'a, D>,
    split: ProbedSplit,
    stop: &'a AtomicBool,
}

impl<'a, D: BuildDevice> SessionModel<'a, D> {
    /// Of the encoder behind `subject`.
    pub fn new(
        session: &'a Session<D>,
        subject: Subject,
        split: ProbedSplit,
        stop: &'a AtomicBool,
    ) -> Result<Self, TrainError> {
        Ok(SessionModel { session, probed: session.extractor(subject)?, split, stop })
    }

    /// What the probe is judged on.
    fn images(&self) -> SplitImages<'a, D> {
        match self.split {
            ProbedSplit::Test => self.session.test_images(),
            ProbedSplit::Validation => self.session.validation_images(),
        }
    }

    fn count(&self) -> usize {
        self.session.plan.source.data.count(self.images().split)
    }

    /// Does `work` with an encoder.
    fn with<T>(
        &self,
        of: Whose,
        work: impl FnOnce(&Extractor<D>) -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        let subject = match of {
            Whose::Probed => return work(&self.probed),
            Whose::Context => Subject::Encoder(ProbedEncoder::Context),
            Whose::Initial => Subject::Control(Control::RandomInit),
        };
        work(&self.session.extractor(subject).map_err(model_error)?)
    }

    /// One context of each of these images, from draw number `view` of the experiment's masking.
    fn contexts(&self, images: &[usize], view: usize) -> Vec<MaskPlan> {
        let source = &self.session.plan.source;
        let horizon = self.session.plan.horizon.steps.max(1);
        let (split, asked) = (self.images().split, source.masking.sees_images());
        let seen = images.iter().filter(|_| asked);
        let draw = BatchDraw {
            seed: source.seed,
            pixels: seen.map(|&i| source.pipeline.evaluation_image(&source.data, split, i)).collect(),
            images: images.iter().map(|&i| i as u64).collect(),
            repeat: view as u64,
            progress: (self.session.progress.step as f64 / horizon as f64).min(1.0 - f64::EPSILON),
            ..BatchDraw::default()
        };
        // As training sees them, units and all; the views of an image are asked for one by one.
        let options = ViewOptions { draws: 1, ..source.views.clone() };
        let mut plans = source.masking.views(self.session.jepa.geometry.grid(), draw, &options).plans;
        plans.iter_mut().for_each(|plan| plan.views.truncate(1));
        plans
    }
}

impl<D: BuildDevice> ProbedModel for SessionModel<'_, D> {
    fn dim(&self) -> usize {
        self.session.jepa.geometry.dim
    }

    fn weights(&self, of: Whose) -> Result<Vec<(String, Vec<f32>)>, ModelError> {
        self.with(of, |extractor| {
            let params = encoder_of(extractor)?.params().into_iter().filter(|param| param.trainable);
            Ok(params.map(|param| (param.name.clone(), param.data.as_vec())).collect())
        })
    }

    fn features(&self, of: Whose) -> Result<Vec<f32>, ModelError> {
        self.with(of, |extractor| {
            let mut features = Vec::new();
            let mut take = |some: &[f32]| {
                features.extend_from_slice(some);
                Ok(())
            };
            let images = self.images();
            let whole =
                self.session.extract(extractor, Needs::POOLED, (&images, self.count()), self.stop, &mut take);
            if whole.map_err(model_error)? { Ok(features) } else { Err(stopped()) }
        })
    }

    fn masked_features(&self, images: usize, views: usize) -> Result<Vec<f32>, ModelError> {
        let (encoder, jepa) = (encoder_of(&self.probed)?, &self.session.jepa);
        let all: Vec<usize> = (0..images.min(self.count())).collect();
        let mut features = Vec::new();
        for chunk in all.chunks(FEATURE_BATCH) {
            let whole = self.session.evaluation_images(&self.images(), chunk)?;
            let mut of_views = Vec::new();
            for view in 0..views {
                if self.stop.load(Ordering::Relaxed) {
                    return Err(stopped());
                }
                of_views.push(jepa.context_features(encoder, whole.clone(), &self.contexts(chunk, view))?);
            }
            // (view, image, dim) to (image, view, dim).
            let dim = self.dim();
            let rows =
                (0..chunk.len()).flat_map(|i| of_views.iter().map(move |v| &v[i * dim..(i + 1) * dim]));
            features.extend(rows.flatten());
        }
        Ok(features)
    }

    fn copy(&self, optimizer: &dyn OptimizerSettings) -> Result<Box<dyn EncoderCopy + '_>, ModelError> {
        let mut encoder = self.session.builder.encoder(&self.session.jepa.device)?;
        let own = encoder.params_mut().into_iter();
        for (to, from) in own.zip(encoder_of(&self.probed)?.params()) {
            // Through the host: a clone on the device could share its memory, and training writes in place.
            to.data.copy_from(&from.data.as_vec());
        }
        Ok(Box::new(Copy { model: self, encoder, optimizer: D::build_optimizer(optimizer) }))
    }
}

/// A copy of the probed encoder, and its optimizer.
struct Copy<'a, D: BuildDevice> {
    model: &'a SessionModel<'a, D>,
    encoder: Box<dyn Encoder<D>>,
    optimizer: Box<dyn Optimizer<D>>,
}

impl<D: BuildDevice> Copy<'_, D> {
    /// All patches of the images of a step.
    fn patches(&self, batch: &TuningBatch) -> Result<PatchBatch<D>, ModelError> {
        let session = self.model.session;
        let images: Vec<usize> = batch.images.iter().map(|&i| i as usize).collect();
        if !batch.augmented {
            return session.evaluation_images(&session.train_images(), &images);
        }
        let source = &session.plan.source;
        let image = |&i: &usize| {
            source.pipeline.train_image(&source.data, &source.data.train, i, source.seed, batch.epoch).data
        };
        let pixels: Vec<f32> = images.iter().flat_map(image).collect();
        session.jepa.images_of_patches(&session.jepa.geometry.patches(&pixels))
    }
}

impl<D: BuildDevice> EncoderCopy for Copy<'_, D> {
    fn step(
        &mut self,
        batch: &TuningBatch,
        gradient: &mut FeatureGradient,
        rates: Rates,
    ) -> Result<(), ModelError> {
        if self.model.stop.load(Ordering::Relaxed) {
            return Err(stopped());
        }
        let (images, seed) = (self.patches(batch)?, self.model.session.plan.source.seed);
        let sequences = batch.images.iter().map(|&i| (u64::from(i), 0)).collect();
        let draw = TrainDraw { seed, epoch: batch.epoch, sequences };
        let tokens = self.encoder.encode_taped(&images, Mode::Train(&draw))?;
        let (pooled, tape) = D::segment_means(tokens, &images.layout.segments)?.split_tape();
        let slopes = gradient(&to_host(&pooled)?)?;
        let slopes: Rows<D> =
            from_host(&self.model.session.jepa.device, slopes, batch.images.len(), self.model.dim())?;
        // The gradient of sum(g * features), with g held constant, is that of the loss.
        let loss = D::sum(D::multiply(pooled.put_tape(tape), slopes)?)?;
        let mut gradients = loss.try_backward().map_err(ModelError::from_debug)?;
        let params = self.encoder.params_mut().into_iter();
        let mut named: Vec<_> = params.map(|p| (format!("{ENCODER}{}", p.name), p)).collect();
        self.optimizer.step(&mut named, &mut gradients, rates)?;
        Ok(())
    }

    fn features(&self, images: &[u32]) -> Result<Vec<f32>, ModelError> {
        let (session, images) = (self.model.session, images.iter().map(|&i| i as usize).collect::<Vec<_>>());
        let mut features = Vec::new();
        for chunk in images.chunks(FEATURE_BATCH) {
            let batch = session.evaluation_images(&self.model.images(), chunk)?;
            features.extend(session.jepa.features(self.encoder.as_ref(), Needs::POOLED, &batch)?);
        }
        Ok(features)
    }
}

fn encoder_of<'a, D: BuildDevice>(of: &'a Extractor<D>) -> Result<&'a dyn Encoder<D>, ModelError> {
    of.encoder().ok_or_else(|| ModelError("there is no encoder behind these features".into()))
}

fn stopped() -> ModelError {
    ModelError("stopped".into())
}

fn model_error(error: TrainError) -> ModelError {
    match error {
        TrainError::Model(error) => error,
        other => ModelError(other.to_string()),
    }
}
