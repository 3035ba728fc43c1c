//! `.csv`: a row per image, or per token; and the same without features, which stands beside a `.npy`.

use std::{io, path::Path};

use super::{FeatureHead, Format};
use crate::results::AtomicFile;

pub struct CsvRows {
    writer: csv::Writer<AtomicFile>,
    head: FeatureHead,
    /// Rows written.
    rows: usize,
}

impl CsvRows {
    pub fn create(path: &Path, head: FeatureHead) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(AtomicFile::create(path)?);
        let token = head.tokens.map(|_| "token".to_owned());
        let features = (0..head.dim).map(|i| format!("f{i}"));
        writer.write_record(columns(&head).into_iter().chain(token).chain(features))?;
        Ok(CsvRows { writer, head, rows: 0 })
    }
}

impl Format for CsvRows {
    fn take(&mut self, features: &[f32]) -> io::Result<()> {
        let tokens = self.head.tokens.unwrap_or(1);
        for feature in features.chunks_exact(self.head.dim) {
            let (image, token) = (self.rows / tokens, self.rows % tokens);
            let token = self.head.tokens.map(|_| token.to_string());
            // The shortest digits that read back as the same number.
            let values = feature.iter().map(ToString::to_string);
            self.writer.write_record(cells(&self.head, image).into_iter().chain(token).chain(values))?;
            self.rows += 1;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.writer.into_inner().map_err(|e| io::Error::other(e.to_string()))?.commit()
    }
}

/// Names of the columns that say which image it is.
fn columns(head: &FeatureHead) -> Vec<String> {
    let split = (!head.splits.is_empty()).then(|| "split".to_owned());
    let file = (!head.files.is_empty()).then(|| "file".to_owned());
    let labels = head.labels.iter().map(|labels| labels.name.clone());
    split.into_iter().chain(["image".to_owned()]).chain(file).chain(labels).collect()
}

/// Their cells for an image.
fn cells(head: &FeatureHead, image: usize) -> Vec<String> {
    let split = head.splits.get(image).map(ToString::to_string);
    let file = head.files.get(image).cloned();
    let labels = head.labels.iter().map(|labels| labels.text(image).to_owned());
    split.into_iter().chain([head.images[image].to_string()]).chain(file).chain(labels).collect()
}

/// All images without their features.
pub fn of_images(head: &FeatureHead) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns(head))?;
    for image in 0..head.images.len() {
        writer.write_record(cells(head, image))?;
    }
    writer.into_inner().map_err(|e| io::Error::other(e.to_string()))
}
