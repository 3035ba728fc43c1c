//! What an experiment costs, known before it runs.

use std::{cell::RefCell, collections::HashMap, path::PathBuf};

use ijepa_registry::prelude::*;

use super::Rates;
use crate::{
    config::{DataFacts, Experiment},
    model::{
        MICRO_BATCH_TOKENS,
        cost::{StepCost, StepFlop, typical_masks},
    },
    run::{absent, data, memory},
    sweep::{Cost, Costs},
};

/// How closely data are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Look {
    /// Not at all: a mere check of settings.
    #[default]
    Away,
    /// At names and sizes; at the content where a run in this folder may be of these data or of others.
    From(PathBuf),
    /// At the content, for runs in this folder.
    Closely(PathBuf),
}

/// Told what is being read and how far it is: (what, done, total or 0 if unknown).
type Tell = Box<dyn Fn(&str, u64, u64) + Sync>;

/// Costs by what decides them: seeds, schedules and probes share one.
#[derive(Default)]
pub struct CostMemory {
    known: RefCell<HashMap<String, Cost>>,
    rates: Option<Rates>,
    look: Look,
    tell: Option<Tell>,
    seen: RefCell<HashMap<String, Option<DataFacts>>>,
}

impl CostMemory {
    /// One that measures seconds where they are asked for, and looks at data.
    pub fn with(rates: Rates, look: Look) -> Self {
        CostMemory { rates: Some(rates), look, ..CostMemory::default() }
    }

    /// The same, which tells how far it is where it reads images.
    pub fn telling(self, tell: impl Fn(&str, u64, u64) + Sync + 'static) -> Self {
        CostMemory { tell: Some(Box::new(tell)), ..self }
    }

    /// Counts, labels and content.
    fn read(&self, experiment: &Experiment) -> Result<Option<DataFacts>, DataError> {
        let silent = |_: &str, _, _| ();
        let context = LoadContext { progress: self.tell.as_deref().unwrap_or(&silent) };
        data::known(experiment, &context)
    }

    /// Data that are not there, with the runs that were finished while they were.
    fn absent(&self, error: DataError, experiment: &Experiment) -> String {
        match &self.look {
            Look::Away => error.to_string(),
            Look::From(output) | Look::Closely(output) => absent(error, experiment, output).to_string(),
        }
    }

    /// Whether the content has to be known to say which run folder is meant.
    fn is_in_question(&self, experiment: &Experiment) -> bool {
        match &self.look {
            Look::Away => false,
            Look::From(output) => !data::runs_on_any_data(output, experiment).is_empty(),
            Look::Closely(_) => true,
        }
    }
}

impl Costs for CostMemory {
    fn data(&self, experiment: &Experiment, exactly: bool) -> Result<Option<DataFacts>, String> {
        let dataset = &experiment.dataset;
        if self.look == Look::Away || !dataset.object.reads_files() {
            return Ok(None);
        }
        let key = format!("{}{}", dataset.kind, dataset.settings);
        let seen = self.seen.borrow().get(&key).cloned();
        let facts = match seen {
            Some(facts) => facts,
            None => data::facts(experiment).map_err(|e| self.absent(e, experiment))?,
        };
        let told = facts.as_ref().is_some_and(|facts| facts.content.is_some());
        let facts = match told || !(exactly || self.is_in_question(experiment)) {
            true => facts,
            false => self.read(experiment).map_err(|e| self.absent(e, experiment))?,
        };
        self.seen.borrow_mut().insert(key, facts.clone());
        Ok(facts)
    }

    fn cost(&self, experiment: &Experiment) -> Result<Cost, String> {
        let key = decisive(experiment);
        if let Some(known) = self.known.borrow().get(&key) {
            return Ok(*known);
        }
        let cost = cost(experiment).map_err(|e| e.to_string())?;
        self.known.borrow_mut().insert(key, cost);
        Ok(cost)
    }

