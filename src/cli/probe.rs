//! `ijepa-run probe RUN... [PROBE ...]`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{Exit, exit, looking_args::LookingArgs, print, probe_words::Words, signals};
use crate::{
    analysis::{SweepTable, is_sweep},
    config::{self, Experiment},
    results::{EXPERIMENT, RunState, Status, refresh_metrics},
    run::{self, RunOptions},
};

const EXAMPLES: &str = "\
Examples:
  ijepa-run probe 001765f2 knn                                    one more probe on a run
  ijepa-run probe 001765f2 '{ kind: linear, labels: [colour] }'   with what a file may say of it
  ijepa-run probe mask-count '{ kind: linear, predictions: true }'
                          all runs of a sweep; what it says of every image is left in their folders probes/
  ijepa-run probe 001765f2 '{ kind: knn, every: 10 }'             at epochs whose weights were kept
  ijepa-run compare mask-count --metric linear/target/class/top1  the rows are there like any others

Exit codes:
   0  measured, or there before
   1  it failed on a run
   2  usage or configuration error: no such run, a run that is not done, a setting that is none
  75  stopped: what was measured is kept, run again for the rest";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ProbeArgs {
    /// Runs, and probes to measure on them. A run is a folder, or the start of its name or identity; a sweep stands
    /// for all of its runs. A probe is the name of one, such as knn, or an entry of `probes` as a file holds it:
    /// '{ kind: linear, labels: [colour], controls: [pixels] }'. Without a probe: what the experiments of the runs
    /// name and lack. Rows get the name of the kind, or `name`; with `every`, earlier epochs are measured whose
    /// weights `train.keep_every` kept.
    #[arg(value_name = "RUN|SWEEP|PROBE", required = true)]
    words: Vec<String>,
    #[command(flatten)]
    looking: LookingArgs,
}

/// Measures probes on finished runs, one run after the other.
pub(crate) fn probe(args: &ProbeArgs) -> Exit {
    let read = Words::read(&args.words, &args.looking.results);
    let (words, folders) = match read.and_then(|words| words.folders().map(|folders| (words, folders))) {
        Ok((_, folders)) if folders.is_empty() => {
            return refuse("name a run too: ijepa-run probe RUN PROBE; `ijepa-run ls` lists runs");
        }
        Ok(read) => read,
        Err(message) => return refuse(&message),
    };
    // A run that was named has to be done; those of a sweep are measured as far as they are.
    let (done, others): (Vec<&PathBuf>, Vec<&PathBuf>) =
        folders.iter().partition(|folder| words.runs.contains(folder) || is_done(folder));
    for folder in &others {
        print::stderr(&format!("note: left out, since it is not done: {}", folder.display()));
    }
    if done.is_empty() {
        return refuse("no run of the sweep is done; probes are measured on runs that are");
    }
    let mut worst = Exit::Done;
    for folder in &done {
        let exit = probe_one(folder, &words.probes, args);
        worst = if exit as u8 > worst as u8 { exit } else { worst };
        if exit == Exit::Requeue {
            break;
        }
    }
    refresh(&words.sweeps, &done, &args.looking.results);
    worst
}

/// Takes what was measured into the tables of the sweeps that were named, and of others with these runs.
fn refresh(named: &[PathBuf], probed: &[&PathBuf], results: &Path) {
    let is_probed = |id: &str| probed.iter().any(|run| run.file_name().is_some_and(|name| name == id));
    let entries = std::fs::read_dir(results.join("sweeps")).into_iter().flatten().flatten();
    let mut sweeps: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_sweep(path)).collect();
    sweeps.sort();
    let others = sweeps.into_iter().filter(|path| !named.contains(path));
    for path in named.iter().cloned().chain(others) {
        let Ok(table) = SweepTable::read(&path) else { continue };
        let Some(run) = table.runs.iter().find(|run| is_probed(&run.id)) else { continue };
        let folder = table.run_folder(run);
        if let Some(Err(error)) = folder.parent().map(|runs| refresh_metrics(&path, runs)) {
            print::stderr(&format!(
                "note: {}/runs.csv does not have the new metrics: {error}",
                path.display()
            ));
        }
    }
}

fn is_done(folder: &Path) -> bool {
    Status::read(folder).is_ok_and(|status| status.is_some_and(|status| status.state == RunState::Done))
}

fn refuse(message: &str) -> Exit {
    print::stderr(message);
    Exit::Config
}

/// The name of the rows of an entry.
fn name(entry: &Value) -> String {
    entry["name"].as_str().or(entry["kind"].as_str()).unwrap_or_default().to_owned()
}

fn probe_one(folder: &Path, wanted: &[Value], args: &ProbeArgs) -> Exit {
    let experiment = match experiment(folder, wanted, args.looking.data.as_deref()) {
        Ok(experiment) => experiment,
        Err(message) => return refuse(&message),
    };
    let verbosity = args.looking.verbosity();
    let options = RunOptions {
        output: args.looking.results.clone(),
        threads: args.looking.threads(),
        verbosity,
        force: false,
        until_epoch: None,
        extend: false,
        steal: None,
    };
    let again: Vec<String> = wanted.iter().map(name).collect();
    match run::probe_run(experiment, folder, &again, &options, signals::stop_flag()) {
        Ok(finished) => exit::report(&finished, verbosity),
        Err(error) => {
            print::stderr(&format!("error: {error}"));
            exit::exit_of(&error)
        }
    }
}

/// The experiment of a run, with these probes beside its own; one of the same name takes its place.
fn experiment(folder: &Path, wanted: &[Value], data: Option<&Path>) -> Result<Experiment, String> {
    let path = folder.join(EXPERIMENT);
    let at = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = crate::results::read::text(&path).map_err(|e| e.to_string())?;
    let text = text.ok_or_else(|| at(&"there is no such file"))?;
    let stored: Value = serde_yaml::from_str(&text).map_err(|e| at(&e))?;
    let mut probes = stored["probes"].as_array().cloned().unwrap_or_default();
    for entry in wanted {
        match probes.iter_mut().find(|probe| name(probe) == name(entry)) {
            Some(probe) => *probe = entry.clone(),
            None => probes.push(entry.clone()),
        }
    }
    let mut changes: Vec<String> = data.map(run::moved).into_iter().collect();
    if !wanted.is_empty() {
        changes.push(format!("probes={}", json!(probes)));
    }
    config::load_stored(&path.to_string_lossy(), &text, &changes).map_err(|e| e.to_string())
}
