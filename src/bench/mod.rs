//! How fast an experiment runs on this machine, beside what the machine can do at most.
//!
//! A few training steps and passes of feature extraction are timed; the yardstick is a large matrix
//! product through the same kernels. Nothing is written and nothing printed.

mod cost;
mod rates;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ijepa_registry::{
    kinds::LoadContext,
    tensor::{Cpu, ModelError, TensorFromVec},
};

use crate::{
    config::{Control, Device, Experiment, ProbedEncoder},
    data::{Loader, LoaderPlan},
    kernels::{self, Backend, Rounding},
    model::{
        Phase,
        flops::{StepFlop, linear},
    },
    results::card,
    run::{RunError, check_data, start_threads},
    train::{RunPlan, Session, TrainError},
};

pub use cost::CostMemory;
pub use rates::Rates;

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
    /// Processor.
    pub cpu: String,
    /// Compute threads.
    pub threads: usize,
    /// Of the inputs of matrix products, of the large one below too.
    pub rounding: Rounding,
    /// A large matrix product with one thread, FLOP/s.
    pub peak_of_one: f64,
    /// The same with all threads, FLOP/s.
    pub peak: f64,
    /// Images per step.
    pub batch_size: usize,
    /// Mean seconds of a training step, the wait for its images included; masks differ from step to step.
    pub step: f64,
    /// Mean seconds of that wait.
    pub wait: f64,
    /// Useful operations of the same steps, on average; none for a model of unknown sizes.
    pub flop_per_step: Option<StepFlop>,
    /// Mean seconds of every phase of a step.
    pub phases: [f64; Phase::ALL.len()],
    /// Feature extraction, images per second.
    pub features_per_second: f64,
    /// Useful operations of feature extraction per image.
    pub flop_per_feature: Option<f64>,
    /// Largest resident memory in MiB.
    pub memory: Option<f64>,
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

/// Steps before the clock counts: memory is reserved, threads wake up.
const WARM_UP: usize = 2;

/// Share of a large matrix product's speed that training is taken to reach: more on an idle machine with
/// the reference recipe (docs/performance.md), less with small models.
pub const SHARE_OF_PRODUCT: f64 = 0.6;

/// Images per pass of feature extraction.
const FEATURE_BATCH: usize = 256;

/// Loads the data, then measures.
pub fn measure(experiment: Experiment, options: &BenchOptions) -> Result<Measured, RunError> {
    if let Device::Cuda(_) = experiment.device {
        return Err(RunError::Config("device: bench measures the processor; write device=cpu".into()));
    }
    start_threads(options.threads);
    let data = Arc::new(experiment.dataset.object.load(&LoadContext::silent())?);
    check_data(&experiment, &data)?;
    let (train, test) = options.stand_in_for.unwrap_or((data.count(&data.train), data.count(&data.test)));
    let (horizon, rounding) = (experiment.horizon(train), experiment.train.matmul);
    let (plan, builder) = RunPlan::new(experiment, data);
    let mut session = Session::new(plan, builder, &Cpu::default()).map_err(RunError::from)?;
    let before = product_speeds(rounding)?;
    let Steps { step, wait, phases, flop } = steps(&mut session, options.steps)?;
    let features = feature_seconds(&session, options.steps)?;
    // Twice, so that a short disturbance does not make the yardstick too short.
    let after = product_speeds(rounding)?;
    let (peak_of_one, peak) = (before.0.max(after.0), before.1.max(after.1));
    let size = session.jepa.size();
    Ok(Measured {
        cpu: card::cpu_name(),
        threads: rayon::current_num_threads(),
        rounding,
        peak_of_one,
        peak,
        batch_size: session.plan.batch_size,
        step,
        wait,
        flop_per_step: flop,
        phases,
        features_per_second: 1.0 / features,
        flop_per_feature: size.map(|s| s.features()),
        memory: card::peak_memory(),
        steps: horizon.steps,
        feature_images: feature_passes(&session.plan) * (train + test) as u64,
    })
}

