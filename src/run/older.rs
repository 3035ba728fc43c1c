//! Run folders of version 0.1.0, whose names depended on the probes too.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{RunError, data};
use crate::{
    config::{self, Experiment},
    results::{EXPERIMENT, RunFolder},
};

/// Identity of what was trained in a run folder, by its `experiment.yaml`; none if that cannot be read.
pub fn stored_identity(folder: &Path) -> Option<String> {
    let text = crate::results::read::text(&folder.join(EXPERIMENT)).ok().flatten()?;
    let alone = |_: &str| Err("a resolved experiment extends nothing".into());
    let read = |changes: &[String]| config::load(EXPERIMENT, &text, changes, &alone);
    // Probes may have settings that this version does not know; they only matter to rules.
    let experiment = read(&[]).or_else(|_| read(&["probes=[]".into()]));
    experiment.ok().map(|experiment| experiment.identity())
}

/// The folder in `output` in which an earlier version trained the same experiment.
pub fn find(output: &Path, experiment: &Experiment) -> Option<PathBuf> {
    let start = format!("{}-s{}-", experiment.name, experiment.seed);
    let identity = experiment.identity();
    let entries = fs::read_dir(output).ok()?.flatten();
    let named = entries.filter(|e| e.file_name().to_str().is_some_and(|name| name.starts_with(&start)));
    let fits = |path: &PathBuf| {
        stored_identity(path).as_ref() == Some(&identity) && data::has_data_of(path, experiment)
    };
    let mut fitting: Vec<PathBuf> = named.map(|e| e.path()).filter(fits).collect();
    fitting.sort();
    fitting.into_iter().next()
}

/// Gives such a folder the name that it has now; says so, or nothing if there is none.
pub fn adopt(output: &Path, own: &Path, experiment: &Experiment) -> Result<Option<String>, RunError> {
    if own.exists() {
        return Ok(None);
    }
    let Some(older) = find(output, experiment) else { return Ok(None) };
    let locked = RunFolder::open(&older)?;
    fs::rename(&older, own)?;
    drop(locked);
    let (from, to) = (older.display(), own.display());
    Ok(Some(format!("{from} is now {to}: probes are no longer part of what names a run")))
}
