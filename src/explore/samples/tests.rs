//! What is shown of data that draw themselves.

use super::*;
use crate::config::load_stored;

const EXPERIMENT: &str = "\
version: 1
name: shown
dataset: { kind: shapes, image_size: 16, train: 40, test: 10, validation: 8 }
augmentation:
  - { kind: hflip, draws: alternate }
  - { kind: normalize, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] }
encoder: { kind: vit, dim: 16, depth: 1, heads: 2, patch: 4 }
predictor: { kind: vit, dim: 8, depth: 1, heads: 2 }
masking: { kind: multiblock, min_context: 2 }
loss: l2
optimizer: adamw
learning_rate: 1.0e-3
weight_decay: 0.05
ema: 0.99
train: { epochs: 1, batch_size: 8 }
";

fn samples(more: &str) -> Samples {
    let experiment = load_stored("shown.yaml", &format!("{EXPERIMENT}{more}"), &[]).unwrap();
    let options = SampleOptions { images: 3, draws: 2, verbosity: Verbosity::Quiet };
    Samples::read(experiment, options).unwrap()
}

#[test]
fn images_are_those_of_the_first_epochs_without_normalisation() {
    let samples = samples("");
    assert_eq!(samples.images.iter().map(|shown| shown.index).collect::<Vec<_>>(), [0, 10, 21]);
    for shown in &samples.images {
        let mirrored: Vec<u8> = shown.stored.chunks(16).flat_map(|row| row.iter().rev().copied()).collect();
        let [first, second] = &shown.draws[..] else { panic!("two draws") };
        // Every second epoch mirrors, in an order that each image draws.
        assert_ne!(first, second);
        for draw in [first, second] {
            assert!(*draw == shown.stored || *draw == mirrored);
        }
    }
}

#[test]
fn counts_are_of_every_split_and_values_before_and_after() {
    let samples = samples("");
    let class = &samples.counts[0];
    let sums: Vec<(&str, usize)> = class.splits.iter().map(|(s, of)| (*s, of.iter().sum())).collect();
    assert_eq!(sums, [("train", 32), ("validation", 8), ("test", 10)]);
    assert!(samples.counts.iter().any(|counts| counts.name == "colour"));
    for (stored, seen) in &samples.channels {
        // All 32 images are in the sample, and a mirror moves no moment.
        assert!((seen.mean - (stored.mean - 0.5) / 0.25).abs() < 1e-4, "{stored:?} {seen:?}");
        assert!((seen.std - stored.std / 0.25).abs() < 1e-4, "{stored:?} {seen:?}");
    }
    let line = samples.normalisation();
    assert!(line.starts_with("{ kind: normalize, mean: [0.") && line.matches(", ").count() == 6, "{line}");
    let text: Vec<&str> = samples.facts.iter().map(|(_, value)| value.as_str()).collect();
    assert!(
        text.contains(&"4 x 4 of 4 x 4 pixels: 16 tokens") && text.contains(&"16 x 16 pixels, 3 channels"),
        "{text:?}"
    );
    assert!(text.contains(&"4 steps of 8 of 32 training images"), "{text:?}");
}

#[test]
fn the_page_holds_every_image_and_is_well_formed() {
    let samples = samples("");
    let html = samples_page(&samples);
    assert_eq!(html.matches("data:image/png").count(), 3 * (1 + 2));
    assert!(html.contains("Data of shown") && html.contains("as stored") && !html.contains("<script"));
    assert_eq!(html.matches("class=\"patch\"").count(), 3 * 6, "lines of patches on the stored images");
    for at in 0..samples.counts.len() {
        let figure = figures::counted(&samples, at);
        roxmltree::Document::parse(&figure.file("page.html")).unwrap();
    }
}

#[test]
fn moments_are_those_of_all_values() {
    let found = moments([(0.0, 1.0), (1.0, 3.0)].into_iter());
    assert_eq!(found, Moments { mean: 0.75, std: (0.75f64 - 0.5625).sqrt() });
}
