//! From settings to a model on a device.

use ijepa_registry::prelude::*;

use super::{Geometry, Jepa, cost::StepCost, terms::Term};
use crate::kernels::Backend;

/// The parts of an experiment that become tensors.
pub struct Builder {
    /// Seed of the initial values.
    pub seed: u64,
    /// What the patches of training images are like.
    pub patches: Box<dyn Fn() -> PatchMoments + Send + Sync>,
    /// Of the inputs of the model's matrix products.
    pub precision: MatmulPrecision,
    /// Sizes.
    pub geometry: Geometry,
    /// Encoder settings.
    pub encoder: Box<dyn EncoderSettings>,
    /// Predictor settings.
    pub predictor: Box<dyn PredictorSettings>,
    /// Settings of the targets.
    pub targets: Box<dyn TargetsSettings>,
    /// Loss settings.
    pub loss: Box<dyn LossSettings>,
    /// Name, subject and settings of every further term of the loss.
    pub terms: Vec<(String, Regularized, Box<dyn RegularizerSettings>)>,
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
    /// Builds targets here.
    fn build_targets(
        settings: &dyn TargetsSettings,
        context: &TargetsContext<Self>,
    ) -> Result<Box<dyn Targets<Self>>, ModelError>;
    /// Builds a regularizer here.
    fn build_regularizer(
        settings: &dyn RegularizerSettings,
        context: &RegularizerContext<Self>,
    ) -> Result<Box<dyn Regularizer<Self>>, ModelError>;
    /// Builds a loss here.
    fn build_loss(settings: &dyn LossSettings) -> Box<dyn Loss<Self>>;
    /// Builds an optimizer here.
    fn build_optimizer(settings: &dyn OptimizerSettings) -> Box<dyn Optimizer<Self>>;
}

macro_rules! build_on {
    ($device:ty, $method:ident) => {
        impl BuildDevice for $device {
            build_on!(@ $method build_encoder, EncoderSettings, EncoderContext, Encoder);
            build_on!(@ $method build_predictor, PredictorSettings, PredictorContext, Predictor);
            build_on!(@ $method build_targets, TargetsSettings, TargetsContext, Targets);
            build_on!(@ $method build_regularizer, RegularizerSettings, RegularizerContext, Regularizer);
            fn build_loss(settings: &dyn LossSettings) -> Box<dyn Loss<Self>> {
                settings.$method()
            }
            fn build_optimizer(settings: &dyn OptimizerSettings) -> Box<dyn Optimizer<Self>> {
                settings.$method()
            }
        }
    };
    (@ $method:ident $build:ident, $settings:ident, $context:ident, $built:ident) => {
        fn $build(
            settings: &dyn $settings,
            context: &$context<Self>,
        ) -> Result<Box<dyn $built<Self>>, ModelError> {
            settings.$method(context)
        }
    };
}

build_on!(Cpu, cpu);
#[cfg(feature = "cuda-base")]
build_on!(dfdx::prelude::Cuda, cuda);

impl Builder {
    /// The untrained encoder: what training starts from, and the `random_init` control.
    pub fn encoder<D: BuildDevice>(&self, device: &D) -> Result<Box<dyn Encoder<D>>, ModelError> {
        let image = self.geometry.image;
        let context = EncoderContext { device, seed: self.seed, image, patches: &*self.patches };
        let mut encoder = D::build_encoder(self.encoder.as_ref(), &context)?;
        self.round(encoder.params_mut());
        Ok(encoder)
    }

    /// The whole model; a teacher starts equal to the context encoder.
    pub fn model<D: BuildDevice>(&self, device: &D) -> Result<Jepa<D>, ModelError> {
        let targets = TargetsContext { device, seed: self.seed, encoder: &|| self.encoder(device) };
        let mut targets = D::build_targets(self.targets.as_ref(), &targets)?;
        self.round(targets.params_mut());
        Ok(Jepa {
            device: device.clone(),
            geometry: self.geometry,
            context_encoder: self.encoder(device)?,
            targets,
            predictor: self.predictor(device)?,
            loss: D::build_loss(self.loss.as_ref()),
            terms: self.terms.iter().map(|term| self.term(term, device)).collect::<Result<_, _>>()?,
        })
    }

    fn predictor<D: BuildDevice>(&self, device: &D) -> Result<Box<dyn Predictor<D>>, ModelError> {
        let context = PredictorContext {
            device,
            seed: self.seed,
            grid: self.geometry.grid(),
            encoder_dim: self.geometry.dim,
            target_dim: self.geometry.target_dim,
        };
        let mut predictor = D::build_predictor(self.predictor.as_ref(), &context)?;
        self.round(predictor.params_mut());
        Ok(predictor)
    }

    fn term<D: BuildDevice>(
        &self,
        (name, on, settings): &(String, Regularized, Box<dyn RegularizerSettings>),
        device: &D,
    ) -> Result<Term<D>, ModelError> {
        let dim = on.dim(self.geometry.dim, self.geometry.target_dim);
        let context = RegularizerContext { device, seed: self.seed, dim };
        let mut regularizer = D::build_regularizer(settings.as_ref(), &context)?;
        self.round(regularizer.params_mut());
        Ok(Term { name: name.clone(), on: *on, regularizer })
    }

    /// What a step costs.
    pub fn cost(&self) -> StepCost<'_> {
        StepCost {
            encoder: self.encoder.as_ref(),
            predictor: self.predictor.as_ref(),
            targets: self.targets.as_ref(),
            image: self.geometry.image,
        }
    }

    fn round<D: Device<f32>>(&self, params: Vec<&mut Param<D>>) {
        for param in params {
            param.precision = self.precision;
        }
    }

    /// A fresh optimizer.
    pub fn optimizer<D: BuildDevice>(&self) -> Box<dyn Optimizer<D>> {
        D::build_optimizer(self.optimizer.as_ref())
    }
}
