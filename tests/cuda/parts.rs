//! A batch in parts, as on a GPU whose memory does not hold all of it, and what a run says without memory.

use cuda_shim::null::set_largest_block;
use dfdx::prelude::Cuda;
use ijepa_run::{
    data::Loader,
    events::MetricsRow,
    model::micro_batch_tokens,
    train::{Session, StepNumbers},
};

use crate::emulator::{computing_device, device};
use crate::training::session;

/// Losses, gradient norms and rows of two steps with parts of so many images.
fn steps(device: &Cuda, images: Option<usize>) -> Vec<(f64, f64, MetricsRow)> {
    let mut session: Session<Cuda> = session(device);
    let patches = session.jepa.geometry.grid().len();
    assert!(session.micro_batch_tokens > session.plan.batch_size * patches, "a GPU holds this batch");
    session.micro_batch_tokens = images.map_or(session.micro_batch_tokens, |n| n * patches);
    let mut left = Vec::new();
    for batch in Loader::start(&session.plan.source, &session.loader_plan(1)).take(2) {
        let result = session.step(&batch, true).unwrap();
        let measure = StepNumbers::read(&[result.numbers]).unwrap()[0];
        left.push((measure.loss, measure.gradient_norm, result.details.unwrap()));
    }
    left
}

#[test]
fn a_batch_in_parts_gives_the_numbers_of_the_whole() {
    let turn = computing_device();
    let whole = steps(&turn.cuda, None);
    for images in [1, 3, 5] {
        for (step, (part, whole)) in steps(&turn.cuda, Some(images)).iter().zip(&whole).enumerate() {
            let row = |r: &MetricsRow| [r.explained_variance, r.explained_variance_position, r.target_std];
            let found = [&[part.0, part.1][..], &row(&part.2)].concat();
            let expected = [&[whole.0, whole.1][..], &row(&whole.2)].concat();
            let near = |(f, e): (&f64, &f64)| (f - e).abs() <= 1e-4 * e.abs().max(0.01);
            let same = found.iter().zip(&expected).all(near);
            assert!(same, "{images} images, step {step}: {found:?}, not {expected:?}");
        }
    }
}

#[test]
fn parts_fill_half_of_the_memory() {
    let turn = device();
    if turn.gpu {
        return;
    }
    // 2^37 bytes, of which every patch takes twice what backward needs.
    let tokens = |bytes| micro_batch_tokens(&turn.cuda, || bytes).unwrap();
    assert_eq!(tokens(Some(f64::from(1 << 20))), 1 << 15);
    assert_eq!(tokens(None), usize::MAX);
}

#[test]
fn a_run_without_memory_says_so() {
    let turn = computing_device();
    if turn.gpu {
        return;
    }
    let mut session: Session<Cuda> = session(&turn.cuda);
    let mut batches = Loader::start(&session.plan.source, &session.loader_plan(1));
    session.step(&batches.next().unwrap(), false).unwrap();
    set_largest_block(Some(4096));
    let failed = session.step(&batches.next().unwrap(), false).map(|_| ());
    set_largest_block(None);
    let error = failed.unwrap_err().to_string();
    assert!(error.contains("the GPU has no memory left") && error.contains("slots"), "{error}");
}