    /// Without a table of rates, which a mere check has not, operations stand for seconds.
    fn seconds_per_step(&self, experiment: &Experiment) -> Result<f64, String> {
        match &self.rates {
            Some(rates) => {
                let key = blake3::hash(decisive(experiment).as_bytes()).to_hex()[..12].to_owned();
                rates.seconds_per_step(&key, experiment)
            }
            None => Ok(self.cost(experiment)?.flop_per_step.unwrap_or(1.0)),
        }
    }
}

/// Gradients of activations, copies and spare room in buffers, by experience: with it the estimate for the
/// baseline is 504 MiB, and `ijepa-run bench --steps 10` measured 461 (docs/performance.md, machine A).
const WITH_WORKING_MEMORY: f64 = 1.3;

/// Resident memory of the program beside tensors and images, bytes: code, threads, working memory.
const PROGRAM: f64 = 60.0 * 1024.0 * 1024.0;

/// What the cost of a step depends on: everything but what happens between steps and how fast.
fn decisive(experiment: &Experiment) -> String {
    let mut all = experiment.resolved();
    if let Some(top) = all.as_object_mut() {
        let cosmetic =
            ["name", "seed", "device", "learning_rate", "weight_decay", "ema", "probes", "collapse"];
        top.retain(|section, _| !cosmetic.contains(&section.as_str()));
    }
    let train = &experiment.train;
    all["train"] = serde_json::json!([train.batch_size, train.matmul]);
    all.to_string()
}

/// Builds the model, untrained, and counts. Masks are those of first steps with seed 0, whatever the
/// seed of the experiment, so that runs that differ only in their seed cost the same.
fn cost(experiment: &Experiment) -> Result<Cost, ModelError> {
    memory::check_weights(experiment).map_err(|e| ModelError(e.to_string()))?;
    let image = experiment.dataset.object.shape();
    let (settings, targets) = (experiment.encoder.object.as_ref(), experiment.targets.object.as_ref());
    let (grid, device) = (experiment.grid(), Cpu::default());
    let (encoder_dim, target_dim) = (settings.dim(), targets.dim(settings, image));
    // Values do not matter here, so no image is looked at.
    let patches = || PatchMoments::standard(image.channels * settings.patch().pow(2));
    let encoder = settings.cpu(&EncoderContext { device: &device, seed: 0, image, patches: &patches })?;
    let context = PredictorContext { device: &device, seed: 0, grid, encoder_dim, target_dim };
    let predictor = experiment.predictor.object.cpu(&context)?;
    let mut of_terms = 0;
    for term in &experiment.regularizers {
        let dim = term.on.dim(encoder_dim, target_dim);
        let built = term.component.object.cpu(&RegularizerContext { device: &device, seed: 0, dim })?;
        of_terms += count(&built.params());
    }
    let (of_encoder, of_predictor) = (count(&encoder.params()), count(&predictor.params()));
    let masking = experiment.masking.object.as_ref();
    let batch_size = experiment.train.batch_size;
    let steps: Vec<Vec<MaskPlan>> = typical_masks(masking, &experiment.views, grid, 0, batch_size).collect();
    let cost = step_cost(experiment);
    let parameters = of_encoder + of_predictor + of_terms;
    Ok(Cost {
        parameters,
        tokens_per_step: steps.iter().flatten().map(tokens).sum::<usize>() as f64 / steps.len() as f64,
        flop_per_step: StepFlop::mean(steps.iter().map(|plans| cost.step(plans))).map(|flop| flop.total()),
        memory: most_activations(&cost, &steps, batch_size.min((MICRO_BATCH_TOKENS / grid.len()).max(1)))
            .map(|largest| {
                // Weights, gradients and two moments; a teacher of its own.
                let teacher = if targets.teacher() == Teacher::Own { of_encoder } else { 0 };
                let count = experiment.survey().map_or(0, |s| s.train + s.test);
                let images = experiment.dataset.object.memory(count);
                let values = (4 * parameters + teacher) as f64 + WITH_WORKING_MEMORY * largest;
                4.0 * values + images as f64 + PROGRAM
            }),
    })
}

