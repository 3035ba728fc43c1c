//! `ijepa-run SWEEP.yaml`: plans, starts and sums up many runs.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use super::{Exit, RunOptions, out, pool_display::PoolDisplay, race::Race, run as single, signals, summary};
use crate::{
    launch::{Ended, Job, PoolEvent, run_all},
    results::{FolderError, RunRow, RunState, SWEEP, Sizes, Standing, SweepFolder, write_atomic},
    run::data,
    sweep::{Decision, Plan, PlannedRun},
};

/// Prints or runs a plan.
pub(crate) fn from_plan(plan: &Plan, options: &RunOptions) -> Exit {
    if !options.quiet {
        let rounding = plan.runs.iter().find_map(|r| single::rounding(&r.experiment));
        plan.notes.iter().chain(&rounding).for_each(|note| out::stderr(&format!("note: {note}")));
    }
    if options.print_config {
        let document =
            |r: &PlannedRun| format!("---\n# {}, seed {}\n{}", r.arm, r.seed, r.experiment.to_yaml());
        return out::stdout(&plan.runs.iter().map(document).collect::<String>());
    }
    if options.dry_run {
        let standings = judged_standings(plan, options);
        return out::stdout(&summary::dry_run(plan, &standings.iter().collect::<Vec<_>>(), options));
    }
    if plan.gpus.is_some() && !cfg!(feature = "cuda-base") {
        out::stderr(
            "gpus: this program was built without the feature `cuda`; build it with that, or leave out `gpus`",
        );
        return Exit::Config;
    }
    match run(plan, options) {
        Ok(exit) => exit,
        Err(error) => {
            out::stderr(&format!("error: {error}"));
            if matches!(error, FolderError::InUse(_)) { Exit::Locked } else { Exit::Failed }
        }
    }
}

pub(super) fn run_folder(run: &PlannedRun, options: &RunOptions) -> PathBuf {
    data::folder(&options.output, &run.experiment)
}

/// How every run stands before this process does anything.
pub(super) fn standings(plan: &Plan, options: &RunOptions) -> Vec<Standing> {
    plan.runs.iter().map(|run| Standing::read(&run_folder(run, options))).collect()
}

/// The same, with the arms that have ended early at the rungs that all runs have reached.
fn judged_standings(plan: &Plan, options: &RunOptions) -> Vec<Standing> {
    let mut all = standings(plan, options);
    let Some(mut race) = Race::new(plan) else { return all };
    while let Some(epoch) = race.next_rung() {
        let there = |(run, s): (&PlannedRun, &Standing)| {
            s.is_over() || s.has_reached(epoch, run.experiment.train.epochs)
        };
        if !plan.runs.iter().zip(&all).all(there) {
            break;
        }
        race.decide(epoch, &mut all.iter_mut().collect::<Vec<_>>());
    }
    all
}

fn row(plan: &Plan, run: &PlannedRun, options: &RunOptions) -> RunRow {
    let changed: Vec<String> = run.changed.iter().map(|(path, value)| format!("{path}={value}")).collect();
    RunRow {
        index: run.index,
        run_id: run_folder(run, options).file_name().unwrap_or_default().to_string_lossy().into_owned(),
        arm: run.arm.clone(),
        seed: run.seed,
        changed: changed.join(","),
        parameters: plan.parameters.iter().map(|path| run.parameter(path)).collect(),
        sizes: Sizes {
            epochs: run.experiment.train.epochs,
            steps: run.steps(),
            parameters: run.cost.map(|c| c.parameters),
            tokens: run.tokens(),
            flop: run.flop(),
            memory: run.cost.and_then(|c| c.memory),
        },
    }
}

/// A sweep under way: the table of its runs, kept up to date on disk.
struct Table<'a> {
    plan: &'a Plan,
    folder: &'a SweepFolder,
    runs: Vec<(RunRow, Standing)>,
}

