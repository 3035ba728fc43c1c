//! From settings to a model on a device.

use ijepa_registry::prelude::*;

use super::{Geometry, Jepa};
use crate::kernels::Backend;

/// The parts of an experiment that become tensors.
pub struct Builder {
    /// Seed of the initial values.
    pub seed: u64,
    /// Of the inputs of the model's matrix products.
    pub rounding: Rounding,
    /// Sizes.
    pub geometry: Geometry,
    /// Encoder settings.
    pub encoder: Box<dyn EncoderSettings>,
    /// Predictor settings.
    pub predictor: Box<dyn PredictorSettings>,
    /// Loss settings.
    pub loss: Box<dyn LossSettings>,
    /// Optimizer settings.
    pub optimizer: Box<dyn OptimizerSettings>,
}

/// A device that components can be built on: picks the right method of every settings trait.
pub trait BuildDevice: Backend {
    /// Builds an encoder here.
    fn build_encoder(
        settings: &dyn EncoderSettings,
        context: &EncoderContext<Self>,
    ) -> Result<Box<dyn Encoder<Self>>, ModelError>;
    /// Builds a predictor here.
    fn build_predictor(
        settings: &dyn PredictorSettings,
        context: &PredictorContext<Self>,
    ) -> Result<Box<dyn Predictor<Self>>, ModelError>;
    /// Builds a loss here.
    fn build_loss(settings: &dyn LossSettings) -> Box<dyn Loss<Self>>;
    /// Builds an optimizer here.
    fn build_optimizer(settings: &dyn OptimizerSettings) -> Box<dyn Optimizer<Self>>;
}

macro_rules! build_on {
    ($device:ty, $method:ident) => {
        impl BuildDevice for $device {
            fn build_encoder(
                settings: &dyn EncoderSettings,
                context: &EncoderContext<Self>,
            ) -> Result<Box<dyn Encoder<Self>>, ModelError> {
                settings.$method(context)
            }
            fn build_predictor(
                settings: &dyn PredictorSettings,
                context: &PredictorContext<Self>,
            ) -> Result<Box<dyn Predictor<Self>>, ModelError> {
                settings.$method(context)
            }
            fn build_loss(settings: &dyn LossSettings) -> Box<dyn Loss<Self>> {
                settings.$method()
            }
            fn build_optimizer(settings: &dyn OptimizerSettings) -> Box<dyn Optimizer<Self>> {
                settings.$method()
            }
        }
    };
}

build_on!(Cpu, cpu);
#[cfg(feature = "cuda-base")]
build_on!(dfdx::prelude::Cuda, cuda);

impl Builder {
    /// The untrained encoder: what training starts from, and the `random_init` control.
    pub fn encoder<D: BuildDevice>(&self, device: &D) -> Result<Box<dyn Encoder<D>>, ModelError> {
        let context = EncoderContext { device, seed: self.seed, image: self.geometry.image };
        let mut encoder = D::build_encoder(self.encoder.as_ref(), &context)?;
        self.round(encoder.params_mut());
        Ok(encoder)
    }

    /// The whole model; the target encoder starts equal to the context encoder.
    pub fn model<D: BuildDevice>(&self, device: &D) -> Result<Jepa<D>, ModelError> {
        let context = PredictorContext {
            device,
            seed: self.seed,
            grid: self.geometry.grid(),
            encoder_dim: self.geometry.dim,
        };
        let mut predictor = D::build_predictor(self.predictor.as_ref(), &context)?;
        self.round(predictor.params_mut());
        Ok(Jepa {
            device: device.clone(),
            geometry: self.geometry,
            context_encoder: self.encoder(device)?,
            target_encoder: self.encoder(device)?,
            predictor,
            loss: D::build_loss(self.loss.as_ref()),
        })
    }

    fn round<D: Device<f32>>(&self, params: Vec<&mut Param<D>>) {
        for param in params {
            param.rounding = self.rounding;
        }
    }

    /// A fresh optimizer.
    pub fn optimizer<D: BuildDevice>(&self) -> Box<dyn Optimizer<D>> {
        D::build_optimizer(self.optimizer.as_ref())
    }
}
