//! `ijepa-run FILE [key=value ...]`

use std::process::ExitCode;

use super::{Exit, RunArgs, RunOptions, files, out};
use crate::config::Experiment;

/// Loads the experiment, then prints or runs it.
pub(crate) fn from_file(args: &RunArgs) -> ExitCode {
    let Some(file) = &args.file else { return Exit::Config.into() };
    let experiment = match files::load(file, &args.overrides) {
        Ok(experiment) => experiment,
        Err(message) => {
            out::stderr(&message);
            return Exit::Config.into();
        }
    };
    let options = &args.options;
    if !options.quiet {
        experiment.notes.iter().for_each(|note| out::stderr(&format!("note: {note}")));
    }
    if options.print_config {
        out::stdout(&experiment.to_yaml()).into()
    } else if options.dry_run {
        out::stdout(&plan(&experiment, options)).into()
    } else {
        run(experiment, options)
    }
}

/// Runs the experiment.
pub fn run(_experiment: Experiment, _options: &RunOptions) -> ExitCode {
    out::stderr("training is not built yet");
    Exit::Failed.into()
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
