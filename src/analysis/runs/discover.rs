//! From arguments to runs.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use super::{
    Run,
    external_csv::{self, ColumnMap},
    folder,
    sweep::{self, is_sweep},
};
use crate::analysis::error::AnalysisError;
use crate::results::{EXPERIMENT, is_run_folder};

/// What the inputs hold.
pub struct Found {
    /// The runs, in the order of the arguments, those of a folder by name.
    pub runs: Vec<Run>,
    /// What was left out or understood in a way worth saying.
    pub notes: Vec<String>,
}

/// Reads every run that `inputs` name: run folders, folders of run folders, sweep folders, tables
/// of sweeps, foreign CSV files.
/// A run folder that cannot be read is left out and named; there must be others.
pub fn read_all(inputs: &[PathBuf], metric: Option<&str>, map: &ColumnMap) -> Result<Found, AnalysisError> {
    let (inputs, mut notes) = once_each(inputs);
    let mut seen = HashSet::new();
    let mut runs = Vec::new();
    let mut foreign = Vec::new();
    for (input, path) in &inputs {
        if is_sweep(path) {
            runs.extend(sweep::read(path, *input)?);
        } else if path.is_dir() {
            let mut folders = Vec::new();
            collect(path, &mut seen, &mut folders)?;
            let read: Vec<_> = folders.par_iter().map(|f| folder::read(f, *input)).collect();
            for (folder, run) in folders.iter().zip(read) {
                run.map_or_else(
                    |damage| notes.push(left_out(&damage.to_string(), folder)),
                    |run| runs.push(run),
                );
            }
        } else if path.exists() {
            check_kind(path)?;
            if *map == ColumnMap::default() && sweep::is_table(path) {
                runs.extend(sweep::read_table(path, *input)?);
                continue;
            }
            foreign.push((*input, path.clone()));
        } else {
            return Err(AnalysisError::at(path, None, "there is no such file or folder"));
        }
    }
    let (read, said) = external_csv::read(&foreign, metric, map)?;
    runs.extend(read);
    notes.extend(said);
    if runs.is_empty() { Err(nothing(&inputs, &notes)) } else { Ok(Found { runs, notes }) }
}

/// What is said of a run whose numbers do not count.
pub(in crate::analysis) fn left_out(damage: &str, folder: &Path) -> String {
    format!("left out: {damage} (ijepa-run verify {})", folder.display())
}

/// The inputs with their places; one that is named again is one all the same.
fn once_each(inputs: &[PathBuf]) -> (Vec<(usize, PathBuf)>, Vec<String>) {
    let (mut kept, mut notes): (Vec<(usize, PathBuf)>, Vec<String>) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for (place, path) in inputs.iter().enumerate() {
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        if path.is_dir() || seen.insert(real) {
            kept.push((place, path.clone()));
        } else {
            notes.push(format!("{} is named twice: read once", path.display()));
        }
    }
    (kept, notes)
}

/// Adds the run folders in `path`, or `path` itself; each real folder once.
fn collect(path: &Path, seen: &mut HashSet<PathBuf>, found: &mut Vec<PathBuf>) -> Result<(), AnalysisError> {
    let at = |e| AnalysisError::at(path, None, e);
    if !seen.insert(path.canonicalize().map_err(at)?) {
        return Ok(());
    }
    if is_run_folder(path) {
        // Earlier attempts inside a run folder are history, not runs.
        found.push(path.into());
        return Ok(());
    }
    let entries = fs::read_dir(path).and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect());
    let mut entries: Vec<PathBuf> = entries.map_err(at)?;
    entries.sort();
    entries.iter().filter(|e| e.is_dir()).try_for_each(|e| collect(e, seen, found))
}

fn check_kind(path: &Path) -> Result<(), AnalysisError> {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
        return Ok(());
    }
    let message = "is neither a run folder, a folder of run folders, a sweep folder, nor a .csv file";
    Err(AnalysisError::at(path, None, message))
}

fn nothing(inputs: &[(usize, PathBuf)], notes: &[String]) -> AnalysisError {
    let names: Vec<String> = inputs.iter().map(|(_, p)| p.display().to_string()).collect();
    let help = format!("a run folder holds `{EXPERIMENT}`; folders are searched for run folders");
    let help = notes.iter().fold(help, |help, note| format!("{help}\n        {note}"));
    AnalysisError::new(format!("{}: no runs", names.join(", "))).help(help)
}
