//! A sweep as a library function, without a command line or a process; its runs as tasks of engines.

#[cfg(unix)]
mod claims;
#[cfg(unix)]
mod exec;
#[cfg(unix)]
mod fake_slurm;
mod pretender;
#[allow(dead_code)]
#[path = "../runner/program.rs"]
mod program;
#[cfg(unix)]
mod real;

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use ijepa_run::{
    bench::CostMemory,
    config::Surroundings,
    events::{Ahead, RunEnd, RunState, SweepEnd, SweepEvent},
    results::FolderError,
    run::{
        RunError,
        sweep::{SweepFinished, SweepOptions, run_plan},
    },
    sweep::{Plan, plan},
};
use pretender::Pretender;

const BASE: &str = "
version: 1
name: tiny
dataset: { kind: shapes, image_size: 16, train: 64, test: 20 }
encoder: { kind: vit, dim: 16, depth: 2, heads: 2 }
predictor: { kind: vit, dim: 8, depth: 1, heads: 2 }
masking: { kind: multiblock, min_context: 2 }
loss: l2
optimizer: adamw
learning_rate: { kind: constant, value: 1.0e-3 }
weight_decay: { kind: constant, value: 0.05 }
ema: { kind: linear, start: 0.9, end: 1.0 }
train: { epochs: 4, batch_size: 16 }
probes: [{ kind: knn, k: 5, every: 1 }]
";

const METRIC: &str = "knn/target/class/top1";

fn planned(text: &str) -> Plan {
    let read = |name: &str| if name == "tiny.yaml" { Ok(BASE.to_owned()) } else { Err("none".to_owned()) };
    let text = format!("base: tiny.yaml\n{text}");
    plan("s.yaml", &text, &[], &Surroundings::files(&read), &CostMemory::default()).expect(&text)
}

fn options(output: &Path) -> SweepOptions {
    SweepOptions {
        output: output.into(),
        jobs: 1,
        threads: None,
        gpus: None,
        force: false,
        until_epoch: None,
        only: Vec::new(),
        program: "none".into(),
    }
}

/// Runs a plan; `heard` sees every event and may set the flag that stops the sweep.
fn run(
    plan: &Plan,
    options: &SweepOptions,
    launcher: &mut Pretender,
    mut heard: impl FnMut(&SweepEvent, &AtomicBool),
) -> SweepFinished {
    let stop = AtomicBool::new(false);
    run_plan(plan, options, launcher, &stop, &mut |event| heard(event, &stop)).expect("a sweep")
}

fn states(finished: &SweepFinished) -> Vec<RunState> {
    finished.runs.iter().map(|(_, overview)| overview.state()).collect()
}

/// Events in one word each.
fn words(events: &[SweepEvent]) -> Vec<String> {
    let word = |event: &SweepEvent| match event {
        SweepEvent::Opened { runs, .. } => format!("opened {}", runs.len()),
        SweepEvent::StageStarted { until, to_do, .. } => format!("stage {until:?} {to_do:?}"),
        SweepEvent::RunStarted { index, slot } => format!("started {index} in {slot}"),
        SweepEvent::RunEnded(end) => format!("{} {}", end.state, end.index),
        SweepEvent::StageEnded => "over".into(),
        SweepEvent::StopRequested { unfinished } => format!("stop {unfinished}"),
        SweepEvent::Decided(d) => format!("{} {}", if d.stops { "ends" } else { "goes on" }, d.arm),
        SweepEvent::Ended(end) => format!("{end:?}"),
        other => format!("{other:?}"),
    };
    events.iter().map(word).collect()
}

const THREE: &str = "parameters: { masking.targets: [1, 2, 3] }\n";

