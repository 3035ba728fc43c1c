//! Training images held out to choose by.

use std::{collections::BTreeMap, io, sync::Arc};

use ijepa_registry::{
    image::{ImageSet, ImageShape, ImageStore, Labels, Pixels, Quantity, Split},
    rng::Stream,
};

/// Of the stream that chooses them; its seed is fixed, so that all runs hold out the same images.
const PURPOSE: &str = "data/validation";

/// Moves `count` training images to the validation split: of every class its share, chosen at random but
/// the same for every seed of a run, and of labelled images where others have no labels. Both splits stay in the order of the data set.
pub fn hold_out(set: ImageSet, count: usize) -> ImageSet {
    if count == 0 {
        return set;
    }
    let held = held_out(&set, count);
    let (validation, train) = (0..set.count(&set.train)).partition(|i| held.binary_search(i).is_ok());
    let ImageSet { shape, train: all, test, .. } = set;
    ImageSet { shape, train: part(shape, &all, train), validation: part(shape, &all, validation), test }
}

/// Which training images [`hold_out`] moves, in rising order.
pub fn held_out(set: &ImageSet, count: usize) -> Vec<usize> {
    if count == 0 { Vec::new() } else { chosen(&classes(set), count) }
}

/// Images of every class, by the first labels; all are one class without labels.
fn classes(set: &ImageSet) -> Vec<Vec<usize>> {
    let labels = set.train.labels.first().map(|l| &l.labels);
    let mut classes: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for i in 0..set.labelled(&set.train) {
        classes.entry(labels.map_or(0, |l| l[i])).or_default().push(i);
    }
    classes.into_values().collect()
}

/// `count` of all images in rising order: of every class the whole part of its share, and one more of
/// those with the largest remainders.
fn chosen(classes: &[Vec<usize>], count: usize) -> Vec<usize> {
    let total: usize = classes.iter().map(Vec::len).sum();
    let mut quota: Vec<usize> = classes.iter().map(|c| count * c.len() / total).collect();
    let mut by_remainder: Vec<usize> = (0..classes.len()).collect();
    by_remainder.sort_by_key(|&c| (std::cmp::Reverse(count * classes[c].len() % total), c));
    let left = count - quota.iter().sum::<usize>();
    by_remainder.into_iter().take(left).for_each(|c| quota[c] += 1);
    let mut held = Vec::with_capacity(count);
    for (c, (class, quota)) in classes.iter().zip(quota).enumerate() {
        let mut class = class.clone();
        Stream::new(0, PURPOSE, 0, c as u64).shuffle(&mut class);
        held.extend_from_slice(&class[..quota]);
    }
    held.sort_unstable();
    held
}

fn part(shape: ImageShape, all: &Split, images: Vec<usize>) -> Split {
    let length = shape.len();
    let bytes = |pixels: &Vec<u8>| {
        images.iter().flat_map(|i| &pixels[i * length..(i + 1) * length]).copied().collect::<Vec<u8>>()
    };
    let pixels = match &all.pixels {
        Pixels::Memory(pixels) => bytes(pixels).into(),
        Pixels::Store(store) => {
            Pixels::Store(Arc::new(Picked { store: Arc::clone(store), images: images.clone() }))
        }
    };
    let of = |l: &Labels| Labels {
        labels: images.iter().filter_map(|&i| l.labels.get(i).copied()).collect(),
        ..l.clone()
    };
    let number = |q: &Quantity| Quantity {
        values: images.iter().filter_map(|&i| q.values.get(i).copied()).collect(),
        ..q.clone()
    };
    let labels = all.labels.iter().map(of).collect();
    Split { pixels, labels, quantities: all.quantities.iter().map(number).collect() }
}

/// Some of the images of a store.
#[derive(Debug)]
struct Picked {
    store: Arc<dyn ImageStore>,
    images: Vec<usize>,
}

impl ImageStore for Picked {
    fn count(&self) -> usize {
        self.images.len()
    }
    fn read(&self, i: usize, out: &mut [u8]) -> io::Result<()> {
        self.store.read(self.images[i], out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images with these labels; the first two bytes of an image are its number.
    fn set(labels: &[u32]) -> ImageSet {
        let shape = ImageShape { channels: 1, height: 2, width: 2 };
        let pixels: Vec<u8> = (0..labels.len()).flat_map(|i| [i as u8, (i >> 8) as u8, 0, 0]).collect();
        let values = ["a", "b", "c"].map(String::from).to_vec();
        let labels = vec![Labels { name: "class".into(), values, labels: labels.to_vec() }];
        let split = Split::new(pixels, labels);
        ImageSet::new(shape, split.clone(), split)
    }

    fn numbers(set: &ImageSet, split: &Split) -> Vec<usize> {
        (0..set.count(split))
            .map(|i| set.bytes(split, i))
            .map(|b| b[0] as usize | (b[1] as usize) << 8)
            .collect()
    }

    #[test]
    fn every_class_gives_its_share_and_no_image_is_in_both() {
        let labels: Vec<u32> = (0..400).map(|i| if i % 10 == 0 { 2 } else { i % 2 }).collect();
        let whole = set(&labels);
        for count in [1, 7, 40, 399] {
            let split = hold_out(whole.clone(), count);
            let (held, kept) = (numbers(&split, &split.validation), numbers(&split, &split.train));
            assert_eq!((held.len(), kept.len()), (count, 400 - count));
            assert!(
                held.is_sorted() && kept.is_sorted() && held.iter().all(|i| kept.binary_search(i).is_err())
            );
            for class in 0..3u32 {
                let of = |l: &[u32]| l.iter().filter(|l| **l == class).count() as f64;
                let share = of(&labels) * count as f64 / 400.0;
                let found = of(&split.validation.labels[0].labels);
                assert!((found - share).abs() < 1.0, "{count}: {found} of class {class}, share {share}");
            }
            held.iter().zip(&split.validation.labels[0].labels).for_each(|(i, l)| assert_eq!(labels[*i], *l));
            assert_eq!(split.test.pixels.in_memory(), whole.test.pixels.in_memory());
            assert_eq!(split.test.labels, whole.test.labels);
        }
    }

    #[test]
    fn the_choice_is_fixed_and_random() {
        let whole = set(&[0; 300]);
        let held = |n| {
            let split = hold_out(whole.clone(), n);
            numbers(&split, &split.validation)
        };
        assert_eq!(held(30), held(30));
        assert!(held(30).iter().any(|i| *i > 200) && held(30).iter().any(|i| *i < 100));
        let mut unlabelled = whole.clone();
        unlabelled.train.labels.clear();
        let split = hold_out(unlabelled, 30);
        assert_eq!(numbers(&split, &split.validation), held(30));
        assert_eq!(hold_out(whole.clone(), 0), whole);
    }
}
