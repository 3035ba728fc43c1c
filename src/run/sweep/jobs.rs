//! From runs that have something left to do to jobs for a launcher.

use super::{SweepOptions, run_folder, table::Table};
use crate::{
    run::{
        RunError,
        launcher::{Job, LocalLauncher, Resources},
    },
    sweep::{Gpus, Plan, PlannedRun},
};

/// How far the runs of a stage go.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    /// Epoch to stop at; none: to the end.
    pub until: Option<u64>,
    /// Whether every run starts over.
    pub fresh: bool,
}

/// The launcher for this machine: one slot per run at a time, on the GPUs that options or plan name.
pub fn local_launcher(plan: &Plan, options: &SweepOptions) -> Result<LocalLauncher, RunError> {
    let Some(gpus) = gpus(plan, options) else {
        return Ok(LocalLauncher::new(vec![None; options.jobs.max(1)]));
    };
    if !cfg!(feature = "cuda-base") {
        let message = "gpus: this program was built without the feature `cuda`; build it with that, or leave out `gpus`";
        return Err(RunError::Config(message.into()));
    }
    Ok(LocalLauncher::new(gpus.places().map(Some).collect()))
}

fn gpus<'a>(plan: &'a Plan, options: &'a SweepOptions) -> Option<&'a Gpus> {
    options.gpus.as_ref().or(plan.gpus.as_ref())
}

/// Jobs for all runs that have something left to do in a stage, each with so many threads.
pub(super) fn jobs(table: &Table, options: &SweepOptions, stage: Stage, threads: usize) -> Vec<Job> {
    let gpu = gpus(table.plan, options).is_some();
    let has_work = |run: &&PlannedRun| {
        let overview = &table.runs[run.index].1;
        let epochs = run.experiment.train.epochs;
        let there = stage.until.is_some_and(|epoch| overview.has_reached(epoch, epochs));
        !table.handed_on.contains(&run.index) && (stage.fresh || !overview.is_over() && !there)
    };
    let job = |run: &PlannedRun| Job {
        index: run.index,
        program: options.program.clone(),
        experiment: table.folder.config(run.index),
        results: options.output.clone(),
        folder: run_folder(run, &options.output),
        log: table.folder.log(run.index),
        resources: Resources { threads, gpu },
        force: stage.fresh,
        until_epoch: stage.until,
        steal: false,
    };
    table.plan.runs.iter().filter(has_work).map(job).collect()
}
