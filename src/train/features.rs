//! Frozen features: of the encoders of a session, of one that was never trained, or the pixels themselves.
//! What probes measure and what is written for others comes from here.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use ijepa_registry::prelude::*;

use super::{
    Session, SplitImages, TrainError,
    patch_pca::{MOST_PATCHES, PatchPca},
};
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
    pub const ALL: [Subject; 5] = [
        Subject::Encoder(ProbedEncoder::Target),
        Subject::Encoder(ProbedEncoder::Context),
        Subject::Control(Control::RandomInit),
        Subject::Control(Control::Pixels),
        Subject::Control(Control::Pca),
    ];

    /// Whether it is an encoder of the experiment, which has layers.
    pub fn is_encoder(self) -> bool {
        match self {
            Subject::Encoder(_) => true,
            Subject::Control(control) => control.is_encoder(),
        }
    }

    /// What it is called in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Encoder(ProbedEncoder::Target) => "target",
            Subject::Encoder(ProbedEncoder::Context) => "context",
            Subject::Control(Control::RandomInit) => "random_init",
            Subject::Control(Control::Pixels) => "pixels",
            Subject::Control(Control::Pca) => "pca",
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
    /// Principal components of patches.
    Pca(PatchPca),
}

impl<D: BuildDevice> Extractor<'_, D> {
    /// The encoder, if it is one.
    pub fn encoder(&self) -> Option<&dyn Encoder<D>> {
        match self {
            Extractor::Trained(encoder) => Some(*encoder),
            Extractor::Untrained(encoder) => Some(encoder.as_ref()),
            Extractor::Pixels | Extractor::Pca(_) => None,
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
            Subject::Control(Control::Pca) => Extractor::Pca(self.patch_pca()?),
        })
    }

    /// Features of an image and their width.
    pub fn feature_shape(&self, of: &Extractor<D>, needs: Needs) -> (usize, usize) {
        let (tokens, dim) = self.jepa.geometry.feature(of.encoder().is_some(), needs);
        match of {
            Extractor::Pca(pca) => (tokens, pca.dim),
            _ => (tokens, dim),
        }
    }

    /// Fitted to training images at equal distances, as features are extracted from them.
    fn patch_pca(&self) -> Result<PatchPca, TrainError> {
        let (source, geometry) = (&self.plan.source, self.jepa.geometry);
        let (all, patches) = (source.data.count(&source.data.train), geometry.grid().len());
        let count = all.min((MOST_PATCHES / patches).max(1));
        if count == 0 {
            let missing = "the control `pca` is fitted to the training images, and there are none here";
            return Err(ModelError(missing.into()).into());
        }
        let image = |i: usize| {
            source.pipeline.evaluation_image(&source.data, &source.data.train, i * all / count).data
        };
        let images: Vec<f32> = (0..count).flat_map(image).collect();
        Ok(PatchPca::fit(&geometry.patches(&images), geometry.image.len() / patches, geometry.dim))
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
        let patches = || self.jepa.geometry.patches(&images);
        Ok(match of {
            Extractor::Pca(pca) if needs.pooling == Pooling::Tokens => pca.tokens(&patches()),
            Extractor::Pca(pca) => pca.pooled(&patches(), self.jepa.geometry.grid().len()),
            _ if needs.pooling == Pooling::Tokens => patches(),
            _ => images,
        })
    }
}
