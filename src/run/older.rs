//! Run folders of version 0.1.0, whose names depended on the probes too. They stay where they are.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use crate::{
    config::{self, Experiment},
    results::{EXPERIMENT, card::RunCard, read},
};

/// Run folders, and the identity of what was trained in each.
type Trained = Arc<Vec<(PathBuf, String)>>;

/// What was found before, by output folder and start of the name: while a program runs, no folders of an
/// older version come into being, and a sweep asks once per run.
static FOUND: Mutex<Option<HashMap<(PathBuf, String), Trained>>> = Mutex::new(None);

/// Identity of what was trained in a run folder, by its `experiment.yaml`; none if that cannot be read.
pub fn stored_identity(folder: &Path) -> Option<String> {
    let text = read::text(&folder.join(EXPERIMENT)).ok().flatten()?;
    let load = |changes: &[String]| config::load_stored(EXPERIMENT, &text, changes);
    // Probes may have settings that this version does not know; they only matter to rules.
    let experiment = load(&[]).or_else(|_| load(&["probes=[]".into()]));
    experiment.ok().map(|experiment| experiment.identity())
}

/// Whether version 0.1.0 began the run in `folder`, and trained what has this identity.
pub fn is_of(folder: &Path, identity: &str) -> bool {
    is_older(folder) && stored_identity(folder).as_deref() == Some(identity)
}

/// Folders in `output` in which version 0.1.0 began to train the same experiment, on whatever data.
pub fn folders(output: &Path, experiment: &Experiment) -> Vec<PathBuf> {
    let start = format!("{}-s{}-", experiment.name, experiment.seed);
    let identity = experiment.identity();
    let mut found = FOUND.lock().unwrap_or_else(|e| e.into_inner());
    let known = found.get_or_insert_default().entry((output.into(), start.clone()));
    let trained = known.or_insert_with(|| Arc::new(search(output, &start)));
    trained.iter().filter(|(_, of)| *of == identity).map(|(folder, _)| folder.clone()).collect()
}

fn search(output: &Path, start: &str) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(output).into_iter().flatten().flatten();
    let named = entries.filter(|e| e.file_name().to_str().is_some_and(|name| name.starts_with(start)));
    let mut found: Vec<PathBuf> = named.map(|e| e.path()).filter(|folder| is_older(folder)).collect();
    found.sort();
    found.into_iter().filter_map(|folder| stored_identity(&folder).map(|id| (folder, id))).collect()
}

/// Version 0.1.0 knew no fingerprint of the test images alone.
fn is_older(folder: &Path) -> bool {
    let cards = RunCard::read_all(folder).unwrap_or_default();
    cards.first().is_some_and(|card| card.data_test.is_empty())
}
