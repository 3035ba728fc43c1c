//! Training steps on the clock.

use std::time::Instant;

use ijepa_registry::tensor::ModelError;

use super::wait_for;
use crate::{
    data::Loader,
    model::{BuildDevice, Phase, cost::StepFlop},
    train::{Session, StepNumbers, TrainError},
};

/// Steps before the clock counts: memory is reserved, threads wake up.
const WARM_UP: usize = 2;

/// Means over the timed steps.
#[derive(Debug)]
pub struct Steps {
    /// Seconds of a step, the wait for its images included.
    pub step: f64,
    /// Seconds of that wait.
    pub wait: f64,
    /// Seconds of every phase, of steps that take `marked` seconds.
    pub phases: [f64; Phase::ALL.len()],
    /// See [`Steps::phases`].
    pub marked: f64,
    /// Seconds until an idle GPU has been asked for all of a step; none on a processor.
    pub asking: Option<f64>,
    /// Useful operations; none for a model of unknown sizes.
    pub flop: Option<StepFlop>,
}

/// Times `count` steps as training runs them: a GPU is waited for at the end alone, and has carried out steps
/// with the same masks before. Its phases are those of
/// as many other steps, which wait for it at the end of each.
pub fn steps<D: BuildDevice>(session: &mut Session<D>, count: usize) -> Result<Steps, TrainError> {
    // However short the experiment is, the loader goes on.
    let plan = session.loader_plan(u64::from(u32::MAX));
    let count = count.max(1);
    let mut batches = Loader::start(&session.plan.source, &plan);
    run(session, &mut batches, WARM_UP, false)?;
    if D::READING_WAITS {
        // A GPU chooses and loads a product at the first use of its sizes, and grows its pool of memory: every
        // length of masks once, then the same masks on the clock.
        run(session, &mut batches, count, false)?;
        batches = Loader::start(&session.plan.source, &plan);
        run(session, &mut batches, WARM_UP, false)?;
    }
    let steps = run(session, &mut batches, count, false)?;
    if !D::READING_WAITS {
        return Ok(steps);
    }
    let Steps { phases, step: marked, .. } = run(session, &mut batches, count, true)?;
    let asking = Some(asking(session, &mut batches, count)?);
    Ok(Steps { phases, marked, asking, ..steps })
}

/// Mean seconds that the host is busy with a step whose batch is ready, of steps that a GPU begins idle: where they
/// come near those of steps in a row, the GPU waits for the host.
fn asking<D: BuildDevice>(
    session: &mut Session<D>,
    batches: &mut Loader,
    count: usize,
) -> Result<f64, TrainError> {
    let (device, mut seconds) = (session.jepa.device.clone(), 0.0);
    for _ in 0..count {
        let batch = batches.next().expect("the data hold at least one batch");
        wait_for(&device)?;
        let begin = Instant::now();
        let result = session.step(&batch, false)?;
        seconds += begin.elapsed().as_secs_f64();
        StepNumbers::read(&[result.numbers])?;
    }
    Ok(seconds / count as f64)
}

/// Carries out steps; `marks_wait`: for the device, where a phase ends.
fn run<D: BuildDevice>(
    session: &mut Session<D>,
    batches: &mut Loader,
    count: usize,
    marks_wait: bool,
) -> Result<Steps, TrainError> {
    let device = session.jepa.device.clone();
    let (start, mut wait, mut phases) = (Instant::now(), 0.0, [0.0; Phase::ALL.len()]);
    let (mut numbers, mut masks, mut waited) = (Vec::new(), Vec::new(), Ok::<_, ModelError>(()));
    for _ in 0..count {
        let begin = Instant::now();
        let batch = batches.next().expect("the data hold at least one batch");
        wait += begin.elapsed().as_secs_f64();
        let mut lap = Instant::now();
        let result = session.step_marked(&batch, false, &mut |phase| {
            if marks_wait && waited.is_ok() {
                waited = wait_for(&device);
            }
            phases[phase as usize] += lap.elapsed().as_secs_f64();
            lap = Instant::now();
        })?;
        numbers.push(result.numbers);
        masks.push(batch.masks);
    }
    waited?;
    StepNumbers::read(&numbers)?;
    let mean = |seconds: f64| seconds / count as f64;
    let step = mean(start.elapsed().as_secs_f64());
    let cost = session.builder.cost();
    let flop = StepFlop::mean(masks.iter().map(|masks| cost.step(&masks.plans)));
    Ok(Steps { step, wait: mean(wait), phases: phases.map(mean), marked: step, asking: None, flop })
}
