//! Identity of a data set.

use std::collections::HashSet;

use ijepa_registry::image::{ImageSet, Split};
use serde::{Deserialize, Serialize};

/// BLAKE3 of pixels and labels, in hexadecimal: results are of the same data only if these are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Of everything. Part of a run's identity.
    pub all: String,
    /// Of what is trained on, and what validation images are taken from.
    pub train: String,
    /// Of the test images; empty if there are none.
    pub test: String,
}

impl Fingerprint {
    /// That of a data set as it was loaded: a part that was held out since counts as training images again
    /// only in the set it came from.
    pub fn of(set: &ImageSet) -> Self {
        let split = |name: &str, split: &Split| match split.pixels.is_empty() {
            true => String::new(),
            false => hash(set, name, &[split]),
        };
        let parts = [&set.train, &set.test];
        let (all, (train, test)) = rayon::join(
            || hash(set, "ijepa-run data set, version 1", &parts),
            || {
                rayon::join(
                    || split("ijepa-run train, version 1", parts[0]),
                    || split("ijepa-run test, version 1", parts[1]),
                )
            },
        );
        Fingerprint { all, train, test }
    }

    /// Of the training images and of the test images.
    pub fn splits(&self) -> [String; 2] {
        [self.train.clone(), self.test.clone()]
    }
}

fn hash(set: &ImageSet, name: &str, splits: &[&Split]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes());
    let shape = set.shape;
    [shape.channels, shape.height, shape.width].into_iter().for_each(|n| number(&mut hasher, n));
    splits.iter().for_each(|split| add_split(&mut hasher, set, split));
    hasher.finalize().to_hex().to_string()
}

/// Test images that are training images too, pixel for pixel.
pub fn overlap(set: &ImageSet) -> usize {
    let images = |split: &'_ Split| {
        let hash = |i: usize| *blake3::hash(&set.bytes(split, i)).as_bytes();
        (0..set.count(split)).map(hash).collect::<Vec<_>>()
    };
    let train: HashSet<[u8; 32]> = images(&set.train).into_iter().collect();
    images(&set.test).iter().filter(|image| train.contains(*image)).count()
}

/// Every field is preceded by its length, so no two different sets give the same bytes.
fn add_split(hasher: &mut blake3::Hasher, set: &ImageSet, split: &Split) {
    match split.pixels.in_memory() {
        Some(pixels) => bytes(hasher, pixels),
        None => {
            number(hasher, set.count(split) * set.shape.len());
            (0..set.count(split)).for_each(|i| {
                hasher.update(&set.bytes(split, i));
            });
        }
    }
    number(hasher, split.labels.len());
    for labels in &split.labels {
        bytes(hasher, labels.name.as_bytes());
        number(hasher, labels.values.len());
        labels.values.iter().for_each(|value| bytes(hasher, value.as_bytes()));
        let little_endian: Vec<u8> = labels.labels.iter().flat_map(|l| l.to_le_bytes()).collect();
        bytes(hasher, &little_endian);
    }
}

fn number(hasher: &mut blake3::Hasher, n: usize) {
    hasher.update(&(n as u64).to_le_bytes());
}

fn bytes(hasher: &mut blake3::Hasher, data: &[u8]) {
    number(hasher, data.len());
    hasher.update(data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::pipeline::tests::black_set;
    use ijepa_registry::image::Pixels;

    fn set_byte(split: &mut Split, at: usize, value: u8) {
        let Pixels::Memory(bytes) = &mut split.pixels else { panic!("in memory") };
        bytes[at] = value;
    }

    #[test]
    fn every_part_counts() {
        let base = Fingerprint::of(&black_set(4)).all;
        assert_eq!(base, Fingerprint::of(&black_set(4)).all);
        assert_eq!(base.len(), 64);
        let changes: [fn(&mut ImageSet); 6] = [
            |s| set_byte(&mut s.train, 5, 1),
            |s| s.train.labels[0].labels[0] = 1,
            |s| s.test.labels[0].labels[0] = 1,
            |s| s.train.labels[0].values[0] = "z".into(),
            |s| s.train.labels[0].name = "colour".into(),
            |s| (s.shape.height, s.shape.width) = (s.shape.height * 2, s.shape.width / 2),
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut set = black_set(4);
            change(&mut set);
            assert_ne!(base, Fingerprint::of(&set).all, "change {i}");
        }
    }

    /// Folders of version 0.1.0 are found by it.
    #[test]
    fn the_fingerprint_of_everything_stays_what_it_was() {
        let all = Fingerprint::of(&black_set(4)).all;
        assert_eq!(all, "8648cec6c5ab2279bb2302f39360f1da7e67e8087dca075bd558103d7a41ef9a");
    }

    #[test]
    fn splits_are_told_apart() {
        let base = Fingerprint::of(&black_set(4));
        let mut other = black_set(4);
        set_byte(&mut other.test, 0, 9);
        let other = Fingerprint::of(&other);
        assert_eq!(base.train, other.train);
        assert!(base.test != other.test && base.all != other.all && base.train != base.test);
        let mut without = black_set(4);
        without.test = Split::default();
        assert_eq!(Fingerprint::of(&without).test, "");
    }

    #[test]
    fn equal_images_in_both_splits_are_counted() {
        let mut set = black_set(4);
        assert_eq!(overlap(&set), 2, "all are black");
        set_byte(&mut set.test, 3, 1);
        assert_eq!(overlap(&set), 1);
    }
}
