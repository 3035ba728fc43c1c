//! Normalisation and mirroring against tensors (`seed/ops.safetensors`).

use std::path::Path;

use super::fixture::Fixture;
use ijepa_run::registry::{catalogue, prelude::*};
use serde_json::{Value, json};

fn augmentation(name: &str, settings: Value) -> Box<dyn Augmentation> {
    let entry = catalogue::find::<dyn Augmentation>(name).expect("registered");
    (entry.build)(&settings).expect("settings decode").1
}

/// The byte images `(image, row, column, channel)` as a data set has them after `Split`.
fn images(file: &Fixture) -> Vec<Image> {
    let tensors = file.tensors();
    let tensor = tensors.tensor("norm/u8_hwc").expect("tensor in the fixture");
    let [_, height, width, channels] = tensor.shape() else { panic!("four dimensions") };
    let shape = ImageShape { channels: *channels, height: *height, width: *width };
    let planar = |bytes: &[u8]| {
        let value = |i: usize| bytes[(i % (height * width)) * channels + i / (height * width)];
        Image { shape, data: (0..shape.len()).map(|i| f32::from(value(i)) / 255.0).collect() }
    };
    tensor.data().chunks_exact(shape.len()).map(planar).collect()
}

/// Greatest absolute difference between the reference and `steps` applied to every image.
fn difference(file: &Fixture, reference: &str, steps: &[Box<dyn Augmentation>]) -> f32 {
    let mut ours = vec![];
    for mut image in images(file) {
        for step in steps {
            step.apply(&mut image, &mut Stream::new(0, "parity", 0, 0));
        }
        ours.extend(image.data);
    }
    let theirs = file.f32(reference);
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

pub fn default_normalisation_and_flip(folder: &Path) {
    let file = Fixture::read(&folder.join("seed/ops.safetensors"));
    // Values up to 2.75; a multiplication by 1 / std instead of a division costs one rounding.
    let tolerance = 1e-6;
    let plain = difference(&file, "norm/out", &[augmentation("normalize", json!({}))]);
    assert!(plain < tolerance, "normalize differs by {plain}");
    let steps = [augmentation("hflip", json!({"probability": 1.0})), augmentation("normalize", json!({}))];
    let flipped = difference(&file, "norm/out_hflip", &steps);
    assert!(flipped < tolerance, "hflip and normalize differ by {flipped}");
    assert!(difference(&file, "norm/out_hflip", &steps[1..]) > 0.1, "the flip is visible");
}
