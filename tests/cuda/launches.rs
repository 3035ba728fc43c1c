//! What a training step asks of the driver, pinned: every launch costs time on the host.

use std::collections::BTreeMap;

use cuda_shim::null::{Counts, take_counts};
use dfdx::prelude::Cuda;
use ijepa_run::{
    data::{Batch, BatchSource, Loader},
    train::Session,
};

use crate::emulator::{device, idle_device};
use crate::training::{session, session_of};

/// Launches of the second step of the tiny model, in which five blocks go forward (two of the target
/// encoder, two of the context encoder, one of the predictor) and three backward. `sum_rows` depends
/// on how many rows go to one, hence on the masks.
const LAUNCHES: [(&str, usize); 20] = [
    ("adamw", 1),
    ("add_chunks", 8),
    ("attention_delta", 3),
    ("attention_forward_16", 5),
    ("attention_keys_16", 3),
    ("attention_queries_16", 3),
    ("clear", 1),
    ("cut_views", 1),
    ("gather_sum", 7),
    ("gelu_backward", 3),
    ("gelu_forward", 5),
    ("loss_backward", 1),
    ("loss_rows", 1),
    ("norm_backward", 8),
    ("residual_norm", 21),
    ("root_of_sum", 1),
    ("row_sums", 8),
    ("square_sums", 1),
    ("sum_rows", 7),
    ("weighted_sum", 1),
];

/// What a step whose row is logged launches besides: explained variance and spread.
const LAUNCHES_OF_A_ROW: [&str; 2] = ["spread", "spread_parts"];

/// An epoch of batches whose images the device holds.
fn batches(session: &Session<Cuda>) -> Loader {
    assert!(session.train_images().resident.is_some());
    Loader::start(&session.plan.source, &session.loader_plan(1))
}

/// Counts of the second step, when nothing is set up any more.
fn counts_of_a_step(session: &mut Session<Cuda>, logged: bool) -> Counts {
    let mut batches = batches(session);
    session.step(&batches.next().unwrap(), false).unwrap();
    let _ = take_counts();
    session.step(&batches.next().unwrap(), logged).unwrap();
    take_counts()
}

#[test]
fn launches_of_a_step() {
    let turn = device();
    if turn.gpu {
        return;
    }
    let counts = counts_of_a_step(&mut session(&turn.cuda), false);
    let expected: BTreeMap<String, usize> = LAUNCHES.iter().map(|(k, n)| (k.to_string(), *n)).collect();
    assert_eq!(counts.launches, expected, "{} kernels", counts.kernels());
    assert_eq!(counts.products, 57, "matrix products");
    assert_eq!((counts.downloads, counts.waits), (0, 0), "copies to the host, waits for the device");
    assert_eq!(counts.copies, 0, "copies on the device");
    assert_eq!(counts.pageable, 0, "copies to the device that may wait for it");
    assert_eq!((counts.uploads, counts.fills), (21, 10), "copies to the device, fills");
    assert_eq!(counts.allocations, 163, "allocations");
}

#[test]
fn a_logged_step_waits_once_and_reads_three_sums_of_every_group() {
    let turn = device();
    if turn.gpu {
        return;
    }
    let plain = counts_of_a_step(&mut session(&turn.cuda), false);
    let mut logged = counts_of_a_step(&mut session(&turn.cuda), true);
    for kernel in LAUNCHES_OF_A_ROW {
        assert_eq!(logged.launches.remove(kernel), Some(1), "{kernel}");
    }
    assert_eq!(logged.launches, plain.launches);
    assert_eq!((logged.downloads, logged.waits, logged.pageable), (1, 1, 0));
    assert_eq!((logged.uploads, logged.fills, logged.copies), (plain.uploads + 1, plain.fills, 0));
}

#[test]
fn dfdx_has_no_kernels_in_this_build() {
    use dfdx::prelude::{SumTo, ZerosTensor};
    let turn = device();
    if turn.gpu || cfg!(feature = "cuda-toolkit") {
        return;
    }
    // What a component that needs `cuda-toolkit` gets: an error, not a crash.
    let x: ijepa_run::registry::tensor::Rows<_> = turn.cuda.zeros_like(&(2usize, 3usize));
    let sum: Result<dfdx::prelude::Tensor<(), f32, _>, _> = x.try_sum();
    assert!(format!("{:?}", sum.unwrap_err()).contains("CUDA_ERROR_INVALID_PTX"));
}

/// Prints what the launching thread does per step of the baseline: copies, launches. A step whose row is
/// logged also compares predictions with targets, here.
#[test]
#[ignore = "measures; run it alone: --ignored --exact --nocapture launches::host_time_of_the_baseline"]
fn host_time_of_the_baseline() {
    ijepa_run::kernels::keep_memory();
    let changes = ["dataset={kind: shapes, train: 8192, test: 64}", "learning_rate.warmup_epochs=1"];
    let mut session = session_of(include_str!("../../experiments/baseline.yaml"), &changes, &idle_device());
    making_of_batches(&session.plan.source);
    let batches = batches(&session);
    let (mut plain, mut logged, mut counts) = (Vec::new(), Vec::new(), Counts::default());
    for (i, batch) in batches.enumerate() {
        assert_eq!(batch.masks.plans.len(), 256);
        let detailed = i % 4 == 3;
        let _ = take_counts();
        let start = std::time::Instant::now();
        session.step(&batch, detailed).unwrap();
        let times = if detailed { &mut logged } else { &mut plain };
        times.push(start.elapsed().as_secs_f64());
        counts = if detailed { counts } else { take_counts() };
    }
    println!("host, per step: {:.2} ms, logged {:.2} ms", median(plain), median(logged));
    println!(
        "{} kernels, {} products, {} uploads, {} fills, {} allocations",
        counts.kernels(),
        counts.products,
        counts.uploads,
        counts.fills,
        counts.allocations
    );
}

/// Prints what the loader's thread does per batch: in patches as for a processor, and in recipes.
fn making_of_batches(source: &BatchSource) {
    let indices: Vec<u32> = (0..256).collect();
    let seconds = |make: fn(&BatchSource, u64, usize, &[u32]) -> Batch| {
        let one = |step| {
            let start = std::time::Instant::now();
            std::hint::black_box(make(source, 0, step, &indices));
            start.elapsed().as_secs_f64()
        };
        median((0..40).map(one).collect())
    };
    let (patches, recipes) = (seconds(BatchSource::batch), seconds(BatchSource::batch_of_programs));
    println!("a batch, masks included: {patches:.2} ms in patches, {recipes:.2} ms in programs");
}

/// In milliseconds, of seconds.
fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    1e3 * times[times.len() / 2]
}