fn count(params: &[&Param<Cpu>]) -> u64 {
    params.iter().map(|p| p.dims.iter().product::<usize>() as u64).sum()
}

fn step_cost(experiment: &Experiment) -> StepCost<'_> {
    StepCost {
        encoder: experiment.encoder.object.as_ref(),
        predictor: experiment.predictor.object.as_ref(),
        targets: experiment.targets.object.as_ref(),
        image: experiment.dataset.object.shape(),
    }
}

/// Values that backward needs of the first `part` images of a step, at most.
fn most_activations(cost: &StepCost, steps: &[Vec<MaskPlan>], part: usize) -> Option<f64> {
    let of = |plans: &Vec<MaskPlan>| cost.activations(&plans[..part]);
    steps.iter().map(of).try_fold(0.0, |most, values| Some(f64::max(most, values?)))
}

fn tokens(plan: &MaskPlan) -> usize {
    plan.contexts().chain(plan.targets()).map(Vec::len).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        config,
        train::{RunPlan, Session},
    };

    /// With masks that a batch shares, one draw says little.
    #[test]
    fn a_plan_counts_what_a_run_says_at_its_start() {
        let text = include_str!("../../experiments/sweeps/base-shapes.yaml");
        let small = [
            "dataset={ kind: shapes, train: 64, test: 16 }",
            "masking=multiblock_batch",
            "train.batch_size=16",
        ];
        let experiment =
            config::load("base-shapes", text, &small.map(String::from), &|_| Err("extends nothing".into()));
        let experiment = experiment.unwrap();
        let cost = CostMemory::default().cost(&experiment).unwrap();
        let (encoder, predictor) = (&experiment.encoder.object, &experiment.predictor.object);
        let told = encoder.parameters(experiment.dataset.object.shape()).unwrap()
            + predictor.parameters(experiment.grid(), encoder.dim(), encoder.dim()).unwrap();
        let data = experiment.dataset.object.load(&LoadContext::silent()).unwrap();
        let (plan, builder) = RunPlan::new(experiment, Arc::new(data));
        let session = Session::new(plan, builder, &Cpu::default()).unwrap();
        assert_eq!(told, cost.parameters, "counted without building anything");
        assert_eq!(cost.flop_per_step, session.typical_flop());
        let trained = session.jepa.trained_params().into_iter().map(|(_, p)| p.data.as_vec().len() as u64);
        assert_eq!(cost.parameters, trained.sum::<u64>());
    }

    /// Against the mean over a whole epoch of other masks, image by image.
    #[test]
    fn operations_of_a_step_are_those_of_the_mean_image_whatever_the_batch() {
        let text = include_str!("../../experiments/quickstart.yaml");
        let load = |changes: &[&str]| {
            let changes: Vec<String> = changes.iter().map(|c| c.to_string()).collect();
            config::load("quickstart", text, &changes, &|_| Err("extends nothing".into())).unwrap()
        };
        for masking in ["masking.targets=4", "masking.targets=8", "masking=random"] {
            let experiment = load(&[masking]);
            let grid = experiment.grid();
            let draw = BatchDraw { seed: 1, epoch: 3, images: (0..16_384).collect(), ..BatchDraw::default() };
            let plans = experiment.masking.object.sample(grid, &draw).plans;
            let per_image = step_cost(&experiment).step(&plans).unwrap().total() / plans.len() as f64;
            let tokens_per_image = plans.iter().map(tokens).sum::<usize>() as f64 / plans.len() as f64;
            for batch in [2, 8, 64, 256] {
                let cost = cost(&load(&[masking, &format!("train.batch_size={batch}")])).unwrap();
                let flop = cost.flop_per_step.unwrap() / batch as f64 / per_image;
                let tokens = cost.tokens_per_step / batch as f64 / tokens_per_image;
                let close = |ratio: f64| (ratio - 1.0).abs() < 0.01;
                assert!(close(flop) && close(tokens), "{masking}, batch {batch}: {flop}, {tokens}");
            }
        }
    }
}
