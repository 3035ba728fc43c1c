//! A sweep from its plan to finished tables: what [`crate::run::run_experiment`] is for one experiment.
//!
//! ```text
//! Plan -> Table { runs } -> Stage, Stage, ... -> Job, Job, ... -> Launcher -> JobEvent, ... -> SweepEvent, ...
//! ```
//!
//! Nothing here prints, parses a command line or starts a process: a [`Launcher`] carries out the jobs, and
//! `emit` hears of everything.

mod jobs;
mod stages;
mod table;

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use rayon::prelude::*;

use super::{RunError, data, early_stopping::EarlyStopping, launcher::Launcher};
use crate::{
    events::{Ahead, RunAhead, RunState, SweepEnd, SweepEvent},
    results::{FolderError, RunOverview, RunRow},
    sweep::{Decision, Gpus, Plan, PlannedRun},
};
pub use jobs::local_launcher;
use stages::Sweep;
use table::Table;

/// How to run a sweep, apart from what.
#[derive(Clone, Debug)]
pub struct SweepOptions {
    /// Folder that receives the run folders; sweep folders are in `sweeps` below it.
    pub output: PathBuf,
    /// Runs at a time on this machine, where no GPUs are named.
    pub jobs: usize,
    /// Compute threads of each run; none: the launcher's share.
    pub threads: Option<usize>,
    /// GPUs that the runs go to; none: those of the plan, if it names some.
    pub gpus: Option<Gpus>,
    /// Start all runs over; files of earlier attempts are moved aside, never deleted.
    pub force: bool,
    /// Stop every run with a checkpoint when this epoch is over; none: train to the end.
    pub until_epoch: Option<u64>,
    /// Only runs that stand like one of these; none: all that have something left to do.
    pub only: Vec<RunState>,
    /// The program that carries out a run: this one, or one with more components.
    pub program: PathBuf,
}

/// What became of a sweep.
#[derive(Debug)]
pub struct SweepFinished {
    /// Its folder.
    pub folder: PathBuf,
    /// How it ended.
    pub end: SweepEnd,
    /// Every run and how it stands, in the order of the plan.
    pub runs: Vec<(RunRow, RunOverview)>,
    /// What early termination decided.
    pub decisions: Vec<Decision>,
}

/// Carries out a plan: starts what is new, continues what was stopped, leaves alone what is finished, ends
/// arms early where the plan says so, and keeps the tables of the sweep folder up to date. Setting `stop` makes
/// the runs under way write a checkpoint and end. `emit` hears of everything, on the thread of the caller.
///
/// A run that fails is an outcome of the sweep, no error. Running the same plan again continues it.
pub fn run_plan(
    plan: &Plan,
    options: &SweepOptions,
    launcher: &mut dyn Launcher,
    stop: &AtomicBool,
    emit: &mut dyn FnMut(&SweepEvent),
) -> Result<SweepFinished, RunError> {
    let path = sweep_folder(plan, &options.output);
    let table = Table::open(plan, options, &path)?;
    let at = |error| FolderError::Io(path.clone(), error);
    table.prepare().map_err(at)?;
    emit(&SweepEvent::Opened { folder: path.clone(), runs: ahead(&table, options) });
    let mut sweep = Sweep { plan, options, launcher, stop, emit, table };
    let decisions = sweep.carry_out().map_err(at)?;
    let Sweep { table, emit, .. } = sweep;
    table.finish(&options.output).map_err(at)?;
    let end = end(&table, options, stop.load(Ordering::SeqCst));
    emit(&SweepEvent::Ended(end));
    Ok(SweepFinished { folder: path, end, runs: table.runs, decisions })
}

/// The folder of a plan's sweep, for results in `output`.
pub fn sweep_folder(plan: &Plan, output: &Path) -> PathBuf {
    output.join("sweeps").join(plan.folder_name())
}

/// The folder of a planned run.
pub fn run_folder(run: &PlannedRun, output: &Path) -> PathBuf {
    data::folder(output, &run.experiment)
}

/// How every run of a plan stands, from its files, in the order of the plan.
pub fn overviews(plan: &Plan, output: &Path) -> Vec<RunOverview> {
    plan.runs.par_iter().map(|run| RunOverview::read(&run_folder(run, output))).collect()
}

/// The same before finished runs are reused: what a run alone would refuse is no finished run here.
fn reusable(plan: &Plan, output: &Path) -> Vec<RunOverview> {
    plan.runs.par_iter().map(|run| RunOverview::before_reuse(&run_folder(run, output))).collect()
}

/// The same, with the arms marked that have ended early at the rungs which all runs have reached.
pub fn judged_overviews(plan: &Plan, output: &Path) -> Vec<RunOverview> {
    let mut all = overviews(plan, output);
    let Some(mut early) = EarlyStopping::new(plan) else { return all };
    while let Some(epoch) = early.next_rung() {
        let there = |(run, overview): (&PlannedRun, &RunOverview)| {
            overview.is_over() || overview.has_reached(epoch, run.experiment.train.epochs)
        };
        if !plan.runs.iter().zip(&all).all(there) {
            break;
        }
        early.decide(epoch, &mut all.iter_mut().collect::<Vec<_>>());
    }
    all
}

/// Steps of a run that are left to do; none if their number depends on data that nobody has read.
pub fn steps_left(run: &PlannedRun, overview: &RunOverview, force: bool) -> Option<u64> {
    let steps = run.steps()?;
    Some(match &overview.status {
        Some(_) if force => steps,
        Some(_) if overview.is_over() => 0,
        Some(status) => steps.saturating_sub(status.step),
        None => steps,
    })
}

/// What is to be done with a run that stands like this.
pub fn what_is_ahead(overview: &RunOverview, force: bool) -> Ahead {
    match overview.state() {
        RunState::Running => Ahead::Elsewhere,
        _ if force && overview.status.is_some() => Ahead::StartsOver,
        _ if overview.is_over() => Ahead::Finished,
        RunState::Pending => Ahead::New,
        _ => Ahead::Continues,
    }
}

fn ahead(table: &Table, options: &SweepOptions) -> Vec<RunAhead> {
    let one = |(run, (row, overview)): (&PlannedRun, &(RunRow, RunOverview))| RunAhead {
        index: row.index,
        run_id: row.run_id.clone(),
        arm: row.arm.clone(),
        seed: row.seed,
        state: overview.state(),
        step: overview.status.as_ref().map_or(0, |status| status.step),
        steps_left: steps_left(run, overview, options.force),
        ahead: what_is_ahead(overview, options.force),
    };
    table.plan.runs.iter().zip(&table.runs).map(one).collect()
}

fn end(table: &Table, options: &SweepOptions, stopped: bool) -> SweepEnd {
    let mut runs = table.plan.runs.iter().zip(table.runs.iter().map(|(_, overview)| overview));
    let unfinished: Vec<_> = runs.clone().filter(|(_, overview)| !overview.is_over()).collect();
    // As far as they were to go here.
    let far_enough = |(run, overview): &(&PlannedRun, &RunOverview)| {
        let epochs = run.experiment.train.epochs;
        let there = options.until_epoch.is_some_and(|epoch| overview.has_reached(epoch, epochs));
        there || table.handed_on.contains(&run.index)
    };
    match unfinished.as_slice() {
        [] if runs.any(|(_, overview)| overview.state().is_broken()) => SweepEnd::Broken,
        [] => SweepEnd::Done,
        left if stopped || left.iter().all(far_enough) => SweepEnd::Stopped,
        left if left.iter().all(|(_, overview)| overview.state() == RunState::Running) => SweepEnd::InUse,
        _ => SweepEnd::Failed,
    }
}
