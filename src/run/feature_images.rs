//! Which images a file of features holds, in which order, and what is known of them.

use std::path::Path;

use ijepa_registry::image::{ImageSet, Labels};

use super::RunError;
use crate::{
    config::Experiment,
    data::{Item, classes, held_out},
    sinks::features::{FeatureHead, FeatureLabels},
};

/// A part of the data set of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureSplit {
    /// What it was trained on.
    Train,
    /// What was held out of the training images.
    Validation,
    /// The test images.
    Test,
}

impl FeatureSplit {
    /// All of them, in the order of a file.
    pub const ALL: [FeatureSplit; 3] = [FeatureSplit::Train, FeatureSplit::Validation, FeatureSplit::Test];

    /// What it is called in files.
    pub fn name(self) -> &'static str {
        match self {
            FeatureSplit::Train => "train",
            FeatureSplit::Validation => "validation",
            FeatureSplit::Test => "test",
        }
    }

    /// Those that were named, or all, in the order of a file.
    pub fn named(names: &[FeatureSplit]) -> Vec<FeatureSplit> {
        FeatureSplit::ALL.into_iter().filter(|split| names.is_empty() || names.contains(split)).collect()
    }
}

/// The images of some splits of a data set from which nothing is held out yet.
pub fn of_data(
    experiment: &Experiment,
    set: &ImageSet,
    named: &[FeatureSplit],
) -> Result<FeatureHead, RunError> {
    let held = held_out(set, experiment.validation);
    let trained = (0..set.count(&set.train)).filter(|i| held.binary_search(i).is_err()).collect();
    let parts = [trained, held, (0..set.count(&set.test)).collect()];
    let files = experiment.dataset.object.files()?;
    let mut head = FeatureHead::default();
    for split in FeatureSplit::named(named) {
        let images: &Vec<usize> = &parts[split as usize];
        if images.is_empty() && named.contains(&split) {
            return Err(RunError::Config(format!("split: the run has no {} images", split.name())));
        }
        let (of, at) = if split == FeatureSplit::Test { (&set.test, 1) } else { (&set.train, 0) };
        head.splits.extend(images.iter().map(|_| split.name()));
        head.images.extend(images.iter().map(|&i| i as i64));
        if let Some(files) = &files {
            head.files.extend(images.iter().map(|&i| text(&files[at][i])));
        }
        of.labels.iter().for_each(|labels| label(&mut head.labels, labels, images));
    }
    Ok(head)
}

/// The labels of some images after those that are there.
fn label(all: &mut Vec<FeatureLabels>, labels: &Labels, images: &[usize]) {
    let at = all.iter().position(|l| l.name == labels.name).unwrap_or_else(|| {
        all.push(FeatureLabels { name: labels.name.clone(), values: labels.values.clone(), labels: vec![] });
        all.len() - 1
    });
    all[at].labels.extend(images.iter().map(|&i| labels.labels.get(i).map_or(-1, |&l| i64::from(l))));
}

/// Image files of a folder, labelled by the folders in it if there are any.
pub fn of_folder(folder: &Path, items: &[Item]) -> FeatureHead {
    let values: Vec<String> = classes(items).into_iter().collect();
    let place = |item: &Item| {
        let at = item.class.as_ref().and_then(|class| values.binary_search(class).ok());
        at.map_or(-1, |at| at as i64)
    };
    let name = |item: &Item| match item.file.strip_prefix(folder) {
        Ok(file) if !file.as_os_str().is_empty() => text(file),
        _ => item.file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
    };
    let class = FeatureLabels {
        name: "class".into(),
        labels: items.iter().map(place).collect(),
        values: values.clone(),
    };
    FeatureHead {
        images: (0..items.len() as i64).collect(),
        files: items.iter().map(name).collect(),
        labels: if values.is_empty() { Vec::new() } else { vec![class] },
        ..FeatureHead::default()
    }
}

/// The same on every system.
fn text(file: &Path) -> String {
    let parts: Vec<_> = file.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}
