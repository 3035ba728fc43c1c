//! What a model sees of its data: images before and after augmentation, labels, counts. To be looked at before
//! anything is trained.

mod figures;
mod page;

use ijepa_registry::{
    image::{Image, ImageSet, ImageShape, Labels, Split},
    kinds::LoadContext,
    mask::Grid,
};

use crate::{
    config::Experiment,
    data::{Pipeline, hold_out},
    run::{RunError, data},
    sinks::{Progress, Verbosity},
};

use super::sample::spaced;

pub use page::page as samples_page;

/// Images that the values after augmentation are measured on.
const MEASURED: usize = 512;

/// How much to show.
#[derive(Clone, Copy, Debug)]
pub struct SampleOptions {
    /// Training images.
    pub images: usize,
    /// Draws of the augmentation of each.
    pub draws: usize,
    /// How much to say while the data are read.
    pub verbosity: Verbosity,
}

/// A training image as it is stored, and as the first epochs see it.
pub struct Shown {
    /// Its number in the training set.
    pub index: usize,
    /// The name of each label: (`class`, `dog`).
    pub labels: Vec<(String, String)>,
    /// `(channel, row, column)` bytes.
    pub stored: Vec<u8>,
    /// The same of every draw, without what leaves the range of an image (normalisation).
    pub draws: Vec<Vec<u8>>,
}

/// Mean and standard deviation of a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub std: f64,
}

/// How many images have each value of a label.
pub struct Counts {
    /// Name of the label.
    pub name: String,
    /// Names of its values.
    pub values: Vec<String>,
    /// Of every split that has images, its name and its counts, one per value.
    pub splits: Vec<(&'static str, Vec<usize>)>,
}

/// Everything that is shown of a data set.
pub struct Samples {
    /// Name of the experiment.
    pub name: String,
    /// About what, and what: in the order of reading.
    pub facts: Vec<(&'static str, String)>,
    /// Of one image.
    pub shape: ImageShape,
    /// Its patches.
    pub grid: Grid,
    /// Side of a patch, pixels.
    pub patch: usize,
    /// Per channel: of the stored training images, values 0 to 1; and of what the encoder gets.
    pub channels: Vec<(Moments, Moments)>,
    /// Per label.
    pub counts: Vec<Counts>,
    /// Images, evenly spaced over the training set.
    pub images: Vec<Shown>,
}

impl Samples {
    /// Reads the data of an experiment.
    pub fn read(experiment: Experiment, options: SampleOptions) -> Result<Self, RunError> {
        let mut progress = Progress::new(options.verbosity);
        let reading = |context: &LoadContext| data::read(&experiment, context);
        let read = data::telling(&mut progress, reading)?;
        drop(progress);
        let content = read.content.all.clone();
        let experiment = experiment.with_data(read.facts).map_err(|e| RunError::Config(e.to_string()))?;
        let described = data::describe(&experiment, &read.set);
        Ok(Self::of(experiment, read.set, described, &content, options))
    }

    fn of(
        experiment: Experiment,
        set: ImageSet,
        described: String,
        content: &str,
        options: SampleOptions,
    ) -> Self {
        let (shape, grid, seed) = (set.shape, experiment.grid(), experiment.seed);
        let set = hold_out(set, experiment.validation);
        let facts = facts(&experiment, &set, described, content);
        let (name, patch) = (experiment.name.clone(), experiment.encoder.object.patch());
        let steps = experiment.augmentation.into_iter().map(|step| (step.kind, step.object)).collect();
        let pipeline = Pipeline::new(steps);
        let epochs = options.draws as u64;
        let images = spaced(set.count(&set.train), options.images).into_iter();
        Samples {
            name,
            facts,
            shape,
            grid,
            patch,
            channels: channels(&set, &pipeline, seed),
            counts: counts(&set),
            images: images.map(|index| shown(&set, &pipeline, index, seed, epochs)).collect(),
        }
    }

