//! One optimization step.

use ijepa_registry::prelude::*;

use super::{Session, StepNumbers, TrainError};
use crate::{
    data::Batch,
    events::MetricsRow,
    kernels::{self, LossValue},
    model::{BatchOutputs, BuildDevice, Phase, PhaseTimer, StepInput, cost::StepFlop},
};

/// What one step measured.
pub struct StepResult<D: BuildDevice> {
    /// Loss and gradient norm.
    pub numbers: StepNumbers<D>,
    /// Mask draws thrown away.
    pub redraws: u64,
    /// The parts of a metrics row that belong to this step alone, if asked for.
    pub details: Option<MetricsRow>,
}

/// What all parts of a batch give together.
struct Passes<D: BuildDevice> {
    /// Loss of every part and its share of the whole.
    losses: Vec<(f64, LossValue<D>)>,
    gradients: Gradients<f32, D>,
    outputs: Option<BatchOutputs<D>>,
    /// The distance alone and every further term, where there are any; a batch is whole then.
    terms: Vec<LossValue<D>>,
}

impl<D: BuildDevice> Session<D> {
    /// Forward, backward, optimizer, then EMA: the order of the published recipes. Does not wait
    /// for the device unless details are asked for; whether loss and gradient were finite is seen when
    /// they are read.
    pub fn step(&mut self, batch: &Batch, detailed: bool) -> Result<StepResult<D>, TrainError> {
        self.step_marked(batch, detailed, &mut |_| ())
    }

    /// [`Session::step`], reporting the end of each phase.
    pub fn step_marked(
        &mut self,
        batch: &Batch,
        detailed: bool,
        mark: &mut PhaseTimer,
    ) -> Result<StepResult<D>, TrainError> {
        let step = self.progress.step;
        let cleared = self.cleared_gradients()?;
        let Passes { losses, mut gradients, outputs, terms } =
            self.passes(batch, cleared, self.micro_batch_tokens, detailed, mark)?;
        let (rates, momentum) = (self.plan.rates(step), self.plan.momentum(step));
        let optimizer = self.optimizer.as_mut();
        let StepReport { gradient_norm } =
            self.jepa.update(optimizer, &mut gradients, rates, momentum, step)?;
        kernels::keep_gradients(&self.trained(), &mut gradients);
        self.gradients = gradients;
        mark(Phase::Update);
        let details = outputs.map(|outputs| self.details(&outputs, &terms, &batch.masks)).transpose()?;
        Ok(StepResult {
            numbers: StepNumbers { losses, gradient_norm },
            redraws: batch.masks.redraws,
            details,
        })
    }

    /// Where backward adds up gradients: memory of the step before, where there was one.
    fn cleared_gradients(&mut self) -> Result<Gradients<f32, D>, ModelError> {
        let mut gradients = std::mem::replace(&mut self.gradients, Gradients::leaky());
        D::clear(&self.trained(), &mut gradients)?;
        Ok(gradients)
    }

    /// What has a gradient.
    fn trained(&self) -> Vec<&Flat<D>> {
        let params = self.jepa.trained_params().into_iter();
        params.filter(|(_, p)| p.trainable).map(|(_, p)| &p.data).collect()
    }

    /// Forward and backward, adding to `gradients`, in parts of at most `micro_batch_tokens` patches; outputs if asked for.
    fn passes(
        &self,
        batch: &Batch,
        mut gradients: Gradients<f32, D>,
        micro_batch_tokens: usize,
        detailed: bool,
        mark: &mut PhaseTimer,
    ) -> Result<Passes<D>, TrainError> {
        let (jepa, plans) = (&self.jepa, &batch.masks.plans);
        let total = predicted_rows(plans) as f64;
        let weights = self.plan.weights(self.progress.step);
        let (mut losses, mut terms) = (Vec::new(), Vec::new());
        let mut outputs = detailed.then(BatchOutputs::default);
        for part in jepa.parts(plans.len(), micro_batch_tokens) {
            let images = self.batch_images(&batch.images, part.clone())?;
            let input = StepInput {
                plans: &plans[part.clone()],
                indices: &batch.indices[part.clone()],
                seed: self.plan.source.seed,
                epoch: batch.epoch,
                step: self.progress.step,
                weights: &weights,
            };
            let pass = jepa.forward(images, input, mark)?;
            let share = predicted_rows(&plans[part]) as f64 / total;
            if let Some(outputs) = &mut outputs {
                outputs.add(&pass, jepa.geometry.grid());
            }
            losses.push((share, pass.loss.retaped::<NoneTape>()));
            terms.clone_from(&pass.terms);
            gradients = pass.backward(share, gradients)?;
            mark(Phase::Backward);
        }
        Ok(Passes { losses, gradients, outputs, terms })
    }

