//! Images that the device holds: their patches have the bits of the host's, and so has a whole run.

use std::sync::atomic::AtomicBool;

use cuda_shim::null::set_free_memory;
use dfdx::prelude::Cuda;
use ijepa_run::{
    config::Experiment,
    data::{Batch, BatchImages, Loader, LoaderPlan, Pipeline, patchify_into},
    events::{Event, Outcome},
    kernels::{Backend, to_host},
    registry::{catalogue, device::transform::TransformProgram, prelude::*},
    train::{Session, Until, run},
};
use serde_json::{Value, json};

use crate::emulator::{computing_device, device};
use crate::training::{TINY, experiment_of, session_from};

/// Edits with numbers that its stream draws.
#[derive(Clone, Copy, Debug)]
enum Drawn {
    Flip,
    Crop,
    Channels,
}

impl Augmentation for Drawn {
    fn check(&self, _: ImageShape) -> Vec<Problem> {
        vec![]
    }
    fn apply(&self, image: &mut Image, stream: &mut Stream) {
        self.image_ops(image.shape, stream).iter().for_each(|edit| edit.apply(image));
    }
    fn as_image_ops(&self) -> Option<&dyn AsImageOps> {
        Some(self)
    }
}

impl AsImageOps for Drawn {
    fn image_ops(&self, shape: ImageShape, stream: &mut Stream) -> Vec<ImageOp> {
        let mut constants =
            |low, high| (0..shape.channels).map(|_| stream.uniform_in(low, high) as f32).collect();
        match self {
            Drawn::Channels => {
                vec![ImageOp::Channels(ChannelMap {
                    mean: constants(-1.0, 1.0),
                    scale: constants(-3.0, 3.0),
                })]
            }
            Drawn::Flip => stream.chance(0.5).then_some(ImageOp::Flip).into_iter().collect(),
            Drawn::Crop => {
                let (height, width) = (1 + stream.below(shape.height), 1 + stream.below(shape.width));
                let top = stream.below(shape.height - height + 1);
                let left = stream.below(shape.width - width + 1);
                vec![ImageOp::Crop(Crop { top, left, height, width })]
            }
        }
    }
}

/// An augmentation that keeps its edits to itself, as a foreign one may.
#[derive(Debug)]
struct Foreign(Box<dyn Augmentation>);

impl Augmentation for Foreign {
    fn check(&self, shape: ImageShape) -> Vec<Problem> {
        self.0.check(shape)
    }
    fn apply(&self, image: &mut Image, stream: &mut Stream) {
        self.0.apply(image, stream);
    }
    fn at_evaluation(&self) -> bool {
        self.0.at_evaluation()
    }
}

/// Flips and perhaps a map, in some order.
fn stage(stream: &mut Stream) -> Vec<Drawn> {
    let mut steps = vec![Drawn::Flip; stream.below(3)];
    steps.extend(stream.chance(0.6).then_some(Drawn::Channels));
    stream.shuffle(&mut steps);
    steps
}

/// A pipeline of the form of a recipe.
fn drawn_pipeline(stream: &mut Stream) -> Pipeline {
    let crop = stream.chance(0.7).then_some(Drawn::Crop);
    let after = if crop.is_some() { stage(stream) } else { vec![] };
    let steps = stage(stream).into_iter().chain(crop).chain(after);
    Pipeline::new(steps.map(|step| ("drawn".into(), Box::new(step) as _)).collect())
}

/// `count` training images of random bytes.
fn images(shape: ImageShape, count: usize, stream: &mut Stream) -> ImageSet {
    let mut split = |n: usize| {
        Split::new((0..n * shape.len()).map(|_| stream.below(256) as u8).collect::<Vec<u8>>(), vec![])
    };
    ImageSet::new(shape, split(count), split(1))
}

