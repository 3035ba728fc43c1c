//! Features as a file for others: NumPy (`.npy`, `.npz`), safetensors or CSV. What is known of the images is
//! written first, then features as they come, so that no more than a batch of them is in memory.

mod csv_rows;
mod npy;
mod npz;
mod safe;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::Value;

/// Formats by the endings of their files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureFormat {
    /// One NumPy array, and a CSV beside it that says which images they are.
    Npy,
    /// A ZIP of NumPy arrays.
    Npz,
    /// Named tensors with JSON.
    Safetensors,
    /// A row per image, or per token.
    Csv,
}

impl FeatureFormat {
    /// Endings and what they stand for.
    pub const ENDINGS: [(&str, FeatureFormat); 4] = [
        ("npy", FeatureFormat::Npy),
        ("npz", FeatureFormat::Npz),
        ("safetensors", FeatureFormat::Safetensors),
        ("csv", FeatureFormat::Csv),
    ];

    /// The format that the ending of a file asks for.
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_string_lossy().to_lowercase();
        FeatureFormat::ENDINGS.iter().find(|(e, _)| *e == ending).map(|(_, format)| *format)
    }
}

/// One way to label the images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureLabels {
    /// `class`, or the name of the factor.
    pub name: String,
    /// Names of its values.
    pub values: Vec<String>,
    /// One per image: a place in `values`, or -1 for an image without.
    pub labels: Vec<i64>,
}

impl FeatureLabels {
    /// The name of the label of an image; empty without one.
    fn text(&self, image: usize) -> &str {
        usize::try_from(self.labels[image]).ok().and_then(|at| self.values.get(at)).map_or("", |name| name)
    }
}

/// What a file says beside its features, image by image in the order of the features.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureHead {
    /// Split of every image; empty for images that belong to no data set.
    pub splits: Vec<&'static str>,
    /// Number of every image: its place among the training or the test images of the data set.
    pub images: Vec<i64>,
    /// File of every image; empty where an image is no file of its own.
    pub files: Vec<String>,
    /// How they are labelled.
    pub labels: Vec<FeatureLabels>,
    /// Tokens of an image; none where they are averaged.
    pub tokens: Option<usize>,
    /// Width of a feature.
    pub dim: usize,
    /// The run, the weights and what was asked of them.
    pub about: Value,
}

impl FeatureHead {
    /// `(image, dim)` or `(image, token, dim)`.
    pub fn shape(&self) -> Vec<usize> {
        [self.images.len()].into_iter().chain(self.tokens).chain([self.dim]).collect()
    }

    /// Values of all features.
    fn len(&self) -> usize {
        self.shape().iter().product()
    }
}

/// A file of features under way; it appears when it is finished.
pub struct FeatureFile {
    format: Box<dyn Format>,
    /// Values that are still to come.
    missing: usize,
}

/// What a format does with features.
trait Format {
    /// Some more of them.
    fn take(&mut self, features: &[f32]) -> io::Result<()>;
    /// There are no more.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

impl FeatureFile {
    /// Begins a file.
    pub fn create(path: &Path, format: FeatureFormat, head: FeatureHead) -> io::Result<Self> {
        let missing = head.len();
        let format: Box<dyn Format> = match format {
            FeatureFormat::Npy => Box::new(npy::Npy::create(path, &head)?),
            FeatureFormat::Npz => Box::new(npz::Npz::create(path, &head)?),
            FeatureFormat::Safetensors => Box::new(safe::Safe::create(path, &head)?),
            FeatureFormat::Csv => Box::new(csv_rows::CsvRows::create(path, head)?),
        };
        Ok(FeatureFile { format, missing })
    }

    /// Features of some more images.
    pub fn take(&mut self, features: &[f32]) -> io::Result<()> {
        let left = self.missing.checked_sub(features.len());
        self.missing = left.ok_or_else(|| io::Error::other("there are more features than images"))?;
        self.format.take(features)
    }

    /// Gives the file its name.
    pub fn finish(self) -> io::Result<()> {
        if self.missing > 0 {
            return Err(io::Error::other(format!("{} values of the features are missing", self.missing)));
        }
        self.format.finish()
    }
}

/// The CSV beside a `.npy` that says which images its rows are: `f.npy`, `f.images.csv`.
pub fn images_beside(path: &Path) -> PathBuf {
    path.with_extension("images.csv")
}

/// Values as they lie in a file.
fn write_f32(file: &mut dyn Write, values: &[f32]) -> io::Result<()> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    file.write_all(&bytes)
}