/// [`product_speed`] of products that round like those of the experiment, with one thread and with all.
fn product_speeds(rounding: Rounding) -> Result<(f64, f64), RunError> {
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let of_one =
        one.map_or_else(|_| product_speed(rounding), |pool| pool.install(|| product_speed(rounding)));
    let of_all = product_speed(rounding);
    Ok((of_one.map_err(TrainError::from)?, of_all.map_err(TrainError::from)?))
}

/// Useful operations per second that training reaches on this machine, by experience: a share of a
/// large matrix product that rounds so, measured now with `threads` (none: all cores).
pub fn attainable_speed(threads: Option<usize>, rounding: Rounding) -> Option<f64> {
    start_threads(threads);
    Some(SHARE_OF_PRODUCT * product_speed(rounding).ok()?)
}

/// The best of several products of 2048 x 768 and 768 x 768 values, FLOP/s.
fn product_speed(rounding: Rounding) -> Result<f64, ModelError> {
    const ROWS: usize = 2048;
    const DIM: usize = 768;
    let device = Cpu::default();
    let values = |n: usize| (0..n).map(|i| (i % 97) as f32 * 0.01 - 0.5).collect::<Vec<_>>();
    let x = kernels::from_host(&device, values(ROWS * DIM), ROWS, DIM)?;
    let flat = |n: usize| device.try_tensor_from_vec(values(n), (n,)).map_err(ModelError::from_debug);
    let (weight, bias) = (flat(DIM * DIM)?, flat(DIM)?);
    let (begin, mut best) = (Instant::now(), f64::MAX);
    let mut rounds = 0;
    while rounds < 3 || (rounds < 50 && begin.elapsed() < Duration::from_millis(500)) {
        let start = Instant::now();
        Cpu::linear(x.clone(), &weight, &bias, rounding)?;
        best = best.min(start.elapsed().as_secs_f64());
        rounds += 1;
    }
    Ok(linear(ROWS, DIM, DIM) / best)
}

/// Means over the timed steps.
struct Steps {
    step: f64,
    wait: f64,
    phases: [f64; Phase::ALL.len()],
    flop: Option<StepFlop>,
}

fn steps(session: &mut Session<Cpu>, count: usize) -> Result<Steps, RunError> {
    let plan = &session.plan;
    // However short the experiment is, the loader goes on.
    let loader = LoaderPlan::new(plan.batch_size, u64::from(u32::MAX));
    let mut batches = Loader::start(&plan.source, &loader);
    let (mut times, mut waits, mut flops) = (Vec::new(), Vec::new(), Vec::new());
    let mut phases = [const { Vec::new() }; Phase::ALL.len()];
    for i in 0..WARM_UP + count.max(1) {
        let start = Instant::now();
        let batch = batches.next().expect("the data hold at least one batch");
        let wait = start.elapsed().as_secs_f64();
        let (mut lap, mut laps) = (Instant::now(), [0.0; Phase::ALL.len()]);
        session.step_marked(&batch, false, &mut |phase| {
            laps[phase as usize] += lap.elapsed().as_secs_f64();
            lap = Instant::now();
        })?;
        if i >= WARM_UP {
            times.push(start.elapsed().as_secs_f64());
            waits.push(wait);
            flops.extend(session.jepa.size().map(|size| size.step(&batch.masks.plans)));
            phases.iter_mut().zip(laps).for_each(|(all, lap)| all.push(lap));
        }
    }
    let flop = (!flops.is_empty()).then(|| StepFlop::mean(&flops));
    Ok(Steps { step: mean(times), wait: mean(waits), phases: phases.map(mean), flop })
}

/// Median seconds per image of feature extraction, as the probes do it.
fn feature_seconds(session: &Session<Cpu>, count: usize) -> Result<f64, RunError> {
    let data = &session.plan.source.data;
    let indices: Vec<usize> = (0..data.count(&data.train).min(FEATURE_BATCH)).collect();
    let mut times = Vec::new();
    for i in 0..1 + count.max(1) {
        let start = Instant::now();
        let images = session.evaluation_images(&session.train_images(), &indices);
        let features = |images| session.jepa.features(session.jepa.target_encoder.as_ref(), &images);
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

fn mean(times: Vec<f64>) -> f64 {
    times.iter().sum::<f64>() / times.len() as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