    /// The line that normalises the stored images: mean 0, standard deviation 1.
    pub fn normalisation(&self) -> String {
        let list = |of: fn(&Moments) -> f64| {
            let numbers: Vec<String> =
                self.channels.iter().map(|(stored, _)| format!("{:.4}", of(stored))).collect();
            numbers.join(", ")
        };
        format!("{{ kind: normalize, mean: [{}], std: [{}] }}", list(|m| m.mean), list(|m| m.std))
    }
}

fn facts(
    experiment: &Experiment,
    set: &ImageSet,
    described: String,
    content: &str,
) -> Vec<(&'static str, String)> {
    let (shape, grid, batch) = (set.shape, experiment.grid(), experiment.train.batch_size);
    let patch = experiment.encoder.object.patch();
    let augmentation: Vec<&str> = experiment.augmentation.iter().map(|step| step.kind.as_str()).collect();
    let augmentation = if augmentation.is_empty() { "none".into() } else { augmentation.join(", ") };
    let channels =
        if shape.channels == 1 { "1 channel".into() } else { format!("{} channels", shape.channels) };
    let trained = set.count(&set.train);
    vec![
        ("data set", experiment.dataset.kind.clone()),
        ("images", described),
        ("one image", format!("{} x {} pixels, {channels}", shape.height, shape.width)),
        (
            "patches",
            format!("{} x {} of {patch} x {patch} pixels: {} tokens", grid.rows, grid.cols, grid.len()),
        ),
        ("augmentation", augmentation),
        ("an epoch", format!("{} steps of {batch} of {trained} training images", trained / batch)),
        ("content", content.chars().take(16).collect()),
    ]
}

fn shown(set: &ImageSet, pipeline: &Pipeline, index: usize, seed: u64, draws: u64) -> Shown {
    let label = |labels: &Labels| {
        let value = labels.labels.get(index).map_or("no label", |&l| labels.values[l as usize].as_str());
        (labels.name.clone(), value.to_owned())
    };
    let draw = |epoch| bytes(&pipeline.picture(set, &set.train, index, seed, epoch));
    Shown {
        index,
        labels: set.train.labels.iter().map(label).collect(),
        stored: set.bytes(&set.train, index).to_vec(),
        draws: (0..draws).map(draw).collect(),
    }
}

/// Values 0 to 1 as bytes.
fn bytes(image: &Image) -> Vec<u8> {
    image.data.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8).collect()
}

/// Of every channel: of all stored training images, and of some as the first epoch sees them.
fn channels(set: &ImageSet, pipeline: &Pipeline, seed: u64) -> Vec<(Moments, Moments)> {
    let (count, plane) = (set.count(&set.train), set.shape.height * set.shape.width);
    let measured = spaced(count, MEASURED).into_iter();
    let seen: Vec<Image> = measured.map(|i| pipeline.train_image(set, &set.train, i, seed, 0)).collect();
    let of = |channel: usize| {
        let place = channel * plane..(channel + 1) * plane;
        let mut shades = [0u64; 256];
        for image in 0..count {
            set.bytes(&set.train, image)[place.clone()].iter().for_each(|&b| shades[usize::from(b)] += 1);
        }
        let stored = shades.iter().enumerate().map(|(b, &n)| (b as f64 / 255.0, n as f64));
        let seen = seen.iter().flat_map(|image| &image.data[place.clone()]).map(|&v| (f64::from(v), 1.0));
        (moments(stored), moments(seen))
    };
    (0..set.shape.channels).map(of).collect()
}

/// Of (value, how often).
fn moments(values: impl Iterator<Item = (f64, f64)>) -> Moments {
    let sum = |(n, first, second): (f64, f64, f64), (v, times): (f64, f64)| {
        (n + times, first + times * v, second + times * v * v)
    };
    let (n, first, second) = values.fold((0.0, 0.0, 0.0), sum);
    let mean = first / n;
    Moments { mean, std: (second / n - mean * mean).max(0.0).sqrt() }
}

fn counts(set: &ImageSet) -> Vec<Counts> {
    let splits = [("train", &set.train), ("validation", &set.validation), ("test", &set.test)];
    let of = |split: &Split, name: &str, values: usize| {
        let mut counts = vec![0; values];
        let labels = split.labels.iter().find(|l| l.name == name).into_iter().flat_map(|l| &l.labels);
        labels.for_each(|&label| counts[label as usize] += 1);
        counts
    };
    let factor = |labels: &Labels| Counts {
        name: labels.name.clone(),
        values: labels.values.clone(),
        splits: (splits.iter().filter(|(_, split)| set.count(split) > 0))
            .map(|(name, split)| (*name, of(split, &labels.name, labels.values.len())))
            .collect(),
    };
    set.train.labels.iter().map(factor).collect()
}

#[cfg(test)]
mod tests;
