//! The child process of `benches/vs_pytorch.sh`: one measurement for every line on stdin.
//!
//! `cargo bench --bench step -- [--part step|masks|encoder|features] [--batch N] [--threads N] [key=value ...]`
//!
//! The model is that of `experiments/baseline.yaml` on generated images, with the given settings
//! changed. Each line of output is JSON: the time, and for `step` the masks that were used (for `masks` these
//! alone):
//! `{"milliseconds": 812.3, "waiting": 0.1, "making": 1.9, "peak_mib": 310, "context": [...], "targets": [[...], ...]}`.

use std::{io::BufRead, sync::Arc, time::Instant};

use dfdx::prelude::SumTo;
use ijepa_run::{
    config,
    data::{Batch, BatchSource, Loader, LoaderPlan},
    kernels,
    registry::{
        kinds::{Layout, LoadContext, Mode, Needs, PatchBatch},
        tensor::{Backward, Cpu},
    },
    results::card::peak_memory,
    train::{RunPlan, Session},
};
use serde_json::{Value, json};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let text = |flag: &str, default: &str| {
        let at = arguments.iter().position(|a| a == flag);
        at.and_then(|i| arguments.get(i + 1)).map_or(default.to_string(), String::clone)
    };
    let number = |flag: &str, default: &str| text(flag, default).parse().expect("a number");
    kernels::keep_memory();
    rayon::ThreadPoolBuilder::new().num_threads(number("--threads", "2")).build_global().unwrap();
    let settings = arguments.iter().filter(|a| a.contains('=')).cloned();
    let mut session = session(number("--batch", "256"), settings);
    let measure = match text("--part", "step").as_str() {
        "step" => step,
        "masks" => masks,
        "encoder" => encoder,
        "features" => features,
        other => panic!("there is no part {other}"),
    };
    let plan = &session.plan;
    let mut batches = Loader::start(&plan.source, &LoaderPlan::new(plan.batch_size, plan.epochs));
    for _ in std::io::stdin().lock().lines() {
        println!("{}", measure(&mut session, &mut batches));
    }
}

/// The baseline on generated images of the same size.
fn session(batch: usize, settings: impl Iterator<Item = String>) -> Session<Cpu> {
    // From the working directory, which cargo makes the package's own.
    let file = "experiments/baseline.yaml";
    let text = std::fs::read_to_string(file).unwrap();
    let mut overrides = vec!["dataset=shapes".to_string(), format!("train.batch_size={batch}")];
    overrides.extend(settings);
    let experiment = config::load(file, &text, &overrides, &|_| Err("extends nothing".into())).unwrap();
    let data = Arc::new(experiment.dataset.object.load(&LoadContext::silent()).unwrap());
    let (plan, builder) = RunPlan::new(experiment, data);
    Session::new(plan, builder, &Cpu::default()).unwrap()
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn next(batches: &mut Loader) -> Batch {
    batches.next().expect("more steps than were ever asked for")
}

/// A training step from the wait for its batch to the moved target encoder.
fn step(session: &mut Session<Cpu>, batches: &mut Loader) -> Value {
    let start = Instant::now();
    let batch = next(batches);
    let waiting = milliseconds(start);
    session.step(&batch, false).unwrap();
    let time = milliseconds(start);
    let start = Instant::now();
    let again = session.plan.source.batch(batch.epoch, batch.step, &batch.indices);
    assert_eq!(again, batch);
    let making = milliseconds(start);
    let masks = &batch.masks.plans[0];
    json!({
        "milliseconds": time,
        "waiting": waiting,
        "making": making,
        "peak_mib": peak_memory(),
        "context": masks.views[0].context,
        "targets": masks.views[0].targets,
    })
}

/// The masks of a step that is not carried out.
fn masks(_: &mut Session<Cpu>, batches: &mut Loader) -> Value {
    let batch = next(batches);
    let masks = &batch.masks.plans[0];
    json!({ "context": masks.views[0].context, "targets": masks.views[0].targets })
}

/// As many images as a batch has.
fn images(session: &Session<Cpu>) -> Vec<f32> {
    let BatchSource { data, pipeline, .. } = &*session.plan.source;
    (0..session.plan.batch_size).flat_map(|i| pipeline.evaluation_image(data, &data.train, i).data).collect()
}

/// Forward and backward of the encoder on whole images.
fn encoder(session: &mut Session<Cpu>, _: &mut Loader) -> Value {
    let images = images(session);
    let start = Instant::now();
    let geometry = session.jepa.geometry;
    let pixels = geometry.patches(&images);
    let layout = Layout::full(geometry.grid(), session.plan.batch_size);
    let rows = layout.segments.rows();
    let width = pixels.len() / rows;
    let pixels = kernels::from_host(&session.jepa.device, pixels, rows, width).unwrap();
    let tokens = session
        .jepa
        .context_encoder
        .encode_taped(&PatchBatch { pixels, layout, grid: geometry.grid() }, Mode::Eval)
        .unwrap();
    let gradients = tokens.sum().backward();
    let time = milliseconds(start);
    drop(gradients);
    json!({ "milliseconds": time, "peak_mib": peak_memory() })
}

/// Mean-pooled features of whole images, without gradient.
fn features(session: &mut Session<Cpu>, _: &mut Loader) -> Value {
    let images = images(session);
    let start = Instant::now();
    let jepa = &session.jepa;
    let images = jepa.images_of_patches(&jepa.geometry.patches(&images)).unwrap();
    jepa.features(jepa.context_encoder.as_ref(), Needs::POOLED, &images).unwrap();
    json!({ "milliseconds": milliseconds(start), "peak_mib": peak_memory() })
}
