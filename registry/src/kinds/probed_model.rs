use super::{OptimizerSettings, Rates};
use crate::tensor::ModelError;

/// Which weights of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those of the encoder that is probed.
    Probed,
    /// Those of the context encoder, which is trained.
    Context,
    /// Those that training began with.
    Initial,
}

/// The model behind the features: what a probe may ask for that [uses it](super::Probe::uses_model).
pub trait ProbedModel {
    /// Width of a token.
    fn dim(&self) -> usize;
    /// Trained parameters of an encoder: name and values. The same names in the same order, whosever they are.
    fn weights(&self, of: Whose) -> Result<Vec<(String, Vec<f32>)>, ModelError>;
    /// Mean output tokens `(image, dim)` of all images that the probe is judged on.
    fn features(&self, of: Whose) -> Result<Vec<f32>, ModelError>;
    /// Of the first `images` images that the probe is judged on (all if there are fewer), each seen through `views` contexts that the
    /// experiment's masking draws, the mean output tokens of the probed encoder: `(image, view, dim)`.
    fn masked_features(&self, images: usize, views: usize) -> Result<Vec<f32>, ModelError>;
    /// A copy of the probed encoder that may be trained; nothing that happens to it moves the model.
    fn copy(&self, optimizer: &dyn OptimizerSettings) -> Result<Box<dyn EncoderCopy + '_>, ModelError>;
}

/// From mean output tokens `(image, dim)` to the gradient `(image, dim)` of a loss with respect to them.
pub type FeatureGradient<'a> = dyn FnMut(&[f32]) -> Result<Vec<f32>, ModelError> + 'a;

/// Training images of one step.
#[derive(Clone, Copy, Debug)]
pub struct TuningBatch<'a> {
    /// Which they are.
    pub images: &'a [u32],
    /// Epoch, from 0, of what is drawn for them.
    pub epoch: u64,
    /// Whether the experiment's augmentation changes them, or they are as features are extracted from them.
    pub augmented: bool,
}

/// An encoder of a probe's own. What stands on top of it is computed by the probe, on the host: it is given
/// features and gives their gradient back, so that it needs to know nothing of the device.
pub trait EncoderCopy {
    /// One step of the optimizer.
    fn step(
        &mut self,
        batch: &TuningBatch,
        gradient: &mut FeatureGradient,
        rates: Rates,
    ) -> Result<(), ModelError>;
    /// Mean output tokens `(image, dim)` of some of the images that the probe is judged on.
    fn features(&self, images: &[u32]) -> Result<Vec<f32>, ModelError>;
}
