//! The images of a split: which files, of which class, decoded.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use ijepa_registry::{
    image::{Labels, Split},
    kinds::{DataError, LoadContext},
};
use rayon::prelude::*;

use super::{
    decode::decode_square,
    folder::{Found, Item, listed, many, scan},
    label_table::LabelTable,
};

/// Images are RGB.
pub(super) const CHANNELS: usize = 3;
/// Where Tiny ImageNet keeps the labels of its validation images.
const ANNOTATIONS: &str = "val_annotations.txt";
/// What an error about their content begins with.
const UNREADABLE: &str = "images cannot be decoded; replace or remove them";
/// Classes named in one error.
const SHOWN: usize = 5;

/// Where the images of a split are named, and their labels.
pub(crate) struct Source<'a> {
    /// Folder of the split.
    pub split: &'a Path,
    /// File that names them; none: everything in the folder.
    pub list: Option<&'a Path>,
    /// Table of their labels; none: class folders.
    pub labels: Option<PathBuf>,
    /// At most so many of each class, the first ones in order.
    pub limit: Option<usize>,
}

impl Source<'_> {
    /// The images that are used; a list names them relative to `root`.
    pub fn files(&self, root: &Path) -> Result<Found, DataError> {
        let mut found = match self.list {
            Some(list) => listed(root, list)?,
            None => scan(self.split, self.labels.as_deref())?,
        };
        if let Some(table) = &self.labels {
            LabelTable::read(table)?.label(self.split, &mut found)?;
            // In the order of class folders.
            if self.list.is_none() {
                found.items.sort_by(|a, b| (&a.class, &a.file).cmp(&(&b.class, &b.file)));
            }
        }
        if let Some(limit) = self.limit {
            let mut taken = BTreeMap::new();
            found.items.retain(|item| {
                let count = taken.entry(item.class.clone()).or_insert(0);
                *count += 1;
                *count <= limit
            });
        }
        Ok(found)
    }
}

/// The table of labels that lies in a split folder by itself.
pub(crate) fn annotations(folder: &Path) -> Option<PathBuf> {
    Some(folder.join(ANNOTATIONS)).filter(|table| table.is_file())
}

/// The names of their classes.
pub(crate) fn classes(items: &[Item]) -> BTreeSet<String> {
    items.iter().filter_map(|item| item.class.clone()).collect()
}

/// The sorted class names, if train and test have the same ones.
pub(crate) fn same_classes(root: &Path, train: &[Item], test: &[Item]) -> Result<Vec<String>, DataError> {
    let root = root.display();
    let (in_train, in_test) = (classes(train), classes(test));
    if test.is_empty() || in_train == in_test {
        return Ok(in_train.into_iter().collect());
    }
    if in_train.is_empty() || in_test.is_empty() {
        let (with, without) = if in_test.is_empty() { ("training", "test") } else { ("test", "training") };
        let split = if in_test.is_empty() { "test" } else { "train" };
        return Err(DataError(format!(
            "`{root}`: {with} images have labels, {without} images have none; put them into class folders, or name a \
             table with lines FILE LABEL: `dataset.{split}_labels=FILE`"
        )));
    }
    let only = |a: &BTreeSet<String>, b| a.difference(b).take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    Err(DataError(format!(
        "`{root}`: training and test images must have the same classes; only in training: [{}], only in test: [{}]",
        only(&in_train, &in_test),
        only(&in_test, &in_train)
    )))
}

/// Some image files as squares of `size` pixels, `(image, channel, row, column)` bytes.
pub fn decode_bytes<I: Borrow<Item> + Sync>(items: &[I], size: usize) -> Result<Vec<u8>, DataError> {
    let mut pixels = vec![0; items.len() * CHANNELS * size * size];
    let decode = |(out, item): (&mut [u8], &I)| decode_square(&item.borrow().file, size, out).err();
    let chunks = pixels.par_chunks_mut(CHANNELS * size * size).zip(items);
    let errors: Vec<String> = chunks.filter_map(decode).collect();
    many(UNREADABLE, &errors)?;
    Ok(pixels)
}

/// Decodes `items` to squares of `size` pixels and labels them by their place among `classes`; `what` they are
/// stands beside the progress.
pub(super) fn decoded(
    what: &str,
    items: &[Item],
    classes: &[String],
    size: usize,
    context: &LoadContext,
) -> Result<Split, DataError> {
    let (length, total, done) = (CHANNELS * size * size, items.len() as u64, AtomicU64::new(0));
    let mut pixels = vec![0; items.len() * length];
    let errors: Vec<String> = (pixels.par_chunks_mut(length).zip(items))
        .filter_map(|(out, item)| {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(256) || done == total {
                (context.progress)(&format!("decoding {what}"), done, total);
            }
            decode_square(&item.file, size, out).err()
        })
        .collect();
    many(UNREADABLE, &errors)?;
    Ok(Split::new(pixels, labelled(items, classes)))
}

/// Their places among `classes`; none without labels.
pub(super) fn labelled(items: &[Item], classes: &[String]) -> Vec<Labels> {
    let label = |item: &Item| classes.binary_search(item.class.as_ref()?).ok().map(|i| i as u32);
    let labels: Option<Vec<u32>> = items.iter().map(label).collect();
    let class = |labels| Labels { name: "class".into(), values: classes.to_vec(), labels };
    labels.filter(|l| !l.is_empty()).map(class).into_iter().collect()
}

/// Names of the folders in a folder, sorted.
pub(crate) fn folders(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let named = entries.filter(|e| e.path().is_dir()).map(|e| e.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = named.filter(|name| !name.starts_with('.')).take(100).collect();
    names.sort();
    names.truncate(12);
    names
}
