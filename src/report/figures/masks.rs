//! What the arms of a sweep hide and show: their own masking components, asked for the masks that
//! training drew.

use std::path::{Path, PathBuf};

use ijepa_registry::{
    image::{ImageSet, ImageShape},
    kinds::LoadContext,
    mask::{BatchDraw, Grid, MaskPlan},
};
use serde_json::{Value, json};

use super::mask_facts::MaskFacts;
use crate::{
    analysis::{Arm, SweepTable},
    config::{self, Experiment},
    data::{batch_indices, epoch_order, hold_out, train_image_by},
    results::{EXPERIMENT, read},
};

/// Images whose masks are counted, from the start of the first epoch.
const SAMPLED: usize = 1024;

/// Images shown with their masks.
const SHOWN: usize = 4;

/// The first images of a data set that does not say how many it has.
const UNKNOWN_COUNT: usize = 4096;

/// Different maskings that are shown.
const MOST: usize = 12;

/// One masking strategy on one grid, and the arms that share it.
pub(crate) struct MaskStudy {
    /// Arms with exactly these masks.
    pub arms: Vec<String>,
    /// Kind of the masking component.
    pub kind: String,
    /// Its grid.
    pub grid: Grid,
    /// Pixels of an image.
    pub shape: ImageShape,
    /// Share of images in which each patch is in a context, 0 to 1.
    pub context: Vec<f64>,
    /// Share of images in which each patch is in a target.
    pub target: Vec<f64>,
    /// Images counted.
    pub images: usize,
    /// Sizes, shapes and overlaps of their masks.
    pub facts: MaskFacts,
    /// Their masks.
    pub plans: Vec<MaskPlan>,
    /// The first images: number in the training set, masks, pixels if they could be read.
    pub examples: Vec<(usize, MaskPlan, Option<Vec<u8>>)>,
}

/// All mask studies, and why some are missing.
#[derive(Default)]
pub(crate) struct Masks {
    pub studies: Vec<MaskStudy>,
    pub notes: Vec<String>,
}

/// The masks of every arm, as its first run draws them in its first epoch. With `images`, data sets
/// are read to show them.
pub(crate) fn masks(table: &SweepTable, arms: &[Arm], labels: &[String], images: bool) -> Masks {
    let of_arm = |(arm, label): (&Arm, &String)| {
        let run = table.runs.iter().find(|run| run.arm == arm.name)?;
        let in_sweep = table.config(run);
        let file = if in_sweep.is_file() { in_sweep } else { table.run_folder(run).join(EXPERIMENT) };
        Some((label.clone(), file))
    };
    of_files(arms.iter().zip(labels).filter_map(of_arm), images)
}

/// The masks of experiments, each under its label.
pub(crate) fn of_files(files: impl Iterator<Item = (String, PathBuf)>, images: bool) -> Masks {
    let mut masks = Masks::default();
    let mut keys: Vec<Value> = Vec::new();
    let mut data = Data { images, read: Vec::new() };
    for (label, file) in files {
        let experiment = match experiment(&file) {
            Ok(experiment) => experiment,
            Err(why) => {
                masks.note(format!("{label}: masks are not shown: {why}"));
                continue;
            }
        };
        let key = key(&experiment);
        if let Some(place) = keys.iter().position(|k| *k == key) {
            masks.studies[place].arms.push(label.clone());
        } else if keys.len() == MOST {
            masks.note(format!("only the first {MOST} different maskings are shown"));
        } else {
            masks.add(&experiment, &label, &mut data);
            keys.push(key);
        }
    }
    masks
}

/// The masks of an experiment. With `images`, its data set is read to show them.
pub(crate) fn masks_in(experiment: &Experiment, images: bool) -> Masks {
    let mut masks = Masks::default();
    masks.add(experiment, &experiment.name, &mut Data { images, read: Vec::new() });
    masks
}

