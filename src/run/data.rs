//! The data of an experiment: what is known of them without decoding, and which run folder is theirs.
//!
//! Results belong to images and labels, not to a path. Their fingerprint is part of the folder's name; a
//! stamp of the files says whether it has to be computed again.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use ijepa_registry::{
    image::{ImageSet, Labels},
    kinds::{DataError, LoadContext, Survey},
};
use serde_json::json;

use super::{
    RunError, configured, older,
    stamp::{self, Stamp},
};
use crate::{
    config::{DataFacts, Experiment, LabelCounts},
    data::{Fingerprint, held_out, overlap},
    events::Phase,
    results::{RunState, Status, card::RunCard},
    sinks::Progress,
};

/// Data that have been read.
pub struct Read {
    /// The images as they are loaded: nothing is held out yet.
    pub set: ImageSet,
    /// Their fingerprint.
    pub content: Fingerprint,
    /// Counts and labels, and the content of images that are read from files.
    pub facts: DataFacts,
}

/// Counts and labels from names and sizes, and the content if the files are as they were when it was last
/// computed. None for a data set that cannot tell before it is loaded.
pub fn facts(experiment: &Experiment) -> Result<Option<DataFacts>, DataError> {
    let Some(survey) = experiment.dataset.object.survey()? else { return Ok(None) };
    let remembered = stamp_of(experiment, &survey).and_then(|stamp| stamp.remembered());
    Ok(Some(told(survey, remembered.map(|print| print.all))))
}

/// The same with the content, for which images are read and decoded if need be; that of images which are
/// not read from files is in their settings.
pub fn known(experiment: &Experiment, context: &LoadContext) -> Result<Option<DataFacts>, DataError> {
    let facts = facts(experiment)?;
    let told = facts.as_ref().is_some_and(|facts| facts.content.is_some());
    if told || !experiment.dataset.object.reads_files() {
        return Ok(facts);
    }
    Ok(Some(read(experiment, context)?.facts))
}

/// Reads everything. The fingerprint of files is remembered.
pub fn read(experiment: &Experiment, context: &LoadContext) -> Result<Read, DataError> {
    let dataset = &experiment.dataset.object;
    let before = dataset.survey()?.and_then(|survey| stamp_of(experiment, &survey));
    let set = dataset.load(context)?;
    let content = Fingerprint::of(&set);
    // Files that were not there before may be there now.
    let survey = dataset.survey()?.unwrap_or_else(|| Survey::of(&set));
    if let Some(stamp) = before {
        stamp.remember(&content, stamp_of(experiment, &survey).as_ref());
    }
    let facts = told(survey, dataset.reads_files().then(|| content.all.clone()));
    Ok(Read { set, content, facts })
}

/// The list of files is long, and has done its work.
fn told(survey: Survey, content: Option<String>) -> DataFacts {
    DataFacts { survey: Survey { files: Vec::new(), ..survey }, content }
}

/// The folder of a run in `output`. Version 0.1.0 named folders without the content, and by the probes too:
/// such a folder is taken if its files say that it is of the same training and data.
pub fn folder(output: &Path, experiment: &Experiment) -> PathBuf {
    let own = output.join(experiment.run_folder_name());
    if own.exists() {
        return own;
    }
    let without_content = Some(output.join(experiment.stem())).filter(|folder| folder.exists());
    let mut earlier = without_content.into_iter().chain(older::folders(output, experiment));
    earlier.find(|folder| has_data_of(folder, experiment)).unwrap_or(own)
}

/// Whether it is known which data are meant: without files the settings say so.
pub fn is_known(experiment: &Experiment) -> bool {
    let content = experiment.data.as_ref().and_then(|facts| facts.content.as_ref());
    content.is_some() || !experiment.dataset.object.reads_files()
}

/// Whether the run in `folder` was made with the data of an experiment.
pub fn has_data_of(folder: &Path, experiment: &Experiment) -> bool {
    let content = experiment.data.as_ref().and_then(|facts| facts.content.as_deref());
    match content.filter(|_| experiment.dataset.object.reads_files()) {
        Some(content) => is_of(folder, content),
        None => is_known(experiment),
    }
}

