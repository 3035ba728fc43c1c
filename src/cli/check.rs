//! `ijepa-run check FILE...`

use std::path::PathBuf;

use clap::Args;

use super::{
    Exit,
    files::{self, Loaded},
    out,
};
use crate::bench::CostMemory;

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Experiment and sweep files.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Reports every mistake of every file, and one line for each file without any.
pub(crate) fn check(args: &CheckArgs) -> Exit {
    let (mut exit, costs) = (Exit::Done, CostMemory::default());
    for file in &args.files {
        match files::load(file, &[], false, &costs) {
            Ok(loaded) => {
                let told = out::stdout(&format!("{}: ok, {}\n", file.display(), describe(&loaded)));
                exit = exit.or(told);
            }
            Err(message) => {
                out::stderr(&message);
                exit = Exit::Config;
            }
        }
    }
    exit
}

fn describe(loaded: &Loaded) -> String {
    match loaded {
        Loaded::One(experiment) => experiment.run_folder_name(),
        Loaded::Sweep(plan) => format!("{}, runs: {}", plan.folder_name(), plan.runs.len()),
    }
}