/// The masks of single runs with their labels; equal ones are shown once.
pub(crate) fn masks_of(runs: &[(&Experiment, &ImageSet, &str)]) -> Masks {
    let mut masks = Masks::default();
    let mut keys: Vec<Value> = Vec::new();
    for (experiment, set, label) in runs {
        let key = key(experiment);
        match keys.iter().position(|k| *k == key) {
            Some(place) => masks.studies[place].arms.push((*label).to_owned()),
            None => {
                masks.studies.push(study(experiment, Some(set), label));
                keys.push(key);
            }
        }
    }
    masks
}

impl Masks {
    fn add(&mut self, experiment: &Experiment, label: &str, data: &mut Data) {
        let (set, why) = data.of(experiment);
        if set.is_none() && experiment.masking.object.sees_images() {
            let kind = &experiment.masking.kind;
            self.note(format!(
                "{label}: masks of `{kind}` depend on the images; without them they are drawn on noise"
            ));
        }
        self.studies.push(study(experiment, set, label));
        why.into_iter().for_each(|why| self.note(why));
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// The experiment in a file. Nothing is ever downloaded for a report.
fn experiment(file: &Path) -> Result<Experiment, String> {
    let name = file.display().to_string();
    let missing = || format!("{name}: there is no such file");
    let text = read::text(file).map_err(|e| e.to_string())?.ok_or_else(missing)?;
    let downloads = serde_yaml::from_str::<Value>(&text).is_ok_and(|v| v["dataset"]["download"] == true);
    let overrides: Vec<String> = downloads.then(|| "dataset.download=false".into()).into_iter().collect();
    config::load_stored(&name, &text, &overrides).map_err(|e| first_line(&e.to_string()))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().into()
}

/// Equal keys draw equal masks.
fn key(experiment: &Experiment) -> Value {
    let masking = json!([experiment.masking.kind, experiment.masking.settings, experiment.views]);
    let data = json!([experiment.dataset.kind, experiment.dataset.settings]);
    json!([experiment.seed, masking, data, experiment.encoder.object.patch(), experiment.train.batch_size])
}

/// Data sets read so far: their settings, the set or why there is none.
struct Data {
    images: bool,
    read: Vec<(Value, Result<ImageSet, String>)>,
}

impl Data {
    /// The images of an experiment, or why they cannot be shown.
    fn of(&mut self, experiment: &Experiment) -> (Option<&ImageSet>, Option<String>) {
        if !self.images {
            return (None, None);
        }
        let key = json!([experiment.dataset.kind, experiment.dataset.settings, experiment.validation]);
        let place = self.read.iter().position(|(k, _)| *k == key).unwrap_or_else(|| {
            let set = experiment.dataset.object.load(&LoadContext::silent()).map_err(|e| e.to_string());
            self.read.push((key, set.map(|set| hold_out(set, experiment.validation))));
            self.read.len() - 1
        });
        match &self.read[place].1 {
            Ok(set) => (Some(set), None),
            Err(why) => (None, Some(format!("images are not shown: {}", first_line(why)))),
        }
    }
}

fn study(experiment: &Experiment, set: Option<&ImageSet>, label: &str) -> MaskStudy {
    let shape = experiment.dataset.object.shape();
    let grid = experiment.grid();
    let known = set.map(|s| s.count(&s.train)).or(experiment.train_images());
    let (drawn, redraws) = drawn(experiment, grid, known.unwrap_or(UNKNOWN_COUNT), set);
    let (context, target) = (|p: &MaskPlan| listed(p.contexts()), |p: &MaskPlan| listed(p.targets()));
    let pixels = |i: usize| set.map(|s| s.bytes(&s.train, i).to_vec());
    MaskStudy {
        arms: vec![label.into()],
        kind: experiment.masking.kind.clone(),
        grid,
        shape,
        context: shares(grid, drawn.iter().map(|(_, plan)| context(plan))),
        target: shares(grid, drawn.iter().map(|(_, plan)| target(plan))),
        images: drawn.len(),
        facts: MaskFacts::of(grid, drawn.iter().map(|(_, plan)| plan), redraws),
        plans: drawn.iter().map(|(_, plan)| plan.clone()).collect(),
        examples: drawn.into_iter().take(SHOWN).map(|(i, plan)| (i, plan, pixels(i))).collect(),
    }
}

/// Images with their masks, as the first batches of the first epoch see them, and how many draws were thrown away.
/// Masks that depend on what images show are drawn on noise where the data set is not at hand.
fn drawn(
    experiment: &Experiment,
    grid: Grid,
    count: usize,
    set: Option<&ImageSet>,
) -> (Vec<(usize, MaskPlan)>, u64) {
    let seen = set.filter(|_| experiment.masking.object.sees_images());
    let steps = || experiment.augmentation.iter().map(|step| (step.kind.as_str(), step.object.as_ref()));
    let image =
        |set: &ImageSet, i: usize| train_image_by(steps(), set.image(&set.train, i), i, experiment.seed, 0);
    let order = epoch_order(experiment.seed, 0, count);
    let size = experiment.train.batch_size;
    let (mut drawn, mut redraws) = (Vec::new(), 0);
    for step in 0.. {
        let batch = batch_indices(&order, size, step);
        if batch.is_empty() || drawn.len() >= SAMPLED {
            break;
        }
        let draw = BatchDraw {
            seed: experiment.seed,
            step: step as u64,
            images: batch.iter().map(|&i| u64::from(i)).collect(),
            pixels: seen.iter().flat_map(|set| batch.iter().map(|&i| image(set, i as usize))).collect(),
            ..BatchDraw::default()
        };
        let masks = experiment.masking.object.views(grid, draw, &experiment.views);
        redraws += masks.redraws;
        drawn.extend(batch.iter().map(|&i| i as usize).zip(masks.plans));
    }
    (drawn, redraws)
}

/// The patches of all lists of an image.
fn listed<'a>(lists: impl Iterator<Item = &'a Vec<u32>>) -> Vec<u32> {
    lists.flatten().copied().collect()
}

/// How often each patch is in any list of an image.
fn shares(grid: Grid, images: impl Iterator<Item = Vec<u32>>) -> Vec<f64> {
    let mut counts = vec![0u32; grid.len()];
    let mut images_seen = 0u32;
    for mut seen in images {
        seen.sort_unstable();
        seen.dedup();
        seen.into_iter().for_each(|patch| counts[patch as usize] += 1);
        images_seen += 1;
    }
    counts.into_iter().map(|c| f64::from(c) / f64::from(images_seen.max(1))).collect()
}

impl Masks {
    /// The arms of a study in a few words: what they, and no others, have in common, else the first one's name.
    pub fn label(&self, study: &MaskStudy) -> String {
        let count = study.arms.len();
        match study.arms.as_slice() {
            _ if count > 1 && self.studies.len() == 1 => format!("all {count} arms"),
            [first, rest @ ..] if !rest.is_empty() => match self.common(study) {
                words if !words.is_empty() => format!("{words} ({count} arms)"),
                _ if rest.len() > 1 => format!("{first} and {} more arms", rest.len()),
                _ => study.arms.join(", "),
            },
            one => one.join(", "),
        }
    }

    /// Settings that all arms of a study have, and not all others.
    fn common(&self, study: &MaskStudy) -> String {
        let has = |arm: &str, word: &str| arm.split(", ").any(|w| w == word);
        let everywhere = |word: &str| self.studies.iter().flat_map(|s| &s.arms).all(|arm| has(arm, word));
        let words = study.arms[0].split(", ").filter(|word| word.contains('='));
        let shared = words.filter(|word| study.arms.iter().all(|arm| has(arm, word)) && !everywhere(word));
        shared.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_counts_once_per_image() {
        let grid = Grid { rows: 1, cols: 3 };
        let images = [vec![0, 1, 1], vec![1]];
        assert_eq!(shares(grid, images.into_iter()), [0.5, 1.0, 0.0]);
        assert_eq!(shares(grid, [].into_iter()), [0.0; 3]);
    }
}
