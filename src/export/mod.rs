//! Runs in the formats of other programs: a format turns what a run left into files, and writes none of them.
//!
//! ```text
//! run folder -> Encoder (tensors in timm's names) -> timm, transformers
//! run folders -> History (series, settings, arm)  -> TensorBoard, MLflow
//! ```

mod card;
mod classifier;
mod encoder;
mod history;
mod huggingface;
mod mlflow;
mod model;
mod preprocessing;
mod request;
mod tensorboard;
mod tensors;
mod timm;

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::results::write_atomic;

pub use history::{History, histories};
pub use model::export_model;
pub use request::{ClassifierRequest, Library, ModelRequest};

/// A file of an export.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedFile {
    /// Where it lies below the folder of the export.
    pub path: PathBuf,
    /// What it holds.
    pub bytes: Vec<u8>,
}

impl ExportedFile {
    fn new(path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        ExportedFile { path: path.into(), bytes: bytes.into() }
    }
}

/// What programs read that show the numbers of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracker {
    /// Event files, with a table of hyperparameters.
    Tensorboard,
    /// A file store.
    Mlflow,
}

/// The files that show `histories`; `folder` is where they will lie.
pub fn export_histories(tracker: Tracker, histories: &[History], folder: &Path) -> Vec<ExportedFile> {
    match tracker {
        Tracker::Tensorboard => histories.iter().map(tensorboard::file).collect(),
        Tracker::Mlflow => mlflow::files(histories, folder),
    }
}

/// Writes files below `folder`; those that are there under the same names are replaced.
pub fn write(folder: &Path, files: &[ExportedFile]) -> io::Result<()> {
    for file in files {
        let path = folder.join(&file.path);
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        write_atomic(&path, &file.bytes)?;
    }
    Ok(())
}
