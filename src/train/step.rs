//! One optimization step.

use ijepa_registry::prelude::*;

use super::{Session, TrainError};
use crate::{
    data::Batch,
    events::MetricsRow,
    model::{
        BuildDevice, Mark, Outputs, Phase,
        flops::{StepFlop, typical_masks},
    },
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

/// What all parts of a batch give together.
struct Passes<D: BuildDevice> {
    loss: f64,
    gradients: Gradients<f32, D>,
    outputs: Option<Outputs>,
}

impl<D: BuildDevice> Session<D> {
    /// Masks, forward, backward, optimizer, then EMA: the order of the published recipes. Returns
    /// without an update if the loss or the gradient is not finite.
    pub fn step(&mut self, batch: &Batch, detailed: bool) -> Result<StepResult, TrainError> {
        self.step_marked(batch, detailed, &mut |_| ())
    }

    /// [`Session::step`], reporting the end of each phase.
    pub fn step_marked(
        &mut self,
        batch: &Batch,
        detailed: bool,
        mark: &mut Mark,
    ) -> Result<StepResult, TrainError> {
        let step = self.progress.step;
        let masks = self.masks(batch);
        let Passes { loss, mut gradients, outputs } =
            self.passes(batch, &masks.plans, D::PART_TOKENS, detailed, mark)?;
        let mut result = StepResult { loss, gradient_norm: 0.0, redraws: masks.redraws, details: None };
        result.details = outputs.map(|outputs| self.details(&outputs, &masks));
        if !loss.is_finite() {
            return Ok(result);
        }
        let rates = self.plan.rates(step);
        let mut params = self.jepa.trained_params_mut();
        result.gradient_norm = self.optimizer.step(&mut params, &mut gradients, rates)?.gradient_norm;
        self.jepa.update_teacher(self.plan.momentum(step))?;
        mark(Phase::Update);
        Ok(result)
    }

    /// Forward and backward in parts of at most `part_tokens` patches; outputs if asked for. Stops after a
    /// part whose loss is not finite.
    fn passes(
        &self,
        batch: &Batch,
        plans: &[MaskPlan],
        part_tokens: usize,
        detailed: bool,
        mark: &mut Mark,
    ) -> Result<Passes<D>, TrainError> {
        let (jepa, length) = (&self.jepa, self.jepa.geometry.image.len());
        let total = predicted_rows(plans) as f64;
        let (mut loss, mut gradients) = (0.0, Gradients::leaky());
        let mut outputs = detailed.then(Outputs::default);
        for part in jepa.parts(plans.len(), part_tokens) {
            let images = &batch.images[part.start * length..part.end * length];
            let pass = jepa.forward_marked(images, &plans[part.clone()], mark)?;
            let share = predicted_rows(&plans[part]) as f64 / total;
            if let Some(outputs) = &mut outputs {
                outputs.add(&pass, jepa.geometry.grid())?;
            }
            let value = pass.loss.retaped::<NoneTape>();
            gradients = pass.backward(share, gradients)?;
            // Reading a number waits for a GPU: only now, when it has the whole backward pass to do.
            loss += share * f64::from(value.as_vec()[0]);
            mark(Phase::Backward);
            if !loss.is_finite() {
                break;
            }
        }
        Ok(Passes { loss, gradients, outputs })
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

    /// Useful operations of one step with masks of the plan's strategy: a mean, since masks differ.
    pub fn typical_flop(&self) -> Option<f64> {
        let (size, plan) = (self.jepa.size()?, &self.plan);
        let grid = self.jepa.geometry.grid();
        let masks = typical_masks(plan.masking.as_ref(), grid, plan.seed, plan.batch_size);
        Some(StepFlop::mean(&masks.map(|plans| size.step(&plans)).collect::<Vec<_>>()).total())
    }

    fn details(&self, outputs: &Outputs, masks: &MaskBatch) -> MetricsRow {
        let step = self.progress.step;
        let Rates { learning_rate, weight_decay } = self.plan.rates(step);
        let skill = outputs.skill(self.jepa.geometry.dim);
        let images = masks.plans.len() as f64;
        let mean_length = |lists: &mut dyn Iterator<Item = &Vec<u32>>| {
            let (mut sum, mut count) = (0, 0);
            lists.for_each(|l| (sum, count) = (sum + l.len(), count + 1));
            sum as f64 / f64::from(count.max(1))
        };
        MetricsRow {
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
            target_coverage: outputs.target_patches() as f64 / images,
            ..MetricsRow::default()
        }
    }
}

/// Tokens that are predicted: each target block of each context.
fn predicted_rows(plans: &[MaskPlan]) -> usize {
    plans.iter().map(|p| p.contexts.len() * p.targets.iter().map(Vec::len).sum::<usize>()).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{config, data::make_batch, train::RunPlan};

    fn session() -> Session<Cpu> {
        let text = include_str!("../../experiments/quickstart.yaml");
        let small = [
            "dataset={ kind: shapes, train: 64, test: 16 }",
            "encoder={ kind: vit, dim: 32, depth: 2, heads: 2 }",
            "predictor={ kind: vit, dim: 16, depth: 1, heads: 2 }",
            "train.batch_size=16",
        ];
        let experiment =
            config::load("quickstart", text, &small.map(String::from), &|_| Err("extends nothing".into()));
        let experiment = experiment.unwrap();
        let data = experiment.dataset.object.load(&LoadContext::silent()).unwrap();
        let (plan, builder) = RunPlan::new(experiment, Arc::new(data));
        Session::new(plan, builder, &Cpu::default()).unwrap()
    }

    #[test]
    fn a_batch_in_parts_has_the_loss_the_gradients_and_the_skill_of_the_whole() {
        let session = session();
        let plan = &session.plan;
        let indices: Vec<u32> = (0..16).collect();
        let batch = make_batch(&plan.data, &plan.pipeline, plan.seed, 0, 0, &indices);
        let plans = session.masks(&batch).plans;
        let patches = session.jepa.geometry.grid().len();
        let run = |tokens| session.passes(&batch, &plans, tokens, true, &mut |_| ()).unwrap();
        let Passes { loss, gradients: whole, outputs } = run(usize::MAX);
        let skill = outputs.unwrap().skill(32);
        for images in [1, 5, 15] {
            let Passes { loss: part_loss, gradients: parts, outputs } = run(images * patches);
            assert!((part_loss / loss - 1.0).abs() < 1e-6, "{images}: loss {part_loss}, not {loss}");
            assert!((outputs.unwrap().skill(32).explained - skill.explained).abs() < 1e-5);
            for (name, param) in session.jepa.trained_params().iter().filter(|(_, p)| p.trainable) {
                let (a, b) = (whole.get(&param.data).as_vec(), parts.get(&param.data).as_vec());
                let largest = a.iter().fold(0f32, |m, v| m.max(v.abs()));
                let off = a.iter().zip(&b).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
                // Sums of a few hundred rows in another order; the key bias has no true gradient.
                assert!(off <= 1e-5 * largest + 1e-7, "{images}: {name} is off by {off} of {largest}");
            }
        }
    }
}
