//! Frozen features: of the encoders of a session, of one that was never trained, or the pixels themselves.
//! What probes measure and what is written for others comes from here.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use ijepa_registry::prelude::*;

use super::{Session, SplitImages, TrainError};
use crate::{
    config::{Control, ProbedEncoder},
    model::BuildDevice,
};

/// Images per pass of feature extraction.
pub const FEATURE_BATCH: usize = 256;

/// Whose features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An encoder of the model.
    Encoder(ProbedEncoder),
    /// What it is compared with.
    Control(Control),
}

impl Subject {
    /// All of them, in the order of the rows of probes.
    pub const ALL: [Subject; 4] = [
        Subject::Encoder(ProbedEncoder::Target),
        Subject::Encoder(ProbedEncoder::Context),
        Subject::Control(Control::RandomInit),
        Subject::Control(Control::Pixels),
    ];

    /// The control that is no encoder.
    pub const PIXELS: Subject = Subject::Control(Control::Pixels);

    /// What it is called in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Encoder(ProbedEncoder::Target) => "target",
            Subject::Encoder(ProbedEncoder::Context) => "context",
            Subject::Control(Control::RandomInit) => "random_init",
            Subject::Control(Control::Pixels) => "pixels",
        }
    }
}

/// What turns images into features.
pub enum Extractor<'a, D: BuildDevice> {
    /// An encoder of the session.
    Trained(&'a dyn Encoder<D>),
    /// The encoder as training starts from it.
    Untrained(Box<dyn Encoder<D>>),
    /// Nothing: the pixels.
    Pixels,
}

impl<D: BuildDevice> Extractor<'_, D> {
    fn encoder(&self) -> Option<&dyn Encoder<D>> {
        match self {
            Extractor::Trained(encoder) => Some(*encoder),
            Extractor::Untrained(encoder) => Some(encoder.as_ref()),
            Extractor::Pixels => None,
        }
    }
}

/// Takes the features of some more images, `(image, token, dim)`, in their order.
pub type TakeFeatures<'a> = dyn FnMut(&[f32]) -> io::Result<()> + 'a;

impl<D: BuildDevice> Session<D> {
    /// What extracts the features of a subject.
    pub fn extractor(&self, subject: Subject) -> Result<Extractor<'_, D>, TrainError> {
        Ok(match subject {
            Subject::Encoder(ProbedEncoder::Target) => {
                let missing = || ModelError("the targets have no encoder".into());
                Extractor::Trained(self.jepa.target_encoder().ok_or_else(missing)?)
            }
            Subject::Encoder(ProbedEncoder::Context) => {
                Extractor::Trained(self.jepa.context_encoder.as_ref())
            }
            Subject::Control(Control::RandomInit) => {
                Extractor::Untrained(self.builder.encoder(&self.jepa.device)?)
            }
            Subject::Control(Control::Pixels) => Extractor::Pixels,
        })
    }

    /// Features of an image and their width.
    pub fn feature_shape(&self, of: &Extractor<D>, needs: Needs) -> (usize, usize) {
        self.jepa.geometry.feature(of.encoder().is_some(), needs)
    }

    /// Features of the first `count` images of a split without augmentation, [`FEATURE_BATCH`] images at a time, so that
    /// no more of them are in memory than whoever takes them keeps. False if `stop` was set meanwhile.
    pub fn extract(
        &self,
        of: &Extractor<D>,
        needs: Needs,
        (from, count): (&SplitImages<D>, usize),
        stop: &AtomicBool,
        take: &mut TakeFeatures,
    ) -> Result<bool, TrainError> {
        let indices: Vec<usize> = (0..count).collect();
        for chunk in indices.chunks(FEATURE_BATCH) {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            take(&self.features_of(of, needs, from, chunk)?)?;
        }
        Ok(true)
    }

    /// Features of some images of a split.
    fn features_of(
        &self,
        of: &Extractor<D>,
        needs: Needs,
        from: &SplitImages<D>,
        chunk: &[usize],
    ) -> Result<Vec<f32>, TrainError> {
        if let Some(encoder) = of.encoder() {
            let images = self.evaluation_images(from, chunk)?;
            return Ok(self.jepa.features(encoder, needs, &images)?);
        }
        let data = &self.plan.source.data;
        let image = |&i: &usize| self.plan.source.pipeline.evaluation_image(data, from.split, i).data;
        let images: Vec<f32> = chunk.iter().flat_map(image).collect();
        Ok(if needs.tokens { self.jepa.geometry.patches(&images) } else { images })
    }
}
