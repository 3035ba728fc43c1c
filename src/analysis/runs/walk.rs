//! From arguments to runs.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use super::{
    super::error::AnalysisError,
    Run, folder,
    foreign::{self, ColumnMap},
    sweep::{self, is_sweep},
};
use crate::results::EXPERIMENT;

/// Reads every run that `inputs` name: run folders, folders of run folders, sweep folders, tables
/// of sweeps, foreign CSV files.
/// Runs come in the order of the arguments, those of a folder by name.
pub fn read_all(
    inputs: &[PathBuf],
    metric: Option<&str>,
    map: &ColumnMap,
) -> Result<Vec<Run>, AnalysisError> {
    let mut seen = HashSet::new();
    let mut runs = Vec::new();
    for (input, path) in inputs.iter().enumerate() {
        if is_sweep(path) {
            runs.extend(sweep::read(path, input)?);
        } else if path.is_dir() {
            let mut folders = Vec::new();
            collect(path, &mut seen, &mut folders)?;
            let read: Result<Vec<Run>, _> = folders.par_iter().map(|f| folder::read(f, input)).collect();
            runs.extend(read?);
        } else if path.exists() {
            check_kind(path)?;
            if *map == ColumnMap::default() && sweep::is_table(path) {
                runs.extend(sweep::read_table(path, input)?);
                continue;
            }
            runs.extend(foreign::read(path, &arm_name(path, inputs), input, metric, map)?);
        } else {
            return Err(AnalysisError::at(path, None, "there is no such file or folder"));
        }
    }
    if runs.is_empty() { Err(nothing(inputs)) } else { Ok(runs) }
}

/// Adds the run folders in `path`, or `path` itself; each real folder once.
fn collect(path: &Path, seen: &mut HashSet<PathBuf>, found: &mut Vec<PathBuf>) -> Result<(), AnalysisError> {
    let at = |e| AnalysisError::at(path, None, e);
    if !seen.insert(path.canonicalize().map_err(at)?) {
        return Ok(());
    }
    if path.join(EXPERIMENT).is_file() {
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

/// The file's name without its ending, or the whole path where two files share the name.
fn arm_name(path: &Path, inputs: &[PathBuf]) -> String {
    let shared = inputs.iter().filter(|other| other.file_stem() == path.file_stem()).count() > 1;
    let stem = path.file_stem().filter(|_| !shared).map(|s| s.to_string_lossy().into_owned());
    stem.unwrap_or_else(|| path.display().to_string())
}

fn nothing(inputs: &[PathBuf]) -> AnalysisError {
    let names: Vec<String> = inputs.iter().map(|p| p.display().to_string()).collect();
    AnalysisError::new(format!("{}: no runs", names.join(", ")))
        .help(format!("a run folder holds `{EXPERIMENT}`; folders are searched for run folders"))
}