#[test]
fn a_failing_run_harms_nobody_and_is_tried_again() {
    let (folder, plan) = (tempfile::tempdir().unwrap(), planned(THREE));
    let how = options(folder.path());
    let mut events = Vec::new();
    let mut launcher = Pretender { fails: vec![1], ..Pretender::default() };
    let finished = run(&plan, &how, &mut launcher, |event, _| events.push(event.clone()));
    assert_eq!(finished.end, SweepEnd::Failed);
    assert_eq!(states(&finished), [RunState::Done, RunState::Failed, RunState::Done]);
    let heard = words(&events);
    let expected = [
        "opened 3",
        "stage None [0, 1, 2]",
        "started 0 in 0",
        "started 1 in 1",
        "done 0",
        "failed 1",
        "started 2 in 0",
        "done 2",
        "over",
        "Failed",
    ];
    let heard: Vec<&String> = heard.iter().filter(|word| !word.starts_with("RunProgress")).collect();
    assert_eq!(heard, expected);
    let end = |event: &SweepEvent| match event {
        SweepEvent::RunEnded(end) => Some(end.clone()),
        _ => None,
    };
    let ends: Vec<RunEnd> = events.iter().filter_map(end).collect();
    assert_eq!(ends[0].metrics, [(METRIC.to_owned(), 1.0)]);
    assert_eq!(ends[1].failure.as_deref(), Some("the disk is full"));
    let table = fs::read_to_string(finished.folder.join("runs.csv")).unwrap();
    assert!(
        table.contains(",failed,the disk is full,") && table.matches(",done,,16,").count() == 2,
        "{table}"
    );

    let mut launcher = Pretender::default();
    let again = run(&plan, &how, &mut launcher, |event, _| {
        if let SweepEvent::Opened { runs, .. } = event {
            let ahead: Vec<_> = runs.iter().map(|run| (run.ahead, run.steps_left)).collect();
            let finished = (Ahead::Finished, Some(0));
            assert_eq!(ahead, [finished, (Ahead::New, Some(16)), finished]);
        }
    });
    assert_eq!((again.end, launcher.taken), (SweepEnd::Done, vec![(1, None, false)]));
}

#[test]
fn a_stop_asks_for_checkpoints_and_starts_no_more() {
    let (folder, plan) = (tempfile::tempdir().unwrap(), planned(THREE));
    let how = options(folder.path());
    let mut events = Vec::new();
    let mut launcher = Pretender::default();
    let finished = run(&plan, &how, &mut launcher, |event, stop| {
        events.push(event.clone());
        stop.fetch_or(matches!(event, SweepEvent::RunStarted { index: 1, .. }), Ordering::SeqCst);
    });
    assert_eq!(finished.end, SweepEnd::Stopped);
    assert_eq!(states(&finished), [RunState::Stopped, RunState::Stopped, RunState::Pending]);
    let heard = words(&events);
    let last = ["stop 3", "stopped 0", "stopped 1", "over", "Stopped"];
    assert_eq!(heard[heard.len() - last.len()..], last);
    let mut ahead = Vec::new();
    let again = run(&plan, &how, &mut Pretender::default(), |event, _| {
        if let SweepEvent::Opened { runs, .. } = event {
            ahead = runs.iter().map(|run| (run.ahead, run.step)).collect();
        }
    });
    assert_eq!(ahead, [(Ahead::Continues, 4), (Ahead::Continues, 4), (Ahead::New, 0)]);
    assert_eq!(again.end, SweepEnd::Done);
}

