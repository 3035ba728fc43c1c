//! `ijepa-run SWEEP.yaml`: prints what a sweep would do, or carries it out and says what came of it.

use super::{
    Exit, RunOptions, engine_args::engine_sweep, exit, print, signals, summary, sweep_progress::SweepDisplay,
    time_limit,
};
use crate::{
    events::{SweepEnd, SweepEvent},
    results::RunOverview,
    run::{
        RunError, device,
        launcher::{EmitLauncher, EngineKind, Launcher, QueueOptions, queue_launcher},
        sweep::{self, SweepFinished, SweepOptions},
    },
    sweep::{Plan, PlannedRun},
};

/// Prints or runs a plan.
pub(crate) fn from_plan(plan: &Plan, options: &RunOptions) -> Exit {
    if options.extend {
        print::stderr(
            "--extend: is for one experiment, not for a sweep: ijepa-run FILE train.epochs=N --extend",
        );
        return Exit::Config;
    }
    if !options.quiet {
        let rounding = plan.runs.iter().find_map(|r| device::rounding_note_of(&r.experiment));
        plan.notes.iter().chain(&rounding).for_each(|note| print::stderr(&format!("note: {note}")));
    }
    if options.print_config {
        let document =
            |r: &PlannedRun| format!("---\n# {}, seed {}\n{}", r.arm, r.seed, r.experiment.to_yaml());
        return print::stdout(&plan.runs.iter().map(document).collect::<String>());
    }
    if options.dry_run {
        let overviews = sweep::judged_overviews(plan, &options.output);
        return print::stdout(&summary::dry_run(plan, &overviews.iter().collect::<Vec<_>>(), options));
    }
    match run(plan, options) {
        Ok(exit) => exit,
        Err(error) => {
            let label = if matches!(error, RunError::Config(_)) { "" } else { "error: " };
            print::stderr(&format!("{label}{error}"));
            exit::exit_of(&error)
        }
    }
}

/// Carries it out where the options or the settings say.
fn run(plan: &Plan, options: &RunOptions) -> Result<Exit, RunError> {
    let settings = options.engine.settings(options.jobs, options.threads).map_err(RunError::Config)?;
    let kind = settings.engine.unwrap_or_default();
    if kind == EngineKind::Local {
        let mut launcher = sweep::local_launcher(plan, &how(options)?)?;
        if let Some(limit) = settings.time_limit {
            signals::stop_after(time_limit::ahead_of(limit));
        }
        return Ok(report(&run_on(plan, options, &mut launcher, true)?, options));
    }
    refuse(plan, options, kind)?;
    let sweep = engine_sweep(plan, &options.output, settings)?;
    let (wait, again) = (options.engine.wait, options.engine.again);
    let queue = QueueOptions { wait, again, now: || jiff::Timestamp::now().to_string() };
    if let Some(mut launcher) = queue_launcher(kind, &sweep, queue) {
        let finished = run_on(plan, options, &mut launcher, false)?;
        return Ok(handed_on(&finished, launcher.told(), options));
    }
    let mut launcher = EmitLauncher::new(sweep);
    let finished = run_on(plan, options, &mut launcher, false)?;
    Ok(handed_on(&finished, launcher.told(), options))
}

/// What an engine cannot do.
fn refuse(plan: &Plan, options: &RunOptions, kind: EngineKind) -> Result<(), RunError> {
    let wrong = |message: String| Err(RunError::Config(message));
    if options.force {
        return wrong(format!(
            "--force: not with --engine {kind}: its tasks may start more than once, and would start over each time\n  \
             help: move the run folders away"
        ));
    }
    if plan.early.is_some() && (kind == EngineKind::Emit || !options.engine.wait) {
        let help = if kind == EngineKind::Emit { "use --engine slurm --wait" } else { "add --wait" };
        return wrong(format!(
            "early_terminate: ends arms while their runs train; somebody has to stay and judge them\n  help: {help}, or \
             leave the section out of the sweep file"
        ));
    }
    Ok(())
}

fn how(options: &RunOptions) -> Result<SweepOptions, RunError> {
    Ok(SweepOptions {
        output: options.output.clone(),
        jobs: options.jobs(),
        threads: options.threads.map(usize::from),
        gpus: None,
        force: options.force,
        until_epoch: options.until_epoch,
        // Every run is a process of this program.
        program: std::env::current_exe()?,
        only: options.engine.states(),
    })
}

/// Carries it out with a launcher; `here`, on this machine.
fn run_on(
    plan: &Plan,
    options: &RunOptions,
    launcher: &mut dyn Launcher,
    here: bool,
) -> Result<SweepFinished, RunError> {
    let mut display = SweepDisplay::new(plan, options.quiet);
    let mut tell = |event: &SweepEvent| {
        if let SweepEvent::Opened { runs, .. } = event
            && !options.quiet
            && here
        {
            let left: Vec<Option<u64>> = runs.iter().map(|run| run.steps_left).collect();
            summary::hours(plan, &left, options).iter().for_each(|line| print::stderr(line));
        }
        display.take(event);
    };
    sweep::run_plan(plan, &how(options)?, launcher, signals::stop_flag(), &mut tell)
}

/// Prints what others are to start, or have started; whoever waited for all of it gets what came out.
fn handed_on(finished: &SweepFinished, told: &[String], options: &RunOptions) -> Exit {
    let folder = finished.folder.display();
    if finished.end != SweepEnd::Stopped {
        told.iter().for_each(|line| print::stderr(line));
        return report(finished, options);
    }
    if told.is_empty() {
        return print::stdout(&format!("{folder}\nnothing to do among the runs that were asked for\n"));
    }
    let name = finished.folder.file_name().unwrap_or_default().to_string_lossy();
    let follow =
        ["watch", "status", "report"].map(|command| format!("ijepa-run {command} {name}")).join(" | ");
    print::stdout(&format!("{folder}\n{}\nfollow:       {follow}\n", told.join("\n")))
}

/// Prints what came out, and chooses the exit code.
fn report(finished: &SweepFinished, options: &RunOptions) -> Exit {
    let overviews: Vec<&RunOverview> = finished.runs.iter().map(|(_, overview)| overview).collect();
    let told =
        if options.quiet { Exit::Done } else { print::stdout(&summary::arms(&finished.folder, &overviews)) };
    let exit = exit_of(finished.end);
    print::stderr(&format!("{}: {}", summary::outcome(exit, &overviews), finished.folder.display()));
    exit.or(told)
}

fn exit_of(end: SweepEnd) -> Exit {
    match end {
        SweepEnd::Stopped => Exit::Requeue,
        SweepEnd::Failed => Exit::Failed,
        SweepEnd::InUse => Exit::Locked,
        SweepEnd::Broken => Exit::Diverged,
        SweepEnd::Done => Exit::Done,
    }
}