/// Whether the run in `folder` was made with this content, by its status, else by its card.
fn is_of(folder: &Path, content: &str) -> bool {
    let told = Status::read(folder).ok().flatten().map(|status| status.data).filter(|data| !data.is_empty());
    let told = told
        .or_else(|| RunCard::read_all(folder).ok().and_then(|mut cards| cards.pop()).map(|card| card.data));
    told.is_some_and(|data| data == content)
}

/// Runs of the same experiment in `output`, whatever their data.
pub fn runs_on_any_data(output: &Path, experiment: &Experiment) -> Vec<PathBuf> {
    let stem = experiment.stem();
    let entries = std::fs::read_dir(output).into_iter().flatten().flatten();
    let is_one =
        |name: &str| name.strip_prefix(&stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let mut found: Vec<PathBuf> =
        entries.filter(|e| e.file_name().to_str().is_some_and(is_one)).map(|e| e.path()).collect();
    found.sort();
    found
}

fn stamp_of(experiment: &Experiment, survey: &Survey) -> Option<Stamp> {
    if survey.files.is_empty() {
        return None;
    }
    let settings = json!([experiment.dataset.kind, experiment.dataset.settings]);
    stamp::of(&settings.to_string(), &survey.files)
}

/// Runs `read` with a context that shows its progress.
pub fn telling<T>(
    progress: &mut Progress,
    read: impl FnOnce(&LoadContext) -> Result<T, DataError>,
) -> Result<T, DataError> {
    let progress = Mutex::new(progress);
    let tell = |what: &str, done: u64, total: u64| {
        if let Ok(mut progress) = progress.lock() {
            progress.phase(&Phase { what: what.into(), done, total });
        }
    };
    read(&LoadContext { progress: &tell })
}

/// Data that cannot be had do not make a finished run vanish, but it cannot be said to be of these data.
pub fn absent(error: DataError, experiment: &Experiment, output: &Path) -> DataError {
    let finished = runs_on_any_data(output, experiment).into_iter();
    let finished = finished
        .filter(|folder| Status::read(folder).is_ok_and(|s| s.is_some_and(|s| s.state == RunState::Done)));
    let lines: Vec<String> = finished
        .map(|folder| {
            format!("\n  finished before, on data that were there: ijepa-run show {}", folder.display())
        })
        .collect();
    DataError(error.0 + &lines.concat())
}

/// One line about the images: how many, what is left out, what is in both splits.
pub fn describe(experiment: &Experiment, set: &ImageSet) -> String {
    let held = match experiment.validation {
        0 => String::new(),
        n => format!("; {n} held out for validation"),
    };
    let both = match overlap(set) {
        0 => String::new(),
        n => format!("; warning: images in both the training and the test set: {n}"),
    };
    let survey = experiment.survey().unwrap_or_else(|| Survey::of(set));
    format!("{}{held}{both}", survey.sentence())
}

/// What can only be checked with the data at hand.
pub fn check_data(experiment: &Experiment, data: &ImageSet) -> Result<(), RunError> {
    configured(experiment.check_data(&Survey::of(data)))?;
    // Images that are held out are none that a probe is fitted to.
    let held = held_out(data, experiment.validation);
    let counts = |labels: &Labels| {
        let mut train = vec![0; labels.values.len()];
        let left = labels.labels.iter().enumerate().filter(|(i, _)| held.binary_search(i).is_err());
        left.for_each(|(_, &label)| train[label as usize] += 1);
        LabelCounts { name: labels.name.clone(), train }
    };
    let counts: Vec<LabelCounts> = data.train.labels.iter().map(counts).collect();
    let measured = data.count(&data.test).max(experiment.validation);
    let train = data.labelled(&data.train) - experiment.validation;
    configured(experiment.check_probes(train, measured, &counts))
}
