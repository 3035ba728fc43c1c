//! How fast an experiment runs on this machine, beside what the machine can do at most.
//!
//! A few training steps and passes of feature extraction are timed on the device of the experiment; the
//! yardstick is a large matrix product through the same kernels. Nothing is written and nothing printed.

mod cost;
mod product;
mod rates;
mod steps;

use std::{sync::Arc, time::Instant};

use ijepa_registry::{
    image::ImageSet,
    kinds::{LoadContext, Needs},
    tensor::{Cpu, ModelError},
};

use crate::{
    config::{Control, Experiment, ProbedEncoder},
    data::hold_out,
    kernels::{Backend, MatmulPrecision},
    model::{BuildDevice, Phase, cost::StepFlop},
    results::card,
    run::{
        RunError, check_data,
        device::{self, ComputeDevice},
        start_threads,
    },
    train::{RunPlan, Session, TrainError},
};

pub use cost::{CostMemory, Look};
pub use product::{SHARE_OF_PRODUCT, attainable_speed};
pub use rates::Rates;
use steps::Steps;

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub struct BenchOptions {
    /// Steps and feature passes to time.
    pub steps: usize,
    /// Compute threads; none: one per core.
    pub threads: Option<usize>,
    /// (train, test) images of the experiment that is meant, if stand-in data are used.
    pub stand_in_for: Option<(usize, usize)>,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The GPU that was measured, by ordinal and name; none: the processor.
    pub gpu: Option<String>,
    /// Processor.
    pub cpu: String,
    /// Compute threads.
    pub threads: usize,
    /// Of the inputs of matrix products, of the large one below too.
    pub precision: MatmulPrecision,
    /// A large matrix product with one thread, FLOP/s; none on a GPU.
    pub peak_of_one: Option<f64>,
    /// The same with all threads, or on the GPU, FLOP/s.
    pub peak: f64,
    /// Images per step.
    pub batch_size: usize,
    /// Mean seconds of a training step, the wait for its images included; masks differ from step to step.
    pub step: f64,
    /// Mean seconds of that wait.
    pub wait: f64,
    /// Useful operations of the same steps, on average; none for a model of unknown sizes.
    pub flop_per_step: Option<StepFlop>,
    /// Mean seconds of every phase of a step. On a GPU those of other steps, which wait for it at the end of
    /// each.
    pub phases: [f64; Phase::ALL.len()],
    /// Mean seconds of the steps whose phases these are.
    pub marked_step: f64,
    /// Mean seconds until an idle GPU has been asked for all of a step; none on a processor.
    pub asking: Option<f64>,
    /// Feature extraction, images per second.
    pub features_per_second: f64,
    /// Useful operations of feature extraction per image.
    pub flop_per_feature: Option<f64>,
    /// Largest resident memory in MiB.
    pub memory: Option<f64>,
    /// Memory in use on the GPU in MiB, by all programs, after the steps.
    pub gpu_memory: Option<f64>,
    /// Steps of the experiment.
    pub steps: u64,
    /// Images that pass through an encoder for the probes of the experiment.
    pub feature_images: u64,
}

impl Measured {
    /// FLOP/s of the training step.
    pub fn step_speed(&self) -> Option<f64> {
        Some(self.flop_per_step?.total() / self.step)
    }
    /// FLOP/s of feature extraction.
    pub fn features_speed(&self) -> Option<f64> {
        Some(self.flop_per_feature? * self.features_per_second)
    }
    /// Seconds that all steps take.
    pub fn training_time(&self) -> f64 {
        self.steps as f64 * self.step
    }
    /// Seconds that the features of all probes take.
    pub fn features_time(&self) -> f64 {
        self.feature_images as f64 / self.features_per_second
    }
}

/// Images per pass of feature extraction.
const FEATURE_BATCH: usize = 256;

