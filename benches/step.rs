//! Training steps of `experiments/baseline.yaml`, one for every line on stdin: the child process
//! of `benches/vs_pytorch.sh`. For each it prints the time and the masks that were used:
//! `{"milliseconds": 812.3, "context": [...], "targets": [[...], ...]}`.

use std::{io::BufRead, sync::Arc, time::Instant};

use ijepa_run::{
    config,
    data::{Loader, LoaderPlan},
    kernels,
    registry::{kinds::LoadContext, tensor::Cpu},
    train::{RunPlan, Session},
};
use serde_json::json;

fn main() {
    let number = |flag: &str, default: usize| {
        let arguments: Vec<String> = std::env::args().collect();
        let at = arguments.iter().position(|a| a == flag);
        at.and_then(|i| arguments.get(i + 1)?.parse().ok()).unwrap_or(default)
    };
    kernels::keep_memory();
    rayon::ThreadPoolBuilder::new().num_threads(number("--threads", 2)).build_global().unwrap();
    let mut session = session(number("--batch", 256));
    let plan = &session.plan;
    let mut batches = Loader::start(
        Arc::clone(&plan.data),
        Arc::clone(&plan.pipeline),
        &LoaderPlan::new(plan.seed, plan.batch_size, plan.epochs),
    );
    for _ in std::io::stdin().lock().lines() {
        let start = Instant::now();
        let batch = batches.next().expect("more steps than were ever asked for");
        session.step(&batch, false).unwrap();
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        let masks = session.masks(&batch);
        let plan = &masks.plans[0];
        println!(
            "{}",
            json!({ "milliseconds": milliseconds, "context": plan.contexts[0], "targets": plan.targets })
        );
    }
}

/// The baseline on generated images of the same size.
fn session(batch: usize) -> Session<Cpu> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/baseline.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let overrides = ["dataset=shapes".to_string(), format!("train.batch_size={batch}")];
    let experiment = config::load(file, &text, &overrides, &|_| Err("extends nothing".into())).unwrap();
    let data = Arc::new(experiment.dataset.object.load(&LoadContext::silent()).unwrap());
    let (plan, builder) = RunPlan::new(experiment, data);
    Session::new(plan, builder, &Cpu::default()).unwrap()
}
