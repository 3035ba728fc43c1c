use super::encoder::{Cost, Layout, Mode};
use crate::{
    mask::{Grid, View},
    params::Parameters,
    problem::Problem,
    tensor::{Cpu, Device, ModelError, TapedRows},
};

/// One block to predict from one context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// Which sequence of the context layout is seen.
    pub context: usize,
    /// Patch numbers to predict.
    pub targets: Vec<u32>,
}

/// Everything to predict in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PredictionPlan {
    /// The encoded contexts.
    pub context: Layout,
    /// One entry per (context, target block), each predicted on its own.
    pub predictions: Vec<Prediction>,
}

impl PredictionPlan {
    /// Number of predicted patches.
    pub fn target_rows(&self) -> usize {
        self.predictions.iter().map(|p| p.targets.len()).sum()
    }
}

/// What a predictor is built for.
pub struct PredictorContext<'a, D: Device<f32>> {
    /// Where its parameters live.
    pub device: &'a D,
    /// Seed of the experiment.
    pub seed: u64,
    /// Patch grid.
    pub grid: Grid,
    /// Width of the encoder's tokens: what comes in.
    pub encoder_dim: usize,
    /// Width of the targets: what goes out. That of the encoder's tokens, unless the targets are something else.
    pub target_dim: usize,
}

/// Settings of a predictor: checks and builds.
pub trait PredictorSettings: std::fmt::Debug + Send + Sync {
    /// What is wrong with the settings for an encoder of this width.
    fn check(&self, encoder_dim: usize) -> Vec<Problem>;
    /// Number of values of its parameters on this grid, fixed tables included, without building it; none if
    /// not known.
    fn parameters(&self, grid: Grid, encoder_dim: usize, target_dim: usize) -> Option<u64> {
        let _ = (grid, encoder_dim, target_dim);
        None
    }
    /// What it costs to predict all targets of a view, with a context of `encoder_dim` and targets of
    /// `target_dim` values; none if not known.
    fn cost(&self, view: &View, encoder_dim: usize, target_dim: usize) -> Option<Cost> {
        let _ = (view, encoder_dim, target_dim);
        None
    }
    /// Whether it promises that a block's prediction does not depend on the other blocks of its view.
    fn is_blockwise(&self) -> bool {
        true
    }
    /// Builds it on the CPU.
    fn cpu(&self, context: &PredictorContext<Cpu>) -> Result<Box<dyn Predictor<Cpu>>, ModelError>;
    /// Builds it on a GPU. [`crate::build_on_devices!`] writes both.
    #[cfg(feature = "cuda")]
    fn cuda(
        &self,
        context: &PredictorContext<crate::tensor::Gpu>,
    ) -> Result<Box<dyn Predictor<crate::tensor::Gpu>>, ModelError>;
}

/// A built predictor.
///
/// Promises: one row of the targets' width per predicted patch, in the order of the plan; a block's prediction
/// does not depend on the other views and, where [`PredictorSettings::is_blockwise`], not on other blocks.
pub trait Predictor<D: Device<f32>>: Parameters<D> {
    /// Predicts the targets of `plan` from `context`, the encoded tokens `(token, dim)` of `plan.context`. A
    /// view's blocks follow one another and name the same context.
    fn predict(
        &self,
        context: TapedRows<D>,
        plan: &PredictionPlan,
        mode: Mode,
    ) -> Result<TapedRows<D>, ModelError>;
}
