//! `ijepa-run FILE [key=value ...]`

use super::{
    Exit, RunArgs, RunOptions,
    files::{self, Loaded},
    hints, out, outcome, signals, sweep,
};
use crate::{
    bench::{CostMemory, Rates},
    config::Experiment,
    run::{self, device},
    sinks::Verbosity,
};

/// Loads the file, then prints or runs what it describes.
pub(crate) fn from_file(args: &RunArgs) -> Exit {
    let Some(file) = &args.file else { return Exit::Config };
    // Before anything that takes time: a signal must find somebody.
    signals::stop_flag();
    if let Some((range, hint)) = args.overrides.iter().find_map(|o| Some((o, hints::for_range(o)?))) {
        out::stderr(&format!("override `{range}`: a range is no list of values"));
        help(&hint);
        return Exit::Config;
    }
    let rates =
        Rates::of(&args.options.output, sweep::threads_per_run(&args.options, args.options.jobs.into()));
    match files::load(file, &args.overrides, args.multirun, &CostMemory::with(rates)) {
        Ok(Loaded::One(experiment)) => one(*experiment, &args.options),
        Ok(Loaded::Sweep(plan)) => sweep::from_plan(&plan, &args.options),
        Err(message) => {
            out::stderr(&message);
            if !args.multirun && args.overrides.iter().any(|o| lists_values(o)) {
                help("to run a grid of all listed values, add -m");
            }
            Exit::Config
        }
    }
}

fn help(line: &str) {
    out::stderr(&format!("  help: {line}"));
}

/// `masking.targets=1,2`, but not `masking.scale=[1, 2]`.
fn lists_values(text: &str) -> bool {
    let value = text.split_once('=').map_or("", |(_, value)| value.trim());
    value.contains(',') && hints::for_range(text).is_none() && !value.starts_with(['[', '{', '"', '\''])
}

fn one(experiment: Experiment, options: &RunOptions) -> Exit {
    if !options.quiet {
        experiment.notes.iter().for_each(|note| out::stderr(&format!("note: {note}")));
    }
    if options.jobs > 1 && !options.quiet {
        out::stderr("note: -j has no effect on a single experiment; its threads are set with --threads");
    }
    if options.print_config {
        out::stdout(&experiment.to_yaml())
    } else if options.dry_run {
        rounding(&experiment).iter().for_each(|note| out::stderr(&format!("note: {note}")));
        out::stdout(&plan(&experiment, options))
    } else {
        run(experiment, options)
    }
}

/// What a person should know about the precision, if the device is there.
pub(super) fn rounding(experiment: &Experiment) -> Option<String> {
    device::rounding_note(&device::choose(experiment.device).ok()?, experiment.train.matmul)
}

/// Runs the experiment.
fn run(experiment: Experiment, options: &RunOptions) -> Exit {
    let verbosity = match (options.quiet, options.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let how = run::RunOptions {
        output: options.output.clone(),
        threads: options.threads.map(usize::from),
        verbosity,
        force: options.force,
        until_epoch: options.until_epoch,
    };
    if options.stop_with_stdin {
        signals::stop_when_stdin_ends();
    }
    match run::run_experiment(experiment, &how, signals::stop_flag()) {
        Ok(finished) => outcome::report(&finished, verbosity),
        Err(error) => {
            out::stderr(&format!("error: {error}"));
            outcome::exit_of(&error)
        }
    }
}

/// What would run, in a few lines.
fn plan(experiment: &Experiment, options: &RunOptions) -> String {
    let folder = options.output.join(experiment.run_folder_name());
    let train = &experiment.train;
    let length = match experiment.dataset.object.train_count() {
        Some(images) => {
            let steps = experiment.horizon(images).steps;
            format!("{} epochs of {images} images, {steps} steps of {}", train.epochs, train.batch_size)
        }
        None => format!("{} epochs, steps of {} images", train.epochs, train.batch_size),
    };
    let probes: Vec<&str> = experiment.probes.iter().map(|p| p.name.as_str()).collect();
    let components = [
        ("dataset", &experiment.dataset.kind),
        ("encoder", &experiment.encoder.kind),
        ("predictor", &experiment.predictor.kind),
        ("masking", &experiment.masking.kind),
        ("loss", &experiment.loss.kind),
        ("optimizer", &experiment.optimizer.kind),
    ];
    let mut lines = vec![("run", folder.display().to_string()), ("length", length)];
    lines.extend(components.map(|(name, kind)| (name, kind.clone())));
    lines.push(("probes", if probes.is_empty() { "none".into() } else { probes.join(", ") }));
    lines.push(("device", experiment.device.to_string()));
    lines.iter().map(|(name, value)| format!("{name:<10} {value}\n")).collect()
}
