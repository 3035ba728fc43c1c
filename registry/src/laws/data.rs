//! Laws of data sets and augmentations.

use super::{Broken, KindLaws, finite, noise};
use crate::{prelude::*, rng::Stream};

const SHAPES: [(usize, usize); 4] = [(3, 32), (3, 16), (1, 16), (1, 8)];

/// Of the streams of augmentations.
const PURPOSE: &str = "laws/augmentation";

impl KindLaws for dyn Augmentation {
    fn check(step: &Self, broken: &mut Broken) {
        let shapes = SHAPES.map(|(channels, side)| ImageShape { channels, height: side, width: side });
        let fit: Vec<ImageShape> = shapes.into_iter().filter(|&s| step.check(s).is_empty()).collect();
        broken.unless(!fit.is_empty(), || {
            format!("its example is refused for every shape: {:?}", step.check(shapes[0]))
        });
        for shape in fit {
            let problem = (0..16).find_map(|key| problem_of_image(step, shape, key));
            broken.0.extend(problem.map(|p| format!("images of {shape:?}: {p}")));
        }
    }
}

fn problem_of_image(step: &dyn Augmentation, shape: ImageShape, key: u64) -> Option<String> {
    let data = noise("laws/image", shape.len()).into_iter().map(|v| v.abs()).collect();
    let original = Image { shape, data };
    let changed = || {
        let mut image = original.clone();
        step.apply(&mut image, &mut Stream::new(key, PURPOSE, 0, 0));
        image
    };
    let image = changed();
    if image.shape != shape || image.data.len() != shape.len() {
        return Some(format!("{} values of shape {:?} come out", image.data.len(), image.shape));
    }
    if !finite(&image.data) {
        return Some("values that are not finite".into());
    }
    if changed() != image {
        return Some("the same stream gives another image".into());
    }
    let image_ops = step.as_image_ops()?.image_ops(shape, &mut Stream::new(key, PURPOSE, 0, 0));
    let mut edited = original.clone();
    image_ops.iter().for_each(|op| op.apply(&mut edited));
    let bits = |image: &Image| image.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    (bits(&edited) != bits(&image)).then(|| "its edits give another image than `apply`".into())
}

impl KindLaws for dyn Dataset {
    fn check(dataset: &Self, broken: &mut Broken) {
        let (shape, problems) = (dataset.shape(), dataset.check());
        broken.unless(!shape.is_empty(), || format!("announces empty images: {shape:?}"));
        broken.unless(problems.is_empty(), || format!("its example is refused: {problems:?}"));
        match dataset.load(&LoadContext::silent()) {
            // Files that are not here: the sentence has to help.
            Err(DataError(message)) => {
                let words = message.split_whitespace().count();
                broken
                    .unless(words >= 3, || format!("loading fails with `{message}`, which explains nothing"));
            }
            Ok(set) => {
                check_set(dataset, &set, broken);
                let same = dataset.load(&LoadContext::silent()).is_ok_and(|again| again == set);
                broken.unless(same, || "loading twice gives other data".into());
            }
        }
    }
}