/// Compares the patches of the training images, the last one first, and of evaluation.
fn assert_same_bits(cuda: &Cuda, set: &ImageSet, pipeline: &Pipeline, patch: usize, seed: u64) {
    let count = set.count(&set.train);
    let resident = cuda
        .keep_images(set.train.pixels.in_memory().unwrap(), set.shape)
        .unwrap()
        .expect("room for a few images");
    let order = || (0..count).rev().chain([0, count / 2]);
    let compare = |programs: Vec<TransformProgram>, images: Vec<Image>| {
        let mut expected = Vec::new();
        images.iter().for_each(|image| patchify_into(&image.data, set.shape, patch, &mut expected));
        let found = to_host(&Cuda::patches(&resident, &programs, patch).unwrap()).unwrap();
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let what = (set.shape, patch, pipeline);
        assert!(bits(found) == bits(expected), "{what:?}, {programs:?}");
    };
    let program = |i| pipeline.train_program(set.shape, i, seed, 3).expect("the form of a recipe");
    let image = |i| pipeline.train_image(set, &set.train, i, seed, 3);
    compare(order().map(program).collect(), order().map(image).collect());
    let program = |i| pipeline.evaluation_program(set.shape, i).unwrap();
    let image = |i| pipeline.evaluation_image(set, &set.train, i);
    compare(order().map(program).collect(), order().map(image).collect());
}

/// Channels, rows, columns, side of a patch.
const SIZES: [[usize; 4]; 9] = [
    [3, 32, 32, 4],
    [1, 5, 7, 1],
    [4, 6, 9, 3],
    [4, 6, 9, 1],
    [2, 16, 8, 8],
    [3, 8, 12, 2],
    [1, 1, 1, 1],
    [5, 30, 10, 5],
    [3, 13, 26, 13],
];

#[test]
fn patches_have_the_bits_of_the_host() {
    let turn = computing_device();
    for (i, [channels, height, width, patch]) in SIZES.into_iter().enumerate() {
        for seed in 0..24 {
            let mut stream = Stream::new(seed, "test/images", i as u64, 0);
            let set = images(ImageShape { channels, height, width }, 5, &mut stream);
            assert_same_bits(&turn.cuda, &set, &drawn_pipeline(&mut stream), patch, seed);
        }
    }
}

#[test]
fn patches_of_the_components_of_the_house_have_the_bits_of_the_host() {
    let turn = computing_device();
    let component = |(name, settings): (&str, Value)| {
        let entry = catalogue::find::<dyn Augmentation>(name).expect("registered");
        (name.to_string(), (entry.build)(&settings).expect("settings decode").1)
    };
    let crop = || ("random_resized_crop", json!({ "scale": [0.05, 1.0] }));
    let (flip, map) = (|| ("hflip", json!({})), || ("normalize", json!({})));
    let pipelines = [
        vec![],
        vec![map()],
        vec![crop(), flip(), map()],
        vec![flip(), map(), crop()],
        vec![map(), flip(), crop(), flip(), flip()],
    ];
    let mut stream = Stream::new(0, "test/images", 0, 1);
    for (seed, steps) in pipelines.into_iter().enumerate() {
        let pipeline = Pipeline::new(steps.into_iter().map(component).collect());
        let set = images(ImageShape { channels: 3, height: 32, width: 24 }, 30, &mut stream);
        assert_same_bits(&turn.cuda, &set, &pipeline, 8, seed as u64);
    }
}

#[test]
fn a_whole_crop_keeps_negative_zeros() {
    let turn = computing_device();
    let shape = ImageShape { channels: 1, height: 2, width: 4 };
    let resident = turn.cuda.keep_images(&[0; 8], shape).unwrap().unwrap();
    let negative = ImageOp::Channels(ChannelMap { mean: vec![0.0], scale: vec![-1.0] });
    for image_ops in [vec![negative.clone()], vec![negative, ImageOp::Crop(Crop::whole(shape))]] {
        let mut expected = Image { shape, data: vec![0.0; 8] };
        image_ops.iter().for_each(|edit| edit.apply(&mut expected));
        let program = TransformProgram::new(0, shape, image_ops).unwrap();
        let found = to_host(&Cuda::patches(&resident, &[program], 2).unwrap()).unwrap();
        assert!(found.iter().chain(&expected.data).all(|v| v.to_bits() == (-0.0f32).to_bits()), "{found:?}");
    }
}

