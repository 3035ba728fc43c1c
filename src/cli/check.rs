//! `ijepa-run check FILE... [key=value ...]`

use std::path::Path;

use clap::Args;

use super::{
    Exit,
    files::{self, Loaded},
    print,
};
use crate::bench::CostMemory;

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Experiment and sweep files, then settings to change in all of them, such as encoder.depth=4.
    #[arg(value_name = "FILE|KEY=VALUE", required = true)]
    words: Vec<String>,
}

/// Reports every mistake of every file, and one line for each file without any.
pub(crate) fn check(args: &CheckArgs) -> Exit {
    let is_setting = |word: &&String| word.contains('=') && !Path::new(word).exists();
    let overrides: Vec<String> = args.words.iter().filter(is_setting).cloned().collect();
    let files: Vec<&String> = args.words.iter().filter(|w| !is_setting(w)).collect();
    if files.is_empty() {
        print::stderr("no file is named\n  help: ijepa-run check FILE.yaml key=value");
        return Exit::Config;
    }
    let (mut exit, costs) = (Exit::Done, CostMemory::default());
    for file in files {
        match files::load(file.as_ref(), &overrides, false, &costs) {
            Ok(loaded) => {
                notes(&loaded).iter().for_each(|note| print::stderr(&format!("note: {note}")));
                let told = print::stdout(&format!("{file}: ok, {}\n", describe(&loaded)));
                exit = exit.or(told);
            }
            Err(message) => {
                print::stderr(&message);
                exit = Exit::Config;
            }
        }
    }
    exit
}

fn notes(loaded: &Loaded) -> &[String] {
    match loaded {
        Loaded::One(experiment) => &experiment.notes,
        Loaded::Sweep(plan) => &plan.notes,
    }
}

fn describe(loaded: &Loaded) -> String {
    match loaded {
        Loaded::One(experiment) => experiment.run_folder_name(),
        Loaded::Sweep(plan) => format!("{}, runs: {}", plan.folder_name(), plan.runs.len()),
    }
}