impl Table<'_> {
    fn write(&self) -> io::Result<()> {
        self.folder.write_runs(&self.plan.parameters, self.plan.metric.as_ref(), &self.runs)
    }

    fn standings(&self) -> Vec<&Standing> {
        self.runs.iter().map(|(_, s)| s).collect()
    }
}

fn run(plan: &Plan, options: &RunOptions) -> Result<Exit, FolderError> {
    let path = options.output.join("sweeps").join(plan.folder_name());
    let folder = SweepFolder::open(&path)?;
    let at = |e| FolderError::Io(path.clone(), e);
    let runs = plan.runs.iter().map(|run| row(plan, run, options)).zip(standings(plan, options)).collect();
    let mut table = Table { plan, folder: &folder, runs };
    prepare(&table).map_err(at)?;
    if !options.quiet {
        summary::hours(plan, &table.standings(), options).iter().for_each(|line| out::stderr(line));
    }
    let stop = signals::stop_flag();
    carry_out(&mut table, options, stop).map_err(at)?;
    folder.write_timing(&options.output, table.runs.iter().map(|(row, _)| row)).map_err(at)?;
    let standings = table.standings();
    let told = if options.quiet { Exit::Done } else { out::stdout(&summary::arms(&path, &standings)) };
    let exit = exit(&standings, stop.load(Ordering::SeqCst));
    out::stderr(&format!("{}: {}", summary::outcome(exit, &standings), path.display()));
    Ok(exit.or(told))
}

/// Trains all runs to the end, or from rung to rung where arms can end early.
fn carry_out(table: &mut Table, options: &RunOptions, stop: &AtomicBool) -> io::Result<()> {
    let plan = table.plan;
    let mut fresh = options.force;
    if let Some(mut race) = Race::new(plan) {
        while let Some(epoch) = race.next_rung() {
            pool(table, options, Stage { until: Some(epoch), fresh }, stop)?;
            fresh = false;
            if stop.load(Ordering::SeqCst) {
                return Ok(());
            }
            // Whoever works on a run elsewhere has not measured it yet: nothing can be decided.
            if table.runs.iter().any(|(_, s)| s.state() == RunState::Running) {
                return Ok(());
            }
            let mut standings: Vec<&mut Standing> = table.runs.iter_mut().map(|(_, s)| s).collect();
            let ended = race.decide(epoch, &mut standings);
            if !options.quiet {
                let tell =
                    |d: &Decision| out::stderr(&format!("epoch {epoch}: `{}` ends: {}", d.arm, d.reason));
                ended.iter().for_each(tell);
            }
            table.folder.write_decisions(race.metric(), race.decisions())?;
            table.write()?;
        }
    }
    pool(table, options, Stage { until: None, fresh }, stop)
}

/// How far the runs of one pass through the pool go.
#[derive(Clone, Copy)]
struct Stage {
    /// Epoch to stop at; none: to the end.
    until: Option<u64>,
    /// Whether every run starts over.
    fresh: bool,
}

/// Carries out what is left to do in a stage; runs that another process works on are tried again at the end.
fn pool(table: &mut Table, options: &RunOptions, stage: Stage, stop: &AtomicBool) -> io::Result<()> {
    let in_use = pass(table, options, stage, stop, |_| true)?;
    if !in_use.is_empty() && !stop.load(Ordering::SeqCst) {
        pass(table, options, stage, stop, |index| in_use.contains(&index))?;
    }
    Ok(())
}