fn check_set(dataset: &dyn Dataset, set: &ImageSet, broken: &mut Broken) {
    let announced = dataset.shape();
    broken.unless(set.shape == announced, || format!("announces {announced:?}, loads {:?}", set.shape));
    check_survey(dataset, &Survey::of(set), broken);
    let factors =
        |split: &Split| split.labels.iter().map(|l| (l.name.clone(), l.values.clone())).collect::<Vec<_>>();
    let has_test = !set.test.pixels.is_empty();
    broken.unless(!has_test || factors(&set.train) == factors(&set.test), || {
        "train and test differ in their labels".into()
    });
    let quantities = |split: &Split| split.quantities.iter().map(|q| q.name.clone()).collect::<Vec<_>>();
    broken.unless(!has_test || quantities(&set.train) == quantities(&set.test), || {
        "train and test differ in their quantities".into()
    });
    broken.unless(set.validation.pixels.is_empty() && set.validation.labels.is_empty(), || {
        "holds out images that nobody asked for".into()
    });
    broken.unless(set.count(&set.train) > 0, || "has no training image".into());
    for (name, split) in [("train", &set.train), ("test", &set.test)] {
        let images = set.count(split);
        let bytes = split.pixels.in_memory().map_or(images * set.shape.len(), <[u8]>::len);
        broken.unless(images * set.shape.len() == bytes, || format!("{name} ends within an image"));
        for labels in &split.labels {
            let count = if name == "train" { set.labelled(split) } else { images };
            let fine = labels.labels.len() == count
                && count <= images
                && labels.labels.iter().all(|&l| (l as usize) < labels.values.len());
            broken.unless(fine, || format!("{name}: labels `{}` do not fit {images} images", labels.name));
        }
        for Quantity { name: of, values } in &split.quantities {
            let count = if name == "train" { set.labelled(split) } else { images };
            let fine = values.len() == count && values.iter().all(|v| v.is_finite());
            broken.unless(fine, || format!("{name}: `{of}` is not one finite number for {images} images"));
        }
    }
}

/// What is told beforehand must be so.
fn check_survey(dataset: &dyn Dataset, loaded: &Survey, broken: &mut Broken) {
    let told = match dataset.survey() {
        Ok(Some(told)) => told,
        Ok(None) => return,
        Err(e) => return broken.0.push(format!("cannot be surveyed but loaded: {e}")),
    };
    let counts = |s: &Survey| (s.train, s.unlabelled, s.test);
    broken.unless(counts(&told) == counts(loaded), || {
        let (told, loaded) = (counts(&told), counts(loaded));
        format!("announces {told:?} training, unlabelled and test images, loads {loaded:?}")
    });
    let names = |s: &Survey| s.labels.iter().map(|l| (l.name.clone(), l.values)).collect::<Vec<_>>();
    broken.unless(names(&told) == names(loaded), || {
        format!("announces labels {:?}, loads {:?}", names(&told), names(loaded))
    });
    let absent = told.quantities.iter().find(|name| !loaded.quantities.contains(name));
    broken.unless(absent.is_none(), || {
        format!("announces the quantity {absent:?}, and loads none of that name")
    });
    broken.unless(told.files.is_empty() || dataset.reads_files(), || {
        "names files, but says that it reads none".into()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Darkens an image by a draw; its edits say something else on demand.
    #[derive(Debug)]
    struct Darken {
        lies: bool,
    }

    impl Augmentation for Darken {
        fn check(&self, _: ImageShape) -> Vec<Problem> {
            vec![]
        }
        fn apply(&self, image: &mut Image, stream: &mut Stream) {
            let draw = stream.uniform() as f32;
            image.data.iter_mut().for_each(|v| *v = (*v - draw) * 1.0);
        }
        fn as_image_ops(&self) -> Option<&dyn AsImageOps> {
            Some(self)
        }
    }

    impl AsImageOps for Darken {
        fn image_ops(&self, shape: ImageShape, stream: &mut Stream) -> Vec<ImageOp> {
            let draw = if self.lies && stream.chance(0.2) { 1.0 } else { stream.uniform() as f32 };
            let map = ChannelMap { mean: vec![draw; shape.channels], scale: vec![1.0; shape.channels] };
            vec![ImageOp::Channels(map)]
        }
    }

    #[test]
    fn edits_that_do_not_say_what_apply_does_are_found() {
        let broken = |lies| {
            let mut broken = Broken::default();
            <dyn Augmentation as KindLaws>::check(&Darken { lies }, &mut broken);
            broken.0
        };
        assert_eq!(broken(false), Vec::<String>::new());
        let sentences = broken(true);
        assert_eq!(sentences.len(), SHAPES.len());
        assert!(sentences[0].ends_with("its edits give another image than `apply`"), "{}", sentences[0]);
    }
}
