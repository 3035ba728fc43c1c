//! One optimization step.

use ijepa_registry::prelude::*;

use super::{Session, TrainError};
use crate::{
    data::Batch,
    events::MetricsRow,
    kernels,
    model::{BuildDevice, Pass, Skill, measure_skill},
};

/// What one step measured.
pub struct StepResult {
    /// Loss before the update.
    pub loss: f64,
    /// Gradient norm before clipping.
    pub gradient_norm: f64,
    /// Mask draws thrown away.
    pub redraws: u64,
    /// The parts of a metrics row that belong to this step alone, if asked for.
    pub details: Option<MetricsRow>,
}

impl<D: BuildDevice> Session<D> {
    /// Masks, forward, backward, optimizer, then EMA: the order of the published recipes. Returns
    /// without an update if the loss or the gradient is not finite.
    pub fn step(&mut self, batch: &Batch, detailed: bool) -> Result<StepResult, TrainError> {
        let step = self.progress.step;
        let masks = self.masks(batch);
        let pass = self.jepa.forward(&batch.images, &masks.plans)?;
        let loss = f64::from(pass.loss.as_vec()[0]);
        let mut result = StepResult { loss, gradient_norm: 0.0, redraws: masks.redraws, details: None };
        if detailed {
            result.details = Some(self.details(&pass, &masks)?);
        }
        if !loss.is_finite() {
            return Ok(result);
        }
        let Pass { loss, prediction, targets, .. } = pass;
        drop((prediction, targets));
        let mut gradients = loss.try_backward().map_err(ModelError::from_debug)?;
        let rates = self.plan.rates(step);
        let mut params = self.jepa.trained_params_mut();
        result.gradient_norm = self.optimizer.step(&mut params, &mut gradients, rates)?.gradient_norm;
        self.jepa.update_teacher(self.plan.momentum(step))?;
        Ok(result)
    }

    /// The masks of a batch: a function of the seed and the batch's place in the run alone.
    pub fn masks(&self, batch: &Batch) -> MaskBatch {
        let draw = BatchDraw {
            seed: self.plan.seed,
            epoch: batch.epoch,
            step: batch.step as u64,
            images: batch.indices.iter().map(|&i| u64::from(i)).collect(),
        };
        self.plan.masking.sample(self.jepa.geometry.grid(), &draw)
    }

    /// Useful operations of one step, counted on the masks of the first.
    pub fn typical_flop(&self) -> Option<f64> {
        let images = (0..self.plan.batch_size as u64).collect();
        let draw = BatchDraw { seed: self.plan.seed, epoch: 0, step: 0, images };
        let masks = self.plan.masking.sample(self.jepa.geometry.grid(), &draw);
        Some(self.jepa.size()?.step(&masks.plans))
    }

    fn details(&self, pass: &Pass<D>, masks: &MaskBatch) -> Result<MetricsRow, TrainError> {
        let step = self.progress.step;
        let Rates { learning_rate, weight_decay } = self.plan.rates(step);
        let skill = self.skill(pass)?;
        let images = masks.plans.len() as f64;
        let mean_length = |lists: &mut dyn Iterator<Item = &Vec<u32>>| {
            let (mut sum, mut count) = (0, 0);
            lists.for_each(|l| (sum, count) = (sum + l.len(), count + 1));
            sum as f64 / f64::from(count.max(1))
        };
        Ok(MetricsRow {
            learning_rate,
            weight_decay,
            ema_momentum: self.plan.momentum(step),
            explained_variance: skill.explained,
            explained_variance_constant: skill.constant,
            explained_variance_position: skill.position,
            target_std: skill.target_std,
            prediction_std: skill.prediction_std,
            context_patches: mean_length(&mut masks.plans.iter().flat_map(|p| &p.contexts)),
            target_patches: mean_length(&mut masks.plans.iter().flat_map(|p| &p.targets)),
            target_coverage: pass.rows.keep.len() as f64 / images,
            ..MetricsRow::default()
        })
    }

    fn skill(&self, pass: &Pass<D>) -> Result<Skill, TrainError> {
        let prediction = kernels::to_host(&pass.prediction)?;
        let targets = kernels::to_host(&pass.targets)?;
        let positions = pass.rows.positions(self.jepa.geometry.grid());
        Ok(measure_skill(&prediction, &targets, &pass.rows.index, &positions, self.jepa.geometry.dim))
    }
}
