//! The images that are looked at.

use ijepa_registry::image::{ImageSet, ImageShape, Labels, Split};

/// Evenly spaced images of the test set; of the validation or the training set where there is none.
pub(super) struct Sample {
    /// Which images these are: `test`, `validation` or `train`.
    pub split: &'static str,
    /// Images of the split.
    pub total: usize,
    /// Their numbers in the split.
    pub indices: Vec<usize>,
    /// Their labels, the class first.
    pub labels: Vec<Labels>,
    /// Size of an image.
    pub shape: ImageShape,
    /// Their bytes, `(image, channel, row, column)`.
    pixels: Vec<u8>,
}

impl Sample {
    /// At most `most` images; none where there is no image.
    pub fn of(set: &ImageSet, most: usize) -> Option<Self> {
        let (split, images) = split_of(set)?;
        let total = set.labelled(images);
        let indices = spaced(total, most.max(1));
        let of = |labels: &Labels| Labels {
            labels: indices.iter().map(|&i| labels.labels[i]).collect(),
            ..Labels { labels: vec![], name: labels.name.clone(), values: labels.values.clone() }
        };
        Some(Sample {
            split,
            total,
            labels: images.labels.iter().map(of).collect(),
            shape: set.shape,
            pixels: indices.iter().flat_map(|&i| set.bytes(images, i).into_owned()).collect(),
            indices,
        })
    }

    /// Number of images.
    pub fn count(&self) -> usize {
        self.indices.len()
    }

    /// Bytes of image `i` of the sample.
    pub fn bytes(&self, i: usize) -> &[u8] {
        &self.pixels[i * self.shape.len()..(i + 1) * self.shape.len()]
    }

    /// Whether both hold the same images with the same labels.
    pub fn is_same(&self, other: &Sample) -> bool {
        self.shape == other.shape && self.pixels == other.pixels && self.labels == other.labels
    }

    /// Name of the first label of image `i`; empty without labels.
    pub fn class(&self, i: usize) -> &str {
        self.labels.first().map_or("", |l| &l.values[l.labels[i] as usize])
    }
}

/// The images that were held out, as far as there are any.
pub(super) fn split_of(set: &ImageSet) -> Option<(&'static str, &Split)> {
    let all = [("test", &set.test), ("validation", &set.validation), ("train", &set.train)];
    all.into_iter().find(|(_, split)| set.count(split) > 0)
}

/// At most `most` numbers below `total`, evenly spaced.
pub(super) fn spaced(total: usize, most: usize) -> Vec<usize> {
    let count = total.min(most);
    (0..count).map(|i| i * total / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_the_split() {
        assert_eq!(spaced(10, 4), [0, 2, 5, 7]);
        assert_eq!(spaced(3, 10), [0, 1, 2]);
        let labels =
            Labels { name: "class".into(), values: vec!["a".into(), "b".into()], labels: vec![0, 0, 1, 1] };
        let train = Split::new(vec![1, 2, 3, 4], vec![labels]);
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        let sample = Sample::of(&ImageSet::new(shape, train, Split::default()), 2).expect("images");
        assert_eq!(
            (sample.split, sample.indices.as_slice(), sample.bytes(1)),
            ("train", &[0, 2][..], &[3][..])
        );
        assert_eq!((sample.class(0), sample.class(1)), ("a", "b"));
        assert!(Sample::of(&ImageSet::new(shape, Split::default(), Split::default()), 2).is_none());
    }
}
