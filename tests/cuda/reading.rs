//! When a run reads from the device: at rows and epochs alone, and never past a number that is not finite.

use std::sync::atomic::AtomicBool;

use cuda_shim::null::take_counts;
use dfdx::prelude::{Cpu, Cuda};
use ijepa_run::{
    events::{Event, Outcome},
    model::BuildDevice,
    train::{Until, run},
};

use crate::emulator::{computing_device, device};
use crate::training::{TINY, session_of};

/// Two epochs of four steps, without probes.
const SHORT: [&str; 3] = ["probes=[]", "train.epochs=2", "learning_rate.warmup_epochs=1"];

/// The events of a run with these changes, each with the waits since the one before; and how it ended.
fn events_of<D: BuildDevice>(device: &D, changes: &[&str]) -> (Vec<(Event, usize)>, Outcome) {
    let mut session = session_of(TINY, &[&SHORT, changes].concat(), device);
    let mut events = Vec::new();
    let _ = take_counts();
    let mut emit = |event: Event| {
        events.push((event, take_counts().waits));
        Ok(())
    };
    let until = Until { stop: &AtomicBool::new(false), epoch: None };
    let outcome = run(&mut session, &mut emit, until).unwrap();
    (events, outcome)
}

#[test]
fn a_run_waits_for_rows_and_epochs_alone() {
    let turn = device();
    if turn.gpu {
        return;
    }
    let (events, outcome) = events_of(&turn.cuda, &["train.log_every=3"]);
    assert_eq!(outcome, Outcome::Done);
    let ticks = events.iter().filter_map(|(event, waits)| match event {
        Event::Tick(tick) => Some((tick.step, *waits)),
        _ => None,
    });
    // One wait for all numbers since the last time; one more where a row wants explained variance.
    assert_eq!(ticks.collect::<Vec<_>>(), [(3, 2), (4, 1), (6, 2), (8, 2)]);
    let written = events.iter().filter(|(event, _)| matches!(event, Event::Metrics(_) | Event::Epoch(_)));
    assert!(written.clone().count() == 5 && written.clone().all(|(_, waits)| *waits == 0));
}

#[test]
fn rows_are_those_of_a_run_that_reads_every_step() {
    let turn = computing_device();
    // Rules of collapse look at the last step of every epoch, whatever is logged.
    let changes = ["train.log_every=3", "collapse=[{ metric: target_std, below: 1e-9 }]"];
    let rows = |events: Vec<(Event, usize)>| {
        let numbers = |(event, _): (Event, usize)| match event {
            Event::Metrics(row) => {
                Some((row.step, [row.loss, row.gradient_norm, row.target_std, row.prediction_std]))
            }
            Event::Epoch(row) => Some((row.step, [row.loss, 0.0, 0.0, 0.0])),
            _ => None,
        };
        events.into_iter().filter_map(numbers).collect::<Vec<_>>()
    };
    let (here, cpu) = (rows(events_of(&turn.cuda, &changes).0), rows(events_of(&Cpu::default(), &changes).0));
    assert_eq!(here.len(), 5);
    for (here, cpu) in here.iter().zip(&cpu) {
        assert_eq!(here.0, cpu.0);
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-4 * b.abs();
        assert!(here.1.iter().zip(&cpu.1).all(near), "{here:?}, not {cpu:?}");
    }
}

/// What a run of the tiny model left that does not end well, and its outcome.
fn end_of<D: BuildDevice>(device: &D, changes: &[&str]) -> (Vec<u64>, Outcome) {
    let (events, outcome) = events_of(device, changes);
    let written = events.into_iter().filter_map(|(event, _)| match event {
        Event::Metrics(row) => Some(row.step),
        Event::Epoch(row) => Some(row.step),
        Event::Checkpoint(_) => panic!("a checkpoint of a run that diverged"),
        _ => None,
    });
    (written.collect(), outcome)
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_with_its_own_step() {
    let turn = computing_device();
    // The first step has a learning rate of 0, the second blows everything up, the third shows it.
    let changes =
        ["learning_rate={ kind: warmup_cosine, convention: reference, peak: 1.0e30 }", "train.log_every=2"];
    let (written, outcome) = end_of::<Cuda>(&turn.cuda, &changes);
    let (written_there, outcome_there) = end_of(&Cpu::default(), &changes);
    assert_eq!((written, written_there), (vec![2], vec![2]));
    // What is not finite depends on the order of a sum: infinity here may be NaN there.
    for outcome in [outcome, outcome_there] {
        let Outcome::Diverged { reason } = outcome else { panic!("{outcome:?}") };
        let value = reason.strip_prefix("the loss of step 3 is ").unwrap_or_else(|| panic!("{reason}"));
        assert!(value.parse::<f64>().is_ok_and(|value| !value.is_finite()), "{reason}");
    }
}
