//! One pass through the model, forward to backward, and what is kept of it for the metrics.

use dfdx::prelude::{Merge, PutTape, SplitTape};
use ijepa_registry::prelude::*;

use super::indexing::TargetRows;
use crate::kernels::{Backend, LossValue, PredictionStats};

/// The parts of a training step whose ends [`PhaseTimer`] reports, in order; the first four come again for
/// every part of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Target encoder, forward.
    Target,
    /// Context encoder, forward.
    Context,
    /// Predictor and loss, forward.
    Predictor,
    /// Predictor and context encoder, backward.
    Backward,
    /// Optimizer and moving average.
    Update,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Phase; 5] =
        [Phase::Target, Phase::Context, Phase::Predictor, Phase::Backward, Phase::Update];
}

/// Called at the end of every phase; the caller reads the clock.
pub type PhaseTimer<'a> = dyn FnMut(Phase) + 'a;

/// A forward pass that is ready for backward.
pub struct ForwardPass<D: Backend> {
    /// The loss, with the tape of everything before it.
    pub loss: TapedScalar<D>,
    /// The distance alone, then every further term before weighting; empty where there is none.
    pub terms: Vec<LossValue<D>>,
    /// Predicted tokens `(predicted patch, dim)`.
    pub prediction: Rows<D>,
    /// Transformed targets `(distinct target patch, dim)`.
    pub targets: Rows<D>,
    /// Which target belongs to which prediction.
    pub rows: TargetRows,
}

impl<D: Backend> ForwardPass<D> {
    /// Adds `share` times the gradients of the loss to those of `earlier` passes.
    pub fn backward(self, share: f64, earlier: Gradients<f32, D>) -> Result<Gradients<f32, D>, ModelError> {
        let ForwardPass { loss, prediction, targets, .. } = self;
        drop((prediction, targets));
        // The whole of a batch needs no scaling, nor a kernel of dfdx for it, which a GPU may lack.
        let scaled = if share == 1.0 { loss } else { D::scale(loss, share as f32)? };
        let (loss, tape) = scaled.split_tape();
        // A scalar that carries the earlier gradients brings them onto this tape.
        let (_, earlier) = loss.trace(earlier).split_tape();
        loss.put_tape(tape.merge(earlier)).try_backward().map_err(ModelError::from_debug)
    }
}

/// Predictions and targets of a whole batch, collected from its passes.
pub struct BatchOutputs<D: Backend> {
    prediction: Vec<Rows<D>>,
    targets: Vec<Rows<D>>,
    /// For every predicted row its row in `targets`.
    index: Vec<u32>,
    /// Grid position of every row of `targets`.
    positions: Vec<u32>,
}

impl<D: Backend> Default for BatchOutputs<D> {
    fn default() -> Self {
        BatchOutputs { prediction: vec![], targets: vec![], index: vec![], positions: vec![] }
    }
}

impl<D: Backend> BatchOutputs<D> {
    /// Appends a pass over the next images.
    pub fn add(&mut self, pass: &ForwardPass<D>, grid: Grid) {
        let before = self.positions.len() as u32;
        self.prediction.push(pass.prediction.clone());
        self.targets.push(pass.targets.clone());
        self.index.extend(pass.rows.index.iter().map(|i| before + i));
        self.positions.extend(pass.rows.positions(grid));
    }

    /// Distinct target patches.
    pub fn target_patches(&self) -> usize {
        self.positions.len()
    }

    /// How well the targets are predicted. Waits for the device.
    pub fn prediction_stats(&self) -> Result<PredictionStats, ModelError> {
        D::prediction_stats(&self.prediction, &self.targets, &self.index, &self.positions)
    }
}
