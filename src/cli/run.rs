//! `ijepa-run FILE [key=value ...]`

use std::{sync::Mutex, time::Duration};

use super::{
    Exit, RunArgs, RunOptions, exit,
    files::{self, Loaded},
    hints, print, signals, summary, sweep, time_limit,
};
use crate::{
    bench::{CostMemory, Look, Rates},
    config::Experiment,
    events::Phase,
    run::{self, device, launcher::share_of_cores},
    sinks::{Progress, Verbosity},
    sweep::Plan,
};

/// How long a heartbeat has to stand still before a run is taken over.
const STEAL_AFTER: Duration = Duration::from_secs(600);

/// Loads the file, then prints or runs what it describes.
pub(crate) fn from_file(args: &RunArgs) -> Exit {
    let Some(file) = &args.file else { return Exit::Config };
    // Before anything that takes time: a signal must find somebody.
    signals::stop_flag();
    if let Some((range, hint)) = args.overrides.iter().find_map(|o| Some((o, hints::for_range(o)?))) {
        print::stderr(&format!("override `{range}`: a range is no list of values"));
        help(&hint);
        return Exit::Config;
    }
    let threads = args.options.threads.map(usize::from);
    let threads = threads.unwrap_or_else(|| share_of_cores(args.options.jobs()));
    let rates = Rates::of(&args.options.output, threads);
    let look = match &args.options {
        options if options.print_config => Look::Away,
        options if options.dry_run => Look::From(options.output.clone()),
        options => Look::Closely(options.output.clone()),
    };
    let costs = CostMemory::with(rates, look).telling(display(verbosity(&args.options)));
    match files::load(file, &args.overrides, args.multirun, &costs) {
        Ok(Loaded::One(experiment)) => one(*experiment, &args.options, &costs),
        Ok(Loaded::Sweep(plan)) => sweep::from_plan(&plan, &args.options),
        Err(message) => {
            print::stderr(&message);
            if !args.multirun && args.overrides.iter().any(|o| lists_values(o)) {
                help("to run a grid of all listed values, add -m");
            }
            Exit::Config
        }
    }
}

fn help(line: &str) {
    print::stderr(&format!("  help: {line}"));
}

/// `masking.targets=1,2`, but not `masking.scale=[1, 2]`.
fn lists_values(text: &str) -> bool {
    let value = text.split_once('=').map_or("", |(_, value)| value.trim());
    value.contains(',') && hints::for_range(text).is_none() && !value.starts_with(['[', '{', '"', '\''])
}

fn one(experiment: Experiment, options: &RunOptions, costs: &CostMemory) -> Exit {
    if !options.quiet {
        experiment.notes.iter().for_each(|note| print::stderr(&format!("note: {note}")));
    }
    if options.jobs() > 1 && !options.quiet {
        print::stderr("note: -j has no effect on a single experiment; its threads are set with --threads");
    }
    if options.print_config {
        print::stdout(&experiment.to_yaml())
    } else if options.dry_run {
        device::rounding_note_of(&experiment).iter().for_each(|note| print::stderr(&format!("note: {note}")));
        dry_run(experiment, options, costs)
    } else {
        run(experiment, options)
    }
}

fn verbosity(options: &RunOptions) -> Verbosity {
    match (options.quiet, options.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    }
}

/// Shows how far the reading of images is.
pub(super) fn display(verbosity: Verbosity) -> impl Fn(&str, u64, u64) + Sync + 'static {
    let progress = Mutex::new(Progress::new(verbosity));
    move |what: &str, done: u64, total: u64| {
        if let Ok(mut progress) = progress.lock() {
            progress.phase(&Phase { what: what.into(), done, total });
        }
    }
}

/// Runs the experiment.
fn run(experiment: Experiment, options: &RunOptions) -> Exit {
    let verbosity = verbosity(options);
    let how = run::RunOptions {
        output: options.output.clone(),
        threads: options.threads.map(usize::from),
        verbosity,
        force: options.force,
        until_epoch: options.until_epoch,
        extend: options.extend,
        steal: options.steal.then_some(STEAL_AFTER),
    };
    if let Some(limit) = options.engine.time_limit {
        signals::stop_after(time_limit::ahead_of(limit));
    }
    if options.stop_with_stdin {
        signals::stop_when_stdin_ends();
    }
    match run::run_experiment(experiment, &how, signals::stop_flag()) {
        Ok(finished) => exit::report(&finished, verbosity),
        Err(error) => {
            print::stderr(&format!("error: {error}"));
            exit::exit_of(&error)
        }
    }
}

/// What would run, and what it costs; refuses what a run would refuse.
fn dry_run(experiment: Experiment, options: &RunOptions, costs: &CostMemory) -> Exit {
    match files::with_data(experiment, costs) {
        Ok(experiment) => print::stdout(&summary::dry_run_of_one(&Plan::of_one(experiment, costs), options)),
        Err(message) => {
            print::stderr(&message);
            Exit::Config
        }
    }
}
