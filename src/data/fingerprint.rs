//! Identity of a data set.

use ijepa_registry::image::{ImageSet, Split};

/// BLAKE3 of shape, pixels and labels, in hexadecimal. Part of a run's identity: two runs are
/// comparable only if they saw the same bytes.
pub fn fingerprint(set: &ImageSet) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"ijepa-run data set, version 1");
    let shape = set.shape;
    [shape.channels, shape.height, shape.width].into_iter().for_each(|n| number(&mut hasher, n));
    for split in [&set.train, &set.test] {
        add_split(&mut hasher, split);
    }
    hasher.finalize().to_hex().to_string()
}

/// Every field is preceded by its length, so no two different sets give the same bytes.
fn add_split(hasher: &mut blake3::Hasher, split: &Split) {
    bytes(hasher, &split.pixels);
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

    #[test]
    fn every_part_counts() {
        let base = fingerprint(&black_set(4));
        assert_eq!(base, fingerprint(&black_set(4)));
        assert_eq!(base.len(), 64);
        let changes: [fn(&mut ImageSet); 6] = [
            |s| s.train.pixels[5] = 1,
            |s| s.train.labels[0].labels[0] = 1,
            |s| s.test.labels[0].labels[0] = 1,
            |s| s.train.labels[0].values[0] = "z".into(),
            |s| s.train.labels[0].name = "colour".into(),
            |s| (s.shape.height, s.shape.width) = (s.shape.height * 2, s.shape.width / 2),
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut set = black_set(4);
            change(&mut set);
            assert_ne!(base, fingerprint(&set), "change {i}");
        }
    }
}
