//! `ijepa-run SWEEP.yaml`: plans, starts and sums up many runs.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use super::{Exit, RunOptions, out, pool_display::PoolDisplay, signals, summary};
use crate::{
    launch::{Ended, Job, PoolEvent, run_all},
    results::{FolderError, RunRow, Standing, SweepFolder, write_atomic},
    sweep::{Plan, PlannedRun},
};

/// Prints or runs a plan.
pub(crate) fn from_plan(plan: &Plan, options: &RunOptions) -> Exit {
    if !options.quiet {
        plan.notes.iter().for_each(|note| out::stderr(&format!("note: {note}")));
    }
    if options.print_config {
        let document =
            |r: &PlannedRun| format!("---\n# {}, seed {}\n{}", r.arm, r.seed, r.experiment.to_yaml());
        return out::stdout(&plan.runs.iter().map(document).collect::<String>());
    }
    if options.dry_run {
        return out::stdout(&summary::dry_run(plan, &standings(plan, options), options));
    }
    match run(plan, options) {
        Ok(exit) => exit,
        Err(error) => {
            out::stderr(&format!("error: {error}"));
            if matches!(error, FolderError::InUse(_)) { Exit::Locked } else { Exit::Failed }
        }
    }
}

fn run_folder(run: &PlannedRun, options: &RunOptions) -> PathBuf {
    options.output.join(run.experiment.run_folder_name())
}

/// How every run stands before this process does anything.
fn standings(plan: &Plan, options: &RunOptions) -> Vec<Standing> {
    plan.runs.iter().map(|run| Standing::read(&run_folder(run, options))).collect()
}

fn row(plan: &Plan, run: &PlannedRun) -> RunRow {
    let changed: Vec<String> = run.changed.iter().map(|(path, value)| format!("{path}={value}")).collect();
    RunRow {
        index: run.index,
        run_id: run.experiment.run_folder_name(),
        arm: run.arm.clone(),
        seed: run.seed,
        changed: changed.join(","),
        parameters: plan.parameters.iter().map(|path| run.parameter(path)).collect(),
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
        self.folder.write_runs(&self.plan.parameters, &self.runs)
    }
}

fn run(plan: &Plan, options: &RunOptions) -> Result<Exit, FolderError> {
    let path = options.output.join("sweeps").join(plan.folder_name());
    let folder = SweepFolder::open(&path)?;
    let at = |e| FolderError::Io(path.clone(), e);
    let runs = plan.runs.iter().map(|run| row(plan, run)).zip(standings(plan, options)).collect();
    let mut table = Table { plan, folder: &folder, runs };
    prepare(&table).map_err(at)?;
    let jobs = jobs(&table, options).map_err(at)?;
    let stop = signals::stop_flag();
    let mut display = PoolDisplay::new(plan.runs.len(), jobs.len(), options);
    let mut written = Ok(());
    run_all(&jobs, options.jobs.into(), stop, |event| {
        if let PoolEvent::Ended { index, ended, .. } = &event {
            table.runs[*index].1 = standing_after(&run_folder(&plan.runs[*index], options), ended);
            written = std::mem::replace(&mut written, Ok(())).and_then(|()| table.write());
        }
        display.take(&event, plan, &table.runs);
    });
    display.close();
    written.map_err(at)?;
    let standings: Vec<&Standing> = table.runs.iter().map(|(_, s)| s).collect();
    if !options.quiet {
        let _ = out::stdout(&summary::arms(plan, &standings));
    }
    let exit = exit(&standings, stop.load(Ordering::SeqCst));
    out::stderr(&format!("{}: {}", summary::outcome(exit, &standings), path.display()));
    Ok(exit)
}

/// Writes everything that is known before the first run.
fn prepare(table: &Table) -> io::Result<()> {
    let Table { plan, folder, runs } = table;
    write_atomic(&folder.path().join("sweep.yaml"), plan.source.as_bytes())?;
    folder.write_plan(&runs.iter().map(|(row, _)| row.clone()).collect::<Vec<_>>())?;
    for run in &plan.runs {
        write_atomic(&folder.config(run.index), run.experiment.to_yaml().as_bytes())?;
    }
    table.write()
}

/// Processes for all runs that have something left to do.
fn jobs(table: &Table, options: &RunOptions) -> io::Result<Vec<Job>> {
    let program = std::env::current_exe()?;
    let left = table.plan.runs.iter().filter(|r| options.force || !table.runs[r.index].1.is_over());
    let job = |run: &PlannedRun| Job {
        index: run.index,
        program: program.clone(),
        arguments: arguments(&table.folder.config(run.index), options),
        log: table.folder.log(run.index),
        folder: run_folder(run, options),
    };
    Ok(left.map(job).collect())
}

fn arguments(config: &Path, options: &RunOptions) -> Vec<String> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = options.threads.map_or((cores / usize::from(options.jobs)).max(1), usize::from);
    let mut all = vec![text(config), "--quiet".into(), "--stop-with-stdin".into()];
    all.extend(["--output".into(), text(&options.output), "--threads".into(), threads.to_string()]);
    all.extend(options.force.then(|| "--force".to_owned()));
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
    let any = |word: &str| standings.iter().any(|s| s.word() == word);
    if stopped && standings.iter().any(|s| !s.is_over()) {
        Exit::Requeue
    } else if standings.iter().any(|s| !s.is_over()) {
        Exit::Failed
    } else if any("diverged") {
        Exit::Diverged
    } else {
        Exit::Done
    }
}
