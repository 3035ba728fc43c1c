//! Everything an experiment says about training, with the data at hand.

use std::sync::{Arc, OnceLock};

use ijepa_registry::{
    image::ImageSet,
    kinds::{Augmentation, Horizon, Probe, Rates, Schedule},
    mask::MaskPlan,
};

use crate::{
    config::{CollapseRule, Component, Control, Experiment, ProbedEncoder, RegularizerSpec, term_columns},
    data::{BatchSource, Pipeline},
    model::{Builder, Geometry, cost::typical_masks},
};

/// A probe and when it runs.
pub struct PlannedProbe {
    /// Name of its rows.
    pub name: String,
    /// Hash of what decides its values.
    pub protocol: String,
    /// Epochs between two measurements; 0: only at the end.
    pub every: u64,
    /// Encoders to probe.
    pub encoders: Vec<ProbedEncoder>,
    /// Controls, measured at the end.
    pub controls: Vec<Control>,
    /// Label factors.
    pub labels: Vec<String>,
    /// Whether what it says of every image is left as a file.
    pub predictions: bool,
    /// The probe.
    pub probe: Box<dyn Probe>,
}

impl PlannedProbe {
    /// Whether it is measured at the end of `epoch`; all are at the last one.
    pub fn is_due(&self, epoch: u64, last: bool) -> bool {
        last || (self.every > 0 && epoch.is_multiple_of(self.every))
    }
}

/// What the training loop needs besides the model.
pub struct RunPlan {
    /// Data, pipeline, masking and the seed of every stream.
    pub source: Arc<BatchSource>,
    /// Learning rate.
    pub learning_rate: Box<dyn Schedule>,
    /// Weight decay.
    pub weight_decay: Box<dyn Schedule>,
    /// EMA momentum.
    pub ema: Box<dyn Schedule>,
    /// Name and weight of every further term of the loss.
    pub weights: Vec<(String, Box<dyn Schedule>)>,
    /// Length of the run.
    pub horizon: Horizon,
    /// Images per step.
    pub batch_size: usize,
    /// Steps between rows of `metrics.csv`.
    pub log_every: u64,
    /// Epochs between checkpoints.
    pub checkpoint_every: u64,
    /// Epochs between two of which the weights are kept; 0: none.
    pub keep_every: u64,
    /// Epochs of the run.
    pub epochs: u64,
    /// Numbers of the images that are held out among the training images; empty if nobody said.
    pub held_out: Vec<usize>,
    /// Evaluations.
    pub probes: Vec<PlannedProbe>,
    /// When the run counts as collapsed.
    pub collapse: Vec<CollapseRule>,
}

