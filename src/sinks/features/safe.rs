//! `.safetensors`: `features`, `image`, `split` and one tensor of labels per factor; texts are JSON in the
//! metadata. The header is that of the crate, and the features follow it as they come.

use std::{
    collections::HashMap,
    io::{self, Write},
    path::Path,
};

use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};
use serde_json::{Map, json};

use super::{FeatureHead, Format, write_f32};
use crate::results::AtomicFile;

/// Key of the one entry of the metadata: more than one would come in an order that is not the same every time.
const ABOUT: &str = "ijepa_run";

/// Bytes of a header that readers of the format take, at most.
const LONGEST: usize = 100_000_000;

pub struct Safe(AtomicFile);

impl Safe {
    pub fn create(path: &Path, head: &FeatureHead) -> io::Result<Self> {
        // Whole numbers first: every tensor then begins at a multiple of the size of its values.
        let mut numbers: Vec<(String, Vec<i64>)> = vec![("image".into(), head.images.clone())];
        let named =
            |labels: &super::FeatureLabels| (format!("labels.{}", labels.name), labels.labels.clone());
        numbers.extend(head.labels.iter().map(named));
        let mut file = AtomicFile::create(path)?;
        file.write_all(&header(head, &numbers)?)?;
        for value in numbers.iter().flat_map(|(_, values)| values) {
            file.write_all(&value.to_le_bytes())?;
        }
        Ok(Safe(file))
    }
}

/// Length and JSON of what follows.
fn header(head: &FeatureHead, numbers: &[(String, Vec<i64>)]) -> io::Result<Vec<u8>> {
    let (mut tensors, mut at) = (Vec::new(), 0);
    let mut add = |name: &str, dtype: Dtype, shape: Vec<usize>, size: usize| {
        let bytes = size * shape.iter().product::<usize>();
        tensors.push((name.to_owned(), TensorInfo { dtype, shape, data_offsets: (at, at + bytes) }));
        at += bytes;
    };
    numbers.iter().for_each(|(name, values)| add(name, Dtype::I64, vec![values.len()], 8));
    add("features", Dtype::F32, head.shape(), 4);
    let metadata = HashMap::from([(ABOUT.to_owned(), texts(head))]);
    let metadata = Metadata::new(Some(metadata), tensors).map_err(io::Error::other)?;
    let mut json = serde_json::to_vec(&metadata).map_err(io::Error::other)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    if json.len() > LONGEST {
        let message = "the names of so many images do not fit into a safetensors file; write .npz";
        return Err(io::Error::other(message));
    }
    Ok([&(json.len() as u64).to_le_bytes()[..], &json].concat())
}

/// What is no number, as JSON: where it came from, the split and the file of every image, names of labels.
fn texts(head: &FeatureHead) -> String {
    let names: Map<_, _> = head.labels.iter().map(|l| (l.name.clone(), json!(l.values))).collect();
    let mut all = json!({ "about": head.about, "names": names });
    if !head.splits.is_empty() {
        all["split"] = json!(head.splits);
    }
    if !head.files.is_empty() {
        all["file"] = json!(head.files);
    }
    all.to_string()
}

impl Format for Safe {
    fn take(&mut self, features: &[f32]) -> io::Result<()> {
        write_f32(&mut self.0, features)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.commit()
    }
}