#[test]
fn a_recipe_that_leads_out_of_the_images_is_refused() {
    let turn = device();
    let shape = ImageShape { channels: 1, height: 4, width: 4 };
    let resident = turn.cuda.keep_images(&[0; 48], shape).unwrap().unwrap();
    let good = TransformProgram::new(2, shape, []).unwrap();
    assert!(Cuda::patches(&resident, std::slice::from_ref(&good), 2).is_ok());
    let crop = Some(Crop { top: 3, left: 0, height: 2, width: 4 });
    let map = ChannelMap::identity(2);
    let mut wrong = vec![
        TransformProgram { image: 3, ..good.clone() },
        TransformProgram { crop, ..good.clone() },
        good.clone(),
    ];
    wrong[2].after.channels = Some(map);
    for program in wrong {
        let error = Cuda::patches(&resident, std::slice::from_ref(&program), 2).unwrap_err().to_string();
        assert!(error.contains("on 3 images"), "{error}");
    }
    assert!(Cuda::patches(&resident, &[good], 3).unwrap_err().to_string().contains("patches of 3 pixels"));
    assert!(turn.cuda.keep_images(&[0; 47], shape).is_err());
}

/// The tiny model with all augmentations, two epochs of four steps, then probes.
const CHANGES: [&str; 4] = [
    "augmentation=[random_resized_crop, hflip, normalize]",
    "train.epochs=2",
    "learning_rate.warmup_epochs=1",
    "probes=[{ kind: knn, k: 5, encoders: [target, context], controls: [random_init, pixels] }]",
];

fn experiment() -> Experiment {
    experiment_of(TINY, &CHANGES)
}

/// The experiment with augmentations that do not say what they do.
fn foreign_experiment() -> Experiment {
    let mut experiment = experiment();
    for component in &mut experiment.augmentation {
        let object = std::mem::replace(&mut component.object, Box::new(Drawn::Flip));
        component.object = Box::new(Foreign(object));
    }
    experiment
}

/// Bits of all losses and probes of a run.
fn numbers(mut session: Session<Cuda>) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut emit = |event: Event| {
        match event {
            Event::Tick(tick) => numbers.push(tick.loss.to_bits()),
            Event::Probe(row) => numbers.push(row.value.to_bits()),
            Event::Epoch(row) => numbers.push(row.loss.to_bits()),
            _ => {}
        }
        Ok(())
    };
    let until = Until { stop: &AtomicBool::new(false), epoch: None };
    assert_eq!(run(&mut session, &mut emit, until).unwrap(), Outcome::Done);
    numbers
}

/// The first batch that a loader makes for the session.
fn first_batch(session: &Session<Cuda>) -> Batch {
    let plan = LoaderPlan { programs: true, ..LoaderPlan::new(session.plan.batch_size, 1) };
    Loader::start(&session.plan.source, &plan).next().unwrap()
}

#[test]
fn a_run_has_the_same_bits_whoever_makes_its_patches() {
    let turn = computing_device();
    let (own, foreign) =
        (session_from(experiment(), &turn.cuda), session_from(foreign_experiment(), &turn.cuda));
    assert!(matches!(first_batch(&own).images, BatchImages::Programs(_)));
    assert!(matches!(first_batch(&foreign).images, BatchImages::Patches(_)));
    assert!(foreign.train_images().resident.is_some());
    let expected = numbers(foreign);
    assert!(expected.len() > 8);
    assert_eq!(numbers(own), expected);
}

/// All memory is free again, however the test ends.
struct FreeMemory;

impl Drop for FreeMemory {
    fn drop(&mut self) {
        set_free_memory(None);
    }
}

#[test]
fn a_split_that_takes_more_than_a_quarter_of_the_free_memory_stays_on_the_host() {
    let turn = computing_device();
    if turn.gpu {
        return;
    }
    let expected = numbers(session_from(experiment(), &turn.cuda));
    let _all_free_again = FreeMemory;
    // 32 images for training and 20 for testing, of 768 bytes each.
    for (free, resident) in
        [(0, (false, false)), (4 * 32 * 768 - 1, (false, true)), (4 * 32 * 768, (true, true))]
    {
        set_free_memory(Some(free));
        let session = session_from(experiment(), &turn.cuda);
        let found = (session.train_images().resident.is_some(), session.test_images().resident.is_some());
        assert_eq!(found, resident, "{free} bytes free");
        assert_eq!(numbers(session), expected, "{free} bytes free");
    }
}

#[test]
fn a_batch_of_programs_for_images_that_are_not_there_is_an_error() {
    let turn = device();
    if turn.gpu {
        return;
    }
    let _all_free_again = FreeMemory;
    set_free_memory(Some(0));
    let mut session = session_from(experiment(), &turn.cuda);
    let batch = first_batch(&session);
    let error = session.step(&batch, false).err().expect("no images").to_string();
    assert!(error.contains("recipes for images that the device lacks"), "{error}");
}
