//! One pass through the model, forward to backward, and what is kept of it for the metrics.

use dfdx::prelude::{Merge, PutTape, SplitTape};
use ijepa_registry::prelude::*;

use super::rows::TargetRows;
use crate::kernels::{Backend, Skill};

/// The parts of a training step whose ends [`Mark`] reports, in order; the first four come again for
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

/// Told at the end of every phase: who measures brings the clock.
pub type Mark<'a> = dyn FnMut(Phase) + 'a;

/// A forward pass that is ready for backward.
pub struct Pass<D: Backend> {
    /// The loss, with the tape of everything before it.
    pub loss: TapedScalar<D>,
    /// Predicted tokens `(predicted patch, dim)`.
    pub prediction: Rows<D>,
    /// Transformed targets `(distinct target patch, dim)`.
    pub targets: Rows<D>,
    /// Which target belongs to which prediction.
    pub rows: TargetRows,
}

impl<D: Backend> Pass<D> {
    /// Adds `share` times the gradients of the loss to those of `earlier` passes.
    pub fn backward(self, share: f64, earlier: Gradients<f32, D>) -> Result<Gradients<f32, D>, ModelError> {
        let Pass { loss, prediction, targets, .. } = self;
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
pub struct Outputs<D: Backend> {
    prediction: Vec<Rows<D>>,
    targets: Vec<Rows<D>>,
    /// For every predicted row its row in `targets`.
    index: Vec<u32>,
    /// Grid position of every row of `targets`.
    positions: Vec<u32>,
}

impl<D: Backend> Default for Outputs<D> {
    fn default() -> Self {
        Outputs { prediction: vec![], targets: vec![], index: vec![], positions: vec![] }
    }
}

impl<D: Backend> Outputs<D> {
    /// Appends a pass over the next images.
    pub fn add(&mut self, pass: &Pass<D>, grid: Grid) {
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
    pub fn skill(&self) -> Result<Skill, ModelError> {
        D::skill(&self.prediction, &self.targets, &self.index, &self.positions)
    }
}