/// Loads the data, then measures.
pub fn measure(experiment: Experiment, options: &BenchOptions) -> Result<Measured, RunError> {
    let place = device::choose(experiment.device)?;
    start_threads(options.threads);
    let set = experiment.dataset.object.load(&LoadContext::silent())?;
    check_data(&experiment, &set)?;
    let data = Arc::new(hold_out(set, experiment.validation));
    match &place {
        #[cfg(feature = "cuda-base")]
        ComputeDevice::Cuda(ordinal, _) => {
            let measured = measure_on(&device::open(*ordinal)?, experiment, data, options)?;
            Ok(Measured { gpu: Some(place.to_string()), ..measured })
        }
        ComputeDevice::Cpu => measure_on(&Cpu::default(), experiment, data, options),
    }
}

fn measure_on<D: BuildDevice>(
    device: &D,
    experiment: Experiment,
    data: Arc<ImageSet>,
    options: &BenchOptions,
) -> Result<Measured, RunError> {
    let (train, test) = options.stand_in_for.unwrap_or((data.count(&data.train), data.count(&data.test)));
    let (horizon, precision) = (experiment.horizon(train), experiment.train.matmul);
    let (plan, builder) = RunPlan::new(experiment, data);
    let mut session = Session::new(plan, builder, device)?;
    let speeds = || product::speeds(device, precision).map_err(TrainError::from);
    let before = speeds()?;
    let Steps { step, wait, phases, marked, asking, flop } = steps::steps(&mut session, options.steps)?;
    let features = feature_seconds(&session, options.steps)?;
    let gpu_memory = device.memory().map_err(TrainError::from)?;
    // Twice, so that a short disturbance does not make the yardstick too short.
    let after = speeds()?;
    let flop_per_feature = session.builder.cost().features();
    Ok(Measured {
        gpu: None,
        cpu: card::cpu_name(),
        threads: rayon::current_num_threads(),
        precision,
        peak_of_one: before.0.zip(after.0).map(|(before, after)| before.max(after)),
        peak: before.1.max(after.1),
        batch_size: session.plan.batch_size,
        step,
        wait,
        flop_per_step: flop,
        phases,
        marked_step: marked,
        asking,
        features_per_second: 1.0 / features,
        flop_per_feature,
        memory: card::peak_memory(),
        gpu_memory: gpu_memory.map(|memory| memory.in_use as f64 / f64::from(1 << 20)),
        steps: horizon.steps,
        feature_images: feature_passes(&session.plan) * (train + test) as u64,
    })
}

/// Returns when the device has done all that it was asked to.
fn wait_for<D: Backend>(device: &D) -> Result<(), ModelError> {
    if D::READING_WAITS {
        let number = device.try_tensor_from_vec(vec![0.0f32], ()).map_err(ModelError::from_debug)?;
        D::read(&[&number], &[])?;
    }
    Ok(())
}

/// Median seconds per image of feature extraction, as the probes do it.
fn feature_seconds<D: BuildDevice>(session: &Session<D>, count: usize) -> Result<f64, RunError> {
    let data = &session.plan.source.data;
    let indices: Vec<usize> = (0..data.count(&data.train).min(FEATURE_BATCH)).collect();
    let mut times = Vec::new();
    for i in 0..1 + count.max(1) {
        let start = Instant::now();
        let images = session.evaluation_images(&session.train_images(), &indices);
        let features =
            |images| session.jepa.features(session.jepa.context_encoder.as_ref(), Needs::POOLED, &images);
        images.and_then(features).map_err(TrainError::from)?;
        if i > 0 {
            times.push(start.elapsed().as_secs_f64() / indices.len() as f64);
        }
    }
    Ok(median(times))
}

/// How often all images pass through an encoder for the probes.
fn feature_passes(plan: &RunPlan) -> u64 {
    let passes = |epoch: u64| {
        let last = epoch == plan.epochs;
        let due = || plan.probes.iter().filter(|p| last || (p.every > 0 && epoch.is_multiple_of(p.every)));
        let target = due().any(|p| p.encoders.contains(&ProbedEncoder::Target));
        let context = due().any(|p| p.encoders.contains(&ProbedEncoder::Context));
        let untrained = last && due().any(|p| p.controls.contains(&Control::RandomInit));
        u64::from(target) + u64::from(context) + u64::from(untrained)
    };
    (1..=plan.epochs).map(passes).sum()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