    /// Useful operations of one step with masks of the plan's strategy: a mean, since masks differ.
    pub fn typical_flop(&self) -> Option<f64> {
        let cost = self.builder.cost();
        let masks = self.plan.typical_masks(self.plan.batch_size);
        StepFlop::mean(masks.map(|plans| cost.step(&plans))).map(|flop| flop.total())
    }

    fn details(
        &self,
        outputs: &BatchOutputs<D>,
        terms: &[LossValue<D>],
        masks: &MaskBatch,
    ) -> Result<MetricsRow, ModelError> {
        let step = self.progress.step;
        let Rates { learning_rate, weight_decay } = self.plan.rates(step);
        let prediction_stats = outputs.prediction_stats()?;
        let terms =
            if terms.is_empty() { Vec::new() } else { D::read(&terms.iter().collect::<Vec<_>>(), &[])? };
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
            explained_variance: prediction_stats.explained,
            explained_variance_constant: prediction_stats.constant,
            explained_variance_position: prediction_stats.position,
            target_std: prediction_stats.target_std,
            prediction_std: prediction_stats.prediction_std,
            context_patches: mean_length(&mut masks.plans.iter().flat_map(MaskPlan::contexts)),
            target_patches: mean_length(&mut masks.plans.iter().flat_map(MaskPlan::targets)),
            target_coverage: outputs.target_patches() as f64 / images,
            terms: self.plan.term_columns().into_iter().zip(terms).collect(),
            ..MetricsRow::default()
        })
    }
}

/// Tokens that are predicted: each target block of each context.
fn predicted_rows(plans: &[MaskPlan]) -> usize {
    plans.iter().flat_map(MaskPlan::targets).map(Vec::len).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{config, train::RunPlan};

    fn session() -> Session<Cpu> {
        let text = include_str!("../../experiments/sweeps/base-shapes.yaml");
        let small = [
            "dataset={ kind: shapes, train: 64, test: 16 }",
            "encoder={ kind: vit, dim: 32, depth: 2, heads: 2 }",
            "predictor={ kind: vit, dim: 16, depth: 1, heads: 2 }",
            "train.batch_size=16",
        ];
        let experiment =
            config::load("base-shapes", text, &small.map(String::from), &|_| Err("extends nothing".into()));
        let experiment = experiment.unwrap();
        let data = experiment.dataset.object.load(&LoadContext::silent()).unwrap();
        let (plan, builder) = RunPlan::new(experiment, Arc::new(data));
        Session::new(plan, builder, &Cpu::default()).unwrap()
    }

    #[test]
    fn micro_batches_have_the_loss_the_gradients_and_the_statistics_of_the_whole() {
        let session = session();
        let indices: Vec<u32> = (0..16).collect();
        let batch = session.plan.source.batch(0, 0, &indices);
        let patches = session.jepa.geometry.grid().len();
        let run = |tokens| {
            let passes = session.passes(&batch, Gradients::leaky(), tokens, true, &mut |_| ()).unwrap();
            let gradient_norm = Cpu::default().tensor_from_vec(vec![1.0], ());
            let numbers = StepNumbers { losses: passes.losses, gradient_norm };
            let loss = StepNumbers::read(&[numbers]).unwrap()[0].loss;
            (loss, passes.gradients, passes.outputs.unwrap().prediction_stats().unwrap())
        };
        let (loss, whole, prediction_stats) = run(usize::MAX);
        for images in [1, 5, 15] {
            let (part_loss, parts, part_stats) = run(images * patches);
            assert!((part_loss / loss - 1.0).abs() < 1e-6, "{images}: loss {part_loss}, not {loss}");
            assert!((part_stats.explained - prediction_stats.explained).abs() < 1e-5);
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
