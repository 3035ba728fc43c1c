use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    params::Parameters,
    problem::Problem,
    rng::Stream,
    tensor::{Cpu, Device, ModelError, Segments, TapedRows, TapedScalar},
};

/// What a regularizer looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Regularized {
    /// The tokens of the contexts, `(token, dim)`.
    Context,
    /// Their mean, one row per context: `(context, dim)`.
    PooledContext,
    /// The predicted tokens, `(predicted patch, target dim)`.
    Prediction,
}

impl Regularized {
    /// Width of these tokens, given those of the encoder and of the targets.
    pub fn dim(self, encoder_dim: usize, target_dim: usize) -> usize {
        match self {
            Self::Context | Self::PooledContext => encoder_dim,
            Self::Prediction => target_dim,
        }
    }
}

/// What a regularizer is built for.
pub struct RegularizerContext<'a, D: Device<f32>> {
    /// Where its parameters live, if it has any (a projector).
    pub device: &'a D,
    /// Seed of the experiment.
    pub seed: u64,
    /// Width of the tokens that it sees.
    pub dim: usize,
}

/// Key of what a term draws in a step, such as random directions: equal keys give equal draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepKey {
    /// Seed of the experiment.
    pub seed: u64,
    /// Step, from 0.
    pub step: u64,
}

impl StepKey {
    /// The stream of this step for this purpose.
    pub fn stream(self, purpose: &str) -> Stream {
        Stream::new(self.seed, purpose, 0, self.step)
    }
}

/// Settings of a regularizer: checks and builds.
pub trait RegularizerSettings: std::fmt::Debug + Send + Sync {
    /// What is wrong with the settings for tokens of this width.
    fn check(&self, dim: usize) -> Vec<Problem>;
    /// Builds it on the CPU.
    fn cpu(&self, context: &RegularizerContext<Cpu>) -> Result<Box<dyn Regularizer<Cpu>>, ModelError>;
    /// Builds it on a GPU. [`crate::build_on_devices!`] writes both.
    #[cfg(feature = "cuda")]
    fn cuda(
        &self,
        context: &RegularizerContext<crate::tensor::Gpu>,
    ) -> Result<Box<dyn Regularizer<crate::tensor::Gpu>>, ModelError>;
}

/// A term that is added to the loss, times its weight: what tokens should be like whatever the targets are.
/// Its parameters are trained with the model.
///
/// Promises: finite; a small step of the tokens against its gradient lowers it; a function of the tokens, the key
/// of the step and its parameters alone.
pub trait Regularizer<D: Device<f32>>: Parameters<D> {
    /// The term of `tokens` `(row, dim)`, whose sequences are `segments`: the tokens of a context, of a
    /// predicted block, or one pooled row per context. A batch always comes whole. What is random is drawn from
    /// streams of `key`.
    fn term(
        &self,
        tokens: TapedRows<D>,
        segments: &Segments,
        key: StepKey,
    ) -> Result<TapedScalar<D>, ModelError>;
}
