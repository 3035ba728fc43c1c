use super::encoder::{Encoder, EncoderSettings, PatchBatch};
use crate::{
    image::ImageShape,
    params::Parameters,
    problem::Problem,
    tensor::{Cpu, Device, Flat, ModelError, Rows},
};

/// Whose encoder makes the targets: what probes call `target`, and what a step costs, follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teacher {
    /// An encoder of its own, of the same form as the context encoder.
    Own,
    /// The context encoder itself.
    Student,
    /// None: targets come from the data.
    None,
}

/// What targets are built for.
pub struct TargetsContext<'a, D: Device<f32>> {
    /// Where parameters live.
    pub device: &'a D,
    /// Seed of the experiment.
    pub seed: u64,
    /// Builds an encoder like the context encoder before training, with the same initial values.
    pub encoder: &'a dyn Fn() -> Result<Box<dyn Encoder<D>>, ModelError>,
}

/// Settings of targets: check and build.
pub trait TargetsSettings: std::fmt::Debug + Send + Sync {
    /// What is wrong with the settings for this encoder.
    fn check(&self, encoder: &dyn EncoderSettings) -> Vec<Problem>;
    /// Width of a target.
    fn dim(&self, encoder: &dyn EncoderSettings, image: ImageShape) -> usize;
    /// Whose encoder makes them.
    fn teacher(&self) -> Teacher;
    /// Builds them on the CPU.
    fn cpu(&self, context: &TargetsContext<Cpu>) -> Result<Box<dyn Targets<Cpu>>, ModelError>;
    /// Builds them on a GPU. [`crate::build_on_devices!`] writes both.
    #[cfg(feature = "cuda")]
    fn cuda(
        &self,
        context: &TargetsContext<crate::tensor::Gpu>,
    ) -> Result<Box<dyn Targets<crate::tensor::Gpu>>, ModelError>;
}

/// What targets are made from.
pub struct TargetInput<'a, D: Device<f32>> {
    /// All patches of every image.
    pub images: &'a PatchBatch<D>,
    /// Rows of `images` that are predicted, sorted, each once.
    pub keep: &'a [u32],
    /// The context encoder as it is.
    pub student: &'a dyn Encoder<D>,
}

/// What is to be predicted. The parameters are those of its teacher: no gradient ever moves them.
///
/// Promises: one finite row of width `dim` per entry of `keep`, in order, without gradient; a function of its
/// input and its parameters alone.
pub trait Targets<D: Device<f32>>: Parameters<D> {
    /// The targets `(kept patch, dim)`.
    fn targets(&self, input: &TargetInput<D>) -> Result<Rows<D>, ModelError>;
    /// For each parameter of the context encoder, in its order, the tensor that follows it as a moving average
    /// with the momentum of the section `ema`, if any; empty if nothing moves in step `step`, from 0.
    fn shadows(&mut self, step: u64) -> Vec<Option<&mut Flat<D>>> {
        let _ = step;
        Vec::new()
    }
    /// What probes call `target`; none where nothing encodes.
    fn encoder<'a>(&'a self, student: &'a dyn Encoder<D>) -> Option<&'a dyn Encoder<D>>;
}