/// One pass through the pool over those that `wanted` takes; returns the runs that were in use.
fn pass(
    table: &mut Table,
    options: &RunOptions,
    stage: Stage,
    stop: &AtomicBool,
    wanted: impl Fn(usize) -> bool,
) -> io::Result<Vec<usize>> {
    let plan = table.plan;
    let workers = workers(plan, options);
    let mut jobs = jobs(table, options, stage, threads_per_run(options, workers.len()))?;
    jobs.retain(|job| wanted(job.index));
    let mut in_use = Vec::new();
    let mut display = PoolDisplay::new(plan.runs.len(), jobs.len(), stage.until, workers.len(), options);
    let mut written = Ok(());
    run_all(&jobs, &workers, stop, |event| {
        if let PoolEvent::Ended { index, ended, .. } = &event {
            in_use.extend((*ended == Ended::InUse).then_some(*index));
            table.runs[*index].1 = standing_after(&run_folder(&plan.runs[*index], options), ended);
            written = std::mem::replace(&mut written, Ok(())).and_then(|()| table.write());
        }
        display.take(&event, plan, &table.runs);
    });
    display.close();
    written.map(|()| in_use)
}

/// Writes everything that is known before the first run.
fn prepare(table: &Table) -> io::Result<()> {
    let Table { plan, folder, runs } = table;
    write_atomic(&folder.path().join(SWEEP), plan.source.as_bytes())?;
    folder.write_plan(&runs.iter().map(|(row, _)| row.clone()).collect::<Vec<_>>())?;
    for run in &plan.runs {
        write_atomic(&folder.config(run.index), run.experiment.to_yaml().as_bytes())?;
    }
    table.write()
}

/// Processes for all runs that have something left to do in this stage.
fn jobs(table: &Table, options: &RunOptions, stage: Stage, threads: usize) -> io::Result<Vec<Job>> {
    let program = std::env::current_exe()?;
    let has_work = |run: &&PlannedRun| {
        let standing = &table.runs[run.index].1;
        let epochs = run.experiment.train.epochs;
        let there = stage.until.is_some_and(|epoch| standing.has_reached(epoch, epochs));
        stage.fresh || !standing.is_over() && !there
    };
    let job = |run: &PlannedRun| Job {
        index: run.index,
        program: program.clone(),
        arguments: arguments(&table.folder.config(run.index), options, stage, threads),
        log: table.folder.log(run.index),
        folder: run_folder(run, options),
    };
    Ok(table.plan.runs.iter().filter(has_work).map(job).collect())
}

/// What each worker adds to the arguments of its runs: the device, where the sweep names GPUs.
fn workers(plan: &Plan, options: &RunOptions) -> Vec<Vec<String>> {
    match &plan.gpus {
        Some(gpus) => gpus.places().map(|device| vec![format!("device=cuda:{device}")]).collect(),
        None => vec![Vec::new(); options.jobs.into()],
    }
}

/// Threads of this machine.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Threads that each run of a sweep computes with, so many at a time.
pub(super) fn threads_per_run(options: &RunOptions, workers: usize) -> usize {
    options.threads.map_or((cores() / workers).max(1), usize::from)
}

fn arguments(config: &Path, options: &RunOptions, stage: Stage, threads: usize) -> Vec<String> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut all = vec![text(config), "--quiet".into(), "--stop-with-stdin".into()];
    all.extend(["--results".into(), text(&options.output), "--threads".into(), threads.to_string()]);
    all.extend(stage.fresh.then(|| "--force".to_owned()));
    all.extend(stage.until.iter().flat_map(|epoch| ["--until-epoch".to_owned(), epoch.to_string()]));
    all
}

fn standing_after(folder: &Path, ended: &Ended) -> Standing {
    let mut standing = Standing::read(folder);
    if let Ended::Failed(reason) = ended {
        standing.failure = Some(reason.clone());
    }
    standing
}

fn exit(standings: &[&Standing], stopped: bool) -> Exit {
    if stopped && standings.iter().any(|s| !s.is_over()) {
        Exit::Requeue
    } else if standings.iter().any(|s| !s.is_over() && s.state() != RunState::Running) {
        Exit::Failed
    } else if standings.iter().any(|s| !s.is_over()) {
        Exit::Locked
    } else if standings.iter().any(|s| s.state().is_broken()) {
        Exit::Diverged
    } else {
        Exit::Done
    }
}