impl RunPlan {
    /// Takes the experiment apart: what trains goes into the plan, what is built on a device into
    /// the [`Builder`].
    pub fn new(experiment: Experiment, data: Arc<ImageSet>) -> (Self, Builder) {
        let horizon = experiment.horizon(data.count(&data.train));
        let step = |a: Component<dyn Augmentation>| (a.kind, a.object);
        let geometry = Geometry {
            image: data.shape,
            patch: experiment.encoder.object.patch(),
            dim: experiment.encoder.object.dim(),
            target_dim: experiment.targets.object.dim(experiment.encoder.object.as_ref(), data.shape),
        };
        let probes = experiment.probes.into_iter().map(|p| PlannedProbe {
            protocol: p.protocol(),
            name: p.name,
            every: p.every,
            encoders: p.encoders,
            controls: p.controls,
            labels: p.labels,
            predictions: p.predictions,
            probe: p.component.object,
        });
        let source = BatchSource {
            data,
            pipeline: Pipeline::new(experiment.augmentation.into_iter().map(step).collect()),
            masking: experiment.masking.object,
            views: experiment.views,
            epochs: experiment.train.epochs,
            patch: geometry.patch,
            seed: experiment.seed,
        };
        let mut weights = Vec::new();
        let mut terms = Vec::new();
        for RegularizerSpec { name, weight, on, component } in experiment.regularizers {
            weights.push((name.clone(), weight.object));
            terms.push((name, on, component.object));
        }
        let source = Arc::new(source);
        let plan = RunPlan {
            source: source.clone(),
            learning_rate: experiment.learning_rate.object,
            weight_decay: experiment.weight_decay.object,
            ema: experiment.ema.object,
            weights,
            horizon,
            batch_size: experiment.train.batch_size,
            log_every: experiment.train.log_every,
            checkpoint_every: experiment.train.checkpoint_every,
            keep_every: experiment.train.keep_every,
            epochs: experiment.train.epochs,
            held_out: Vec::new(),
            probes: probes.collect(),
            collapse: experiment.collapse,
        };
        let moments = OnceLock::new();
        let builder = Builder {
            seed: experiment.seed,
            patches: Box::new(move || moments.get_or_init(|| source.patch_moments()).clone()),
            precision: experiment.train.matmul,
            geometry,
            encoder: experiment.encoder.object,
            predictor: experiment.predictor.object,
            targets: experiment.targets.object,
            loss: experiment.loss.object,
            terms,
            optimizer: experiment.optimizer.object,
        };
        (plan, builder)
    }

    /// Learning rate and weight decay of a step.
    pub fn rates(&self, step: u64) -> Rates {
        Rates {
            learning_rate: self.learning_rate.value(step, self.horizon),
            weight_decay: self.weight_decay.value(step, self.horizon),
        }
    }

    /// Masks of some steps of `count` images, to count with.
    pub fn typical_masks(&self, count: usize) -> impl Iterator<Item = Vec<MaskPlan>> {
        let BatchSource { masking, views, seed, patch, data, .. } = &*self.source;
        typical_masks(masking.as_ref(), views, data.shape.grid(*patch), *seed, count)
    }

    /// Columns of `metrics.csv` for the parts of the loss; none where it has only one.
    pub fn term_columns(&self) -> Vec<String> {
        term_columns(self.weights.iter().map(|(name, _)| name.as_str()))
    }

    /// Weights of the terms in a step.
    pub fn weights(&self, step: u64) -> Vec<f64> {
        self.weights.iter().map(|(_, weight)| weight.value(step, self.horizon)).collect()
    }

    /// Whether the weights of an epoch before the last are kept.
    pub fn keeps(&self, epoch: u64) -> bool {
        self.keep_every > 0 && epoch.is_multiple_of(self.keep_every) && epoch < self.epochs
    }

    /// EMA momentum of a step.
    pub fn momentum(&self, step: u64) -> f64 {
        self.ema.value(step, self.horizon)
    }
}

#[cfg(test)]
mod tests {
    use ijepa_registry::{kinds::LoadContext, params::MatmulPrecision, tensor::Cpu};

    use super::*;
    use crate::config;

    #[test]
    fn every_parameter_of_the_model_rounds_as_the_experiment_says() {
        let text = include_str!("../../experiments/sweeps/base-shapes.yaml");
        let settings = [
            ("f32", MatmulPrecision::F32),
            ("bf16", MatmulPrecision::Bf16),
            ("bf16_amx", MatmulPrecision::Bf16Amx),
        ];
        for (setting, precision) in settings {
            let changes =
                ["dataset={ kind: shapes, train: 64, test: 16 }".into(), format!("train.matmul={setting}")];
            let experiment =
                config::load("base-shapes", text, &changes, &|_| Err("extends nothing".into())).unwrap();
            let data = experiment.dataset.object.load(&LoadContext::silent()).unwrap();
            let (_, builder) = RunPlan::new(experiment, Arc::new(data));
            let jepa = builder.model(&Cpu::default()).unwrap();
            assert!(jepa.all_params().iter().all(|(_, p)| p.precision == precision), "{setting}");
        }
    }
}