#[test]
fn arms_end_early_at_rungs_that_all_have_reached() {
    let folder = tempfile::tempdir().unwrap();
    let plan = planned(
        "arms: [{ name: baseline }, { name: a, set: { masking.targets: 1 } }, { name: b, set: { masking.targets: 2 } }]\n\
         metric: { name: knn/target/class/top1 }\n\
         early_terminate: { kind: successive_halving, eta: 2, min_epochs: 2 }\n",
    );
    let how = options(folder.path());
    let mut events = Vec::new();
    let mut launcher = Pretender::default();
    let finished = run(&plan, &how, &mut launcher, |event, _| events.push(event.clone()));
    let stages = [(0, Some(2)), (1, Some(2)), (2, Some(2)), (0, None), (2, None)];
    assert_eq!(launcher.taken, stages.map(|(index, until)| (index, until, false)));
    let decided = words(&events).into_iter().filter(|word| word.contains("goes on") || word.contains("ends"));
    assert_eq!(decided.collect::<Vec<_>>(), ["goes on baseline", "ends a", "goes on b"]);
    assert_eq!((finished.end, finished.decisions.len()), (SweepEnd::Done, 3));
    assert_eq!(states(&finished), [RunState::Done, RunState::Stopped, RunState::Done]);
    let table = fs::read_to_string(finished.folder.join("runs.csv")).unwrap();
    assert!(
        table.contains(",a,0,stopped,\"successive_halving at epoch 2: rank 2 of 3, 1 go on\","),
        "{table}"
    );
    // The same decisions from the folders alone.
    let mut launcher = Pretender::default();
    let again = run(&plan, &how, &mut launcher, |_, _| {});
    assert_eq!((again.end, again.decisions), (SweepEnd::Done, finished.decisions));
    assert!(launcher.taken.is_empty());
    // Nothing is decided, and nothing has failed, where others are to start the runs.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut launcher = Pretender { emits: true, ..Pretender::default() };
    let finished = run(&plan, &options(elsewhere.path()), &mut launcher, |_, _| {});
    assert_eq!((finished.end, launcher.taken.len()), (SweepEnd::Stopped, 3));
    assert!(finished.decisions.is_empty() && states(&finished) == [RunState::Pending; 3]);
}

#[test]
fn runs_that_others_work_on_are_tried_once_more_and_refused_ones_have_failed() {
    let (folder, plan) = (tempfile::tempdir().unwrap(), planned(THREE));
    let mut launcher = Pretender { busy: vec![0], refuses: vec![2], ..Pretender::default() };
    let finished = run(&plan, &options(folder.path()), &mut launcher, |_, _| {});
    assert_eq!(launcher.taken.iter().map(|job| job.0).collect::<Vec<_>>(), [0, 1, 2, 0]);
    assert_eq!(finished.end, SweepEnd::Failed);
    assert_eq!(finished.runs[2].1.reason(), "the queue is full");
    assert_eq!(states(&finished)[..2], [RunState::Done; 2]);
}

#[test]
fn a_sweep_can_go_up_to_an_epoch_and_start_over() {
    let (folder, plan) = (tempfile::tempdir().unwrap(), planned(THREE));
    let until = SweepOptions { until_epoch: Some(3), ..options(folder.path()) };
    let finished = run(&plan, &until, &mut Pretender::default(), |_, _| {});
    assert_eq!((finished.end, states(&finished)), (SweepEnd::Stopped, vec![RunState::Stopped; 3]));
    let over = SweepOptions { force: true, ..options(folder.path()) };
    let mut launcher = Pretender::default();
    let mut ahead = Vec::new();
    let finished = run(&plan, &over, &mut launcher, |event, _| {
        if let SweepEvent::Opened { runs, .. } = event {
            ahead = runs.iter().map(|run| (run.ahead, run.steps_left)).collect();
        }
    });
    assert_eq!(ahead, [(Ahead::StartsOver, Some(16)); 3]);
    assert_eq!((finished.end, launcher.taken.len()), (SweepEnd::Done, 3));
    assert!(launcher.taken.iter().all(|(_, until, force)| until.is_none() && *force));
}

#[test]
fn a_sweep_folder_has_one_owner() {
    let (folder, plan) = (tempfile::tempdir().unwrap(), planned(THREE));
    let how = options(folder.path());
    run(&plan, &how, &mut Pretender::default(), |event, _| {
        if let SweepEvent::Opened { .. } = event {
            let stop = AtomicBool::new(false);
            let second = run_plan(&plan, &how, &mut Pretender::default(), &stop, &mut |_| ());
            assert!(matches!(second, Err(RunError::Folder(FolderError::InUse(_)))), "{second:?}");
        }
    });
}
