//! Whole runs on the device: the CPU's losses, the same bits after a resume, changes of device.

use std::sync::{Arc, OnceLock, atomic::AtomicBool};

use dfdx::prelude::{Cpu, Cuda};
use ijepa_run::{
    config::{self, Experiment},
    data::{Loader, LoaderPlan},
    events::{Event, Outcome, Snapshot},
    model::BuildDevice,
    registry::kinds::LoadContext,
    train::{RunPlan, Session, StepNumbers, Until, run},
};

use crate::emulator::computing_device;

/// Fifty-two steps with every operator of the model.
pub const TINY: &str = "
version: 1
name: tiny
dataset: { kind: shapes, image_size: 16, train: 32, test: 20 }
augmentation: [hflip, normalize]
encoder: { kind: vit, dim: 16, depth: 2, heads: 2 }
predictor: { kind: vit, dim: 8, depth: 1, heads: 2 }
masking: { kind: multiblock, min_context: 2 }
loss: { kind: smooth_l1, target: layer_norm }
optimizer: { kind: adamw, clip: 1.0 }
learning_rate: { kind: warmup_cosine, peak: 1.0e-3, warmup_epochs: 2 }
weight_decay: { kind: constant, value: 0.05 }
ema: { kind: linear, start: 0.9, end: 1.0 }
train: { epochs: 13, batch_size: 8, log_every: 1, checkpoint_every: 1 }
probes: [{ kind: knn, k: 5 }]
";

/// Losses of two devices: they drift apart as rounding is amplified from step to step.
const TOLERANCE: f64 = 2e-3;

/// An untrained session of [`TINY`].
pub fn session<D: BuildDevice>(device: &D) -> Session<D> {
    session_of(TINY, &[], device)
}

/// An experiment with changes.
pub fn experiment_of(text: &str, changes: &[&str]) -> Experiment {
    let changes: Vec<String> = changes.iter().map(|c| c.to_string()).collect();
    config::load("tiny.yaml", text, &changes, &|_| Err("none".into())).unwrap()
}

/// An untrained session of an experiment with changes.
pub fn session_of<D: BuildDevice>(text: &str, changes: &[&str], device: &D) -> Session<D> {
    session_from(experiment_of(text, changes), device)
}

/// An untrained session.
pub fn session_from<D: BuildDevice>(experiment: Experiment, device: &D) -> Session<D> {
    let data = Arc::new(experiment.dataset.object.load(&LoadContext::silent()).unwrap());
    let (plan, builder) = RunPlan::new(experiment, data);
    Session::new(plan, builder, device).unwrap()
}

/// What a run left.
#[derive(Default)]
struct Run {
    losses: Vec<f64>,
    probes: Vec<f64>,
    /// One after every epoch.
    snapshots: Vec<Snapshot>,
}

/// A run to the end, from a snapshot or from the start.
fn train<D: BuildDevice>(device: &D, from: Option<&Snapshot>) -> Run {
    let (mut session, mut left) = (session(device), Run::default());
    if let Some(snapshot) = from {
        session.restore(snapshot.clone()).unwrap();
    }
    let mut emit = |event: Event| {
        match event {
            Event::Tick(tick) => left.losses.push(tick.loss),
            Event::Probe(row) => left.probes.push(row.value),
            Event::Checkpoint(snapshot) => left.snapshots.push(*snapshot),
            _ => {}
        }
        Ok(())
    };
    let until = Until { stop: &AtomicBool::new(false), epoch: None };
    let outcome = run(&mut session, &mut emit, until).unwrap();
    assert_eq!(outcome, Outcome::Done);
    left
}

/// The whole run on the device, which several tests look at.
fn whole(device: &Cuda) -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| train(device, None))
}

pub fn assert_follows(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (step, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= TOLERANCE * e.abs(), "{what}, step {}: loss {f}, not {e}", step + 1);
    }
}

#[test]
fn fifty_steps_follow_the_cpu() {
    let turn = computing_device();
    let (here, cpu) = (whole(&turn.cuda), train(&Cpu::default(), None));
    assert!(cpu.losses.len() > 50 && cpu.losses[51] < cpu.losses[0]);
    assert_follows("loss", &here.losses, &cpu.losses);
    assert_eq!(here.probes.len(), cpu.probes.len());
    let worst = here.losses.iter().zip(&cpu.losses).map(|(f, e)| (f / e - 1.0).abs()).fold(0.0, f64::max);
    println!("largest relative difference of a loss in 52 steps: {worst:.1e}");
}

/// Losses of the first epoch of [`TINY`] with changes, without probes: not all that is predicted has an encoder.
pub fn losses_of_an_epoch<D: BuildDevice>(changes: &[&str], device: &D) -> Vec<f64> {
    let mut numbers = Vec::new();
    let mut session = session_of(TINY, &[changes, &["probes=[]"]].concat(), device);
    let plan = LoaderPlan::new(session.plan.batch_size, 1);
    for batch in Loader::start(&session.plan.source, &plan) {
        numbers.push(session.step(&batch, false).unwrap().numbers);
    }
    StepNumbers::read(&numbers).unwrap().iter().map(|n| n.loss).collect()
}

#[test]
fn rounded_products_stay_near() {
    let turn = computing_device();
    let loss = |matmul| losses_of_an_epoch(&[&format!("train.matmul={matmul}")], &turn.cuda);
    let [exact, tf32, bf16] = ["f32", "tf32", "bf16"].map(loss);
    // 11 and 8 significant bits. The null driver rounds, a GPU may cut off: relative errors of 2^-10 and 2^-7 per
    // product, and a few of them. On a GPU the setting is a permission: cuBLAS may multiply matrices as small as
    // these exactly.
    for (found, tolerance) in [(tf32, 2e-3), (bf16, 2e-2)] {
        assert!(turn.gpu || found != exact);
        let near = |(f, e): (&f64, &f64)| (f - e).abs() <= tolerance * e.abs();
        assert!(found.iter().zip(&exact).all(near), "{found:?}, not {exact:?}");
    }
}

#[test]
fn a_run_moves_from_device_to_device() {
    let turn = computing_device();
    let (here, cpu) = (whole(&turn.cuda), train(&Cpu::default(), None));
    let rest = &cpu.losses[28..];
    assert_follows("GPU to CPU", &train(&Cpu::default(), Some(&here.snapshots[6])).losses, rest);
    assert_follows("CPU to GPU", &train(&turn.cuda, Some(&cpu.snapshots[6])).losses, rest);
}

/// On a GPU it always is; the null driver hands out memory that is full of NaN unless it is told otherwise.
#[test]
fn memory_that_is_used_again_changes_no_bit() {
    let turn = computing_device();
    let whole = whole(&turn.cuda);
    cuda_shim::pool::keep(true);
    let again = train(&turn.cuda, None);
    cuda_shim::pool::keep(turn.gpu);
    assert_eq!((&again.losses, &again.probes), (&whole.losses, &whole.probes));
    assert!(again.snapshots.last().unwrap().tensors == whole.snapshots.last().unwrap().tensors);
}

#[test]
fn a_resumed_run_has_the_same_bits() {
    let turn = computing_device();
    let whole = whole(&turn.cuda);
    let rest = train(&turn.cuda, Some(&whole.snapshots[6]));
    assert_eq!(rest.losses, whole.losses[28..]);
    assert_eq!(rest.probes, whole.probes);
    assert!(rest.snapshots.last().unwrap().tensors == whole.snapshots.last().unwrap().tensors);
}
