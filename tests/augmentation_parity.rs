//! Normalisation and mirroring against tensors made with torchvision (`seed/ops.safetensors`).

use ijepa_run::registry::{catalogue, prelude::*};
use safetensors::SafeTensors;
use serde_json::{Value, json};

fn augmentation(name: &str, settings: Value) -> Box<dyn Augmentation> {
    let entry = catalogue::find::<dyn Augmentation>(name).expect("registered");
    (entry.build)(&settings).expect("settings decode").1
}

/// The fixture file, or nothing (said aloud) where it is absent.
fn fixture() -> Option<Vec<u8>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/fixtures");
    let folder = std::env::var("IJEPA_FIXTURES").unwrap_or_else(|_| default.into());
    let path = std::path::Path::new(&folder).join("seed/ops.safetensors");
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        use std::io::Write;
        // Not captured by the test harness, as `eprintln!` would be.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no `{}`; set IJEPA_FIXTURES to the fixture folder",
            path.display()
        );
    }
    bytes
}

fn floats(file: &SafeTensors, name: &str) -> Vec<f32> {
    let tensor = file.tensor(name).expect("tensor in the fixture");
    tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// The byte images `(image, row, column, channel)` as a data set has them after `Split`.
fn images(file: &SafeTensors) -> Vec<Image> {
    let tensor = file.tensor("norm/u8_hwc").expect("tensor in the fixture");
    let [_, height, width, channels] = tensor.shape() else { panic!("four dimensions") };
    let shape = ImageShape { channels: *channels, height: *height, width: *width };
    let planar = |bytes: &[u8]| {
        let value = |i: usize| bytes[(i % (height * width)) * channels + i / (height * width)];
        Image { shape, data: (0..shape.len()).map(|i| f32::from(value(i)) / 255.0).collect() }
    };
    tensor.data().chunks_exact(shape.len()).map(planar).collect()
}

/// Greatest absolute difference between the reference and `steps` applied to every image.
fn difference(file: &SafeTensors, reference: &str, steps: &[Box<dyn Augmentation>]) -> f32 {
    let mut ours = vec![];
    for mut image in images(file) {
        for step in steps {
            step.apply(&mut image, &mut Stream::new(0, "parity", 0, 0));
        }
        ours.extend(image.data);
    }
    let theirs = floats(file, reference);
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn default_normalisation_and_flip_match_torchvision() {
    let Some(bytes) = fixture() else { return };
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    // Values up to 2.75; a multiplication by 1 / std instead of a division costs one rounding.
    let tolerance = 1e-6;
    let plain = difference(&file, "norm/out", &[augmentation("normalize", json!({}))]);
    assert!(plain < tolerance, "normalize differs by {plain}");
    let steps = [augmentation("hflip", json!({"probability": 1.0})), augmentation("normalize", json!({}))];
    let flipped = difference(&file, "norm/out_hflip", &steps);
    assert!(flipped < tolerance, "hflip and normalize differ by {flipped}");
    assert!(difference(&file, "norm/out_hflip", &steps[1..]) > 0.1, "the flip is visible");
}
