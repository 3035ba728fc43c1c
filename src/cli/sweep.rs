//! `ijepa-run SWEEP.yaml`: prints what a sweep would do, or carries it out and says what came of it.

use super::{Exit, RunOptions, exit, print, signals, summary, sweep_progress::SweepDisplay};
use crate::{
    events::{SweepEnd, SweepEvent},
    results::RunOverview,
    run::{
        RunError, device,
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
        Ok(finished) => report(&finished, options),
        Err(error) => {
            let label = if matches!(error, RunError::Config(_)) { "" } else { "error: " };
            print::stderr(&format!("{label}{error}"));
            exit::exit_of(&error)
        }
    }
}

fn run(plan: &Plan, options: &RunOptions) -> Result<SweepFinished, RunError> {
    let how = SweepOptions {
        output: options.output.clone(),
        jobs: options.jobs.into(),
        threads: options.threads.map(usize::from),
        gpus: None,
        force: options.force,
        until_epoch: options.until_epoch,
        // Every run is a process of this program.
        program: std::env::current_exe()?,
    };
    let mut launcher = sweep::local_launcher(plan, &how)?;
    let mut display = SweepDisplay::new(plan, options.quiet);
    let mut tell = |event: &SweepEvent| {
        if let SweepEvent::Opened { runs, .. } = event
            && !options.quiet
        {
            let left: Vec<Option<u64>> = runs.iter().map(|run| run.steps_left).collect();
            summary::hours(plan, &left, options).iter().for_each(|line| print::stderr(line));
        }
        display.take(event);
    };
    sweep::run_plan(plan, &how, &mut launcher, signals::stop_flag(), &mut tell)
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
