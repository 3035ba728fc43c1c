//! Laws of probes: two well separated clusters, measured twice.

use super::{Broken, KindLaws};
use crate::{prelude::*, rng::Stream};

const DIM: usize = 8;
const CLASSES: usize = 2;
const TRAIN: usize = 256;
const TEST: usize = 64;

impl KindLaws for dyn Probe {
    fn check(probe: &Self, broken: &mut Broken) {
        let problems = probe.check();
        broken.unless(problems.is_empty(), || format!("its example is refused: {problems:?}"));
        let metrics = probe.metrics();
        let twice = (1..metrics.len()).find(|&i| metrics[..i].iter().any(|m| m.name == metrics[i].name));
        broken.unless(twice.is_none(), || format!("declares `{}` twice", metrics[twice.unwrap_or(0)].name));
        broken.unless(!metrics.is_empty(), || "declares no metric".into());

        let (train, test) = (clusters("laws/train", TRAIN), clusters("laws/test", TEST));
        let data = ProbeData { train: features(&train), test: features(&test), classes: CLASSES };
        let context = ProbeContext { seed: 5, progress: &|_, _| {} };
        let Some(values) = broken.value("cannot measure two clusters", probe.measure(&data, &context)) else {
            return;
        };
        broken.unless(values.len() == metrics.len(), || {
            format!("{} values for {} declared metrics", values.len(), metrics.len())
        });
        for (metric, value) in metrics.iter().zip(&values) {
            broken.unless(value.is_finite(), || format!("`{}` is {value}", metric.name));
        }
        let again = probe.measure(&data, &context).unwrap_or_default();
        let bits = |all: &[f64]| all.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        broken.unless(bits(&again) == bits(&values), || format!("measured twice: {values:?} and {again:?}"));
    }
}

type Labelled = (Vec<f32>, Vec<u32>);

/// Unit Gaussians, three away from the origin along the diagonal on either side.
fn clusters(purpose: &str, count: usize) -> Labelled {
    let mut stream = Stream::new(0, purpose, 0, 0);
    let labels: Vec<u32> = (0..count).map(|i| (i % CLASSES) as u32).collect();
    let centre = |label: u32| if label == 0 { -3.0 } else { 3.0 };
    let values =
        labels.iter().flat_map(|&l| [centre(l); DIM]).map(|c| (c + stream.normal()) as f32).collect();
    (values, labels)
}

fn features((values, labels): &Labelled) -> Features<'_> {
    Features { dim: DIM, values, labels }
}
