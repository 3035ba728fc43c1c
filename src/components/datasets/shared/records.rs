//! Files of records of equal length: some label bytes, then the pixels of an image.

use std::path::Path;

use ijepa_registry::{
    image::{ImageShape, Split},
    kinds::{DataError, Factor, LoadContext},
};

use super::bytes::{content, labels, length, named, whole};

/// One label byte of a record.
pub(crate) struct LabelByte {
    /// Name of the labels.
    pub name: &'static str,
    /// What they are called in errors.
    pub what: &'static str,
    /// Their values: byte 0 is the first.
    pub values: &'static [&'static str],
    /// Where it stands in the record.
    pub at: usize,
}

/// What a record is made of: as many label bytes as there are labels, then `(channel, row, column)` bytes.
pub(crate) struct Records {
    pub shape: ImageShape,
    /// The class first.
    pub labels: &'static [LabelByte],
    /// What to do about a file of other lengths, and about one with other labels.
    pub remedies: [&'static str; 2],
}

impl Records {
    fn record(&self) -> usize {
        self.labels.len() + self.shape.len()
    }

    /// Records of a file, from its size.
    pub fn count(&self, path: &Path) -> Result<usize, DataError> {
        whole(path, length(path)?, self.record(), self.remedies[0])
    }

    /// How the images are labelled.
    pub fn factors(&self) -> Vec<Factor> {
        let factor = |l: &LabelByte| Factor { name: l.name.into(), values: l.values.len(), train: None };
        self.labels.iter().map(factor).collect()
    }

    /// The images of some files, one after the other.
    pub fn split(&self, folder: &Path, names: &[&str], context: &LoadContext) -> Result<Split, DataError> {
        let mut pixels = Vec::new();
        let mut found: Vec<Vec<u32>> = vec![Vec::new(); self.labels.len()];
        for (i, name) in names.iter().enumerate() {
            (context.progress)(&format!("reading {name}"), i as u64, names.len() as u64);
            let path = folder.join(name);
            let bytes = content(&path, u64::MAX)?;
            whole(&path, bytes.len(), self.record(), self.remedies[0])?;
            let records = || bytes.chunks_exact(self.record());
            for (label, all) in self.labels.iter().zip(&mut found) {
                let of = records().map(|record| record[label.at]);
                all.extend(labels(&path, label.what, of, (0, label.values.len()), self.remedies[1])?);
            }
            pixels.reserve(bytes.len());
            records().for_each(|record| pixels.extend_from_slice(&record[self.labels.len()..]));
        }
        let labels = self.labels.iter().zip(found).map(|(l, all)| named(l.name, l.values, all));
        Ok(Split::new(pixels, labels.collect()))
    }
}
