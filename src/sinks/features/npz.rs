//! `.npz`: a ZIP of `.npy` files, as `numpy.savez` writes it, uncompressed. Times are left out, so that equal
//! features are equal bytes.

use std::{
    io::{self, Write},
    path::Path,
};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{FeatureHead, Format, npy, write_f32};
use crate::results::AtomicFile;

pub struct Npz(ZipWriter<AtomicFile>);

impl Npz {
    pub fn create(path: &Path, head: &FeatureHead) -> io::Result<Self> {
        let mut zip = ZipWriter::new(AtomicFile::create(path)?);
        let mut add = |name: &str, array: Vec<u8>| -> io::Result<()> {
            begin(&mut zip, name)?;
            zip.write_all(&array)
        };
        add("image", npy::numbers(&head.images))?;
        if !head.splits.is_empty() {
            add("split", npy::texts(&[head.splits.len()], &head.splits))?;
        }
        if !head.files.is_empty() {
            add("file", npy::texts(&[head.files.len()], &head.files))?;
        }
        for labels in &head.labels {
            add(&format!("labels_{}", labels.name), npy::numbers(&labels.labels))?;
            add(&format!("names_{}", labels.name), npy::texts(&[labels.values.len()], &labels.values))?;
        }
        add("about", npy::texts(&[], &[head.about.to_string()]))?;
        add("features", npy::header("<f4", &head.shape()))?;
        Ok(Npz(zip))
    }
}

/// A new array; large ones need the 64-bit form of a ZIP, which costs the others a few bytes.
fn begin(zip: &mut ZipWriter<AtomicFile>, name: &str) -> io::Result<()> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    zip.start_file(format!("{name}.npy"), options).map_err(io::Error::other)
}

impl Format for Npz {
    fn take(&mut self, features: &[f32]) -> io::Result<()> {
        write_f32(&mut self.0, features)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.finish().map_err(io::Error::other)?.commit()
    }
}
