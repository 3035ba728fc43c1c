//! `ijepa-run check FILE...`

use std::path::PathBuf;

use clap::Args;

use super::{Exit, files, out};

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Experiment files.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Reports every mistake of every file, and one line for each file without any.
pub(crate) fn check(args: &CheckArgs) -> Exit {
    let mut exit = Exit::Done;
    for file in &args.files {
        match files::load(file, &[]) {
            Ok(experiment) => {
                let line = format!("{}: ok, {}\n", file.display(), experiment.run_folder_name());
                out::stdout(&line);
            }
            Err(message) => {
                out::stderr(&message);
                exit = Exit::Config;
            }
        }
    }
    exit
}
