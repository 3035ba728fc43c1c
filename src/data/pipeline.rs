//! The augmentations of an experiment, in order.

use ijepa_registry::{
    device::transform::TransformProgram,
    image::{Image, ImageSet, ImageShape, Split},
    kinds::Augmentation,
    rng::Stream,
};

/// Ordered augmentation steps. Each step of each image draws from a stream of its own, so
/// changing what one step draws leaves the others, and every other image, as they were.
#[derive(Debug, Default)]
pub struct Pipeline {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    purpose: String,
    augmentation: Box<dyn Augmentation>,
}

impl Pipeline {
    /// A pipeline of (component name, component); the name and the place key the step's streams.
    pub fn new(steps: Vec<(String, Box<dyn Augmentation>)>) -> Self {
        let named = |(place, (name, augmentation)): (usize, (String, _))| Step {
            purpose: purpose(place, &name),
            augmentation,
        };
        Pipeline { steps: steps.into_iter().enumerate().map(named).collect() }
    }

    /// Image `index` of `split` as epoch `epoch` trains on it.
    pub fn train_image(&self, set: &ImageSet, split: &Split, index: usize, seed: u64, epoch: u64) -> Image {
        changed(set.image(split, index), self.training(index, seed, epoch))
    }

    /// Image `index` as epoch `epoch` trains on it, to be looked at: without the steps that leave the range 0 to
    /// 1, such as normalisation. The others draw what they draw in training.
    pub fn picture(&self, set: &ImageSet, split: &Split, index: usize, seed: u64, epoch: u64) -> Image {
        let steps = self.training(index, seed, epoch).filter(|(step, _)| !step.leaves_unit_range());
        changed(set.image(split, index), steps)
    }

    /// What [`Pipeline::train_image`] does to an image of this shape, if a program can express it.
    pub fn train_program(
        &self,
        shape: ImageShape,
        index: usize,
        seed: u64,
        epoch: u64,
    ) -> Option<TransformProgram> {
        program(index, shape, self.training(index, seed, epoch))
    }

    /// Image `index` of `split` as features are extracted from it: only the steps that also
    /// apply at evaluation, the same whatever the seed of the run.
    pub fn evaluation_image(&self, set: &ImageSet, split: &Split, index: usize) -> Image {
        changed(set.image(split, index), self.evaluation(index))
    }

    /// What [`Pipeline::evaluation_image`] does to an image of this shape, if a program can express it.
    pub fn evaluation_program(&self, shape: ImageShape, index: usize) -> Option<TransformProgram> {
        program(index, shape, self.evaluation(index))
    }

    /// Every step, with its draws for an image of an epoch.
    fn training(&self, index: usize, seed: u64, epoch: u64) -> impl Iterator<Item = Drawing<'_>> {
        let drawing = move |step: &Step| Stream::new(seed, &step.purpose, epoch, index as u64);
        self.steps.iter().map(move |step| (step.augmentation.as_ref(), drawing(step)))
    }

    /// The steps of evaluation, with their draws.
    fn evaluation(&self, index: usize) -> impl Iterator<Item = Drawing<'_>> {
        self.training(index, 0, u64::MAX).filter(|(step, _)| step.at_evaluation())
    }
}

/// Of the streams of the step at this place.
fn purpose(place: usize, name: &str) -> String {
    format!("augment/{place}/{name}")
}

/// [`Pipeline::train_image`] by the steps of an experiment, each with its name, without a pipeline of one's own.
pub fn train_image_by<'a>(
    steps: impl Iterator<Item = (&'a str, &'a dyn Augmentation)>,
    image: Image,
    index: usize,
    seed: u64,
    epoch: u64,
) -> Image {
    let drawing = |(place, (name, step)): (usize, (&str, _))| {
        (step, Stream::new(seed, &purpose(place, name), epoch, index as u64))
    };
    changed(image, steps.enumerate().map(drawing))
}

/// A step and its draws for one image.
type Drawing<'a> = (&'a dyn Augmentation, Stream);

fn changed<'a>(mut image: Image, steps: impl Iterator<Item = Drawing<'a>>) -> Image {
    steps.for_each(|(step, mut stream)| step.apply(&mut image, &mut stream));
    image
}

fn program<'a>(
    index: usize,
    shape: ImageShape,
    steps: impl Iterator<Item = Drawing<'a>>,
) -> Option<TransformProgram> {
    let image_ops: Option<Vec<_>> =
        steps.map(|(step, mut stream)| Some(step.as_image_ops()?.image_ops(shape, &mut stream))).collect();
    TransformProgram::new(index as u32, shape, image_ops?.into_iter().flatten())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ijepa_registry::{image::Labels, problem::Problem};

    /// Adds one draw of its stream to every value.
    #[derive(Debug)]
    pub struct AddDraw {
        pub at_evaluation: bool,
    }

    impl Augmentation for AddDraw {
        fn check(&self, _: ImageShape) -> Vec<Problem> {
            vec![]
        }
        fn apply(&self, image: &mut Image, stream: &mut Stream) {
            let draw = stream.uniform() as f32;
            image.data.iter_mut().for_each(|v| *v += draw);
        }
        fn at_evaluation(&self) -> bool {
            self.at_evaluation
        }
    }

    pub fn pipeline(at_evaluation: &[bool]) -> Pipeline {
        let step = |&at_evaluation| ("add".into(), Box::new(AddDraw { at_evaluation }) as _);
        Pipeline::new(at_evaluation.iter().map(step).collect())
    }

    /// `count` black 3 x 4 x 4 training images with labels 0, 1, 0, 1, ...
    pub fn black_set(count: usize) -> ImageSet {
        let shape = ImageShape { channels: 3, height: 4, width: 4 };
        let labels = |n: usize| Labels {
            name: "class".into(),
            values: vec!["a".into(), "b".into()],
            labels: (0..n as u32).map(|i| i % 2).collect(),
        };
        let split = |n: usize| Split::new(vec![0; n * shape.len()], vec![labels(n)]);
        ImageSet::new(shape, split(count), split(2))
    }

    #[test]
    fn draws_depend_on_image_epoch_seed_and_place() {
        let set = black_set(3);
        let value = |p: &Pipeline, i, seed, epoch| p.train_image(&set, &set.train, i, seed, epoch).data[0];
        let one = pipeline(&[false]);
        let base = value(&one, 0, 1, 0);
        assert_eq!(base, value(&one, 0, 1, 0));
        assert!(
            [value(&one, 1, 1, 0), value(&one, 0, 2, 0), value(&one, 0, 1, 1)].iter().all(|&v| v != base)
        );
        let second = value(&pipeline(&[false, false]), 0, 1, 0) - base;
        assert!((second - base).abs() > 1e-6, "the second place draws its own numbers");
        let step = AddDraw { at_evaluation: false };
        let steps = ["add", "add"].map(|name| (name, &step as &dyn Augmentation));
        let image = train_image_by(steps.into_iter(), set.image(&set.train, 0), 0, 1, 0);
        assert_eq!(image, pipeline(&[false, false]).train_image(&set, &set.train, 0, 1, 0));
    }

    #[test]
    fn evaluation_leaves_random_steps_out() {
        let set = black_set(1);
        assert_eq!(pipeline(&[false]).evaluation_image(&set, &set.train, 0).data[0], 0.0);
        let fixed = pipeline(&[false, true]);
        let value = fixed.evaluation_image(&set, &set.train, 0).data[0];
        assert!(value > 0.0);
        assert_eq!(value, fixed.evaluation_image(&set, &set.train, 0).data[0]);
    }
}
