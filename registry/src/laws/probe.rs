//! Laws of probes: two well separated clusters, measured twice.

use super::{Broken, KindLaws};
use crate::{prelude::*, rng::Stream};

const DIM: usize = 8;
const TOKENS: usize = 4;
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

        let tokens = if probe.needs().tokens { TOKENS } else { 1 };
        let (train, test) = (clusters("laws/train", TRAIN, tokens), clusters("laws/test", TEST, tokens));
        let (train, test) = (features(&train, tokens), features(&test, tokens));
        let data = ProbeData { train, test, classes: CLASSES };
        let context = ProbeContext { seed: 5, progress: &|_, _| {} };
        let Some(found) = broken.value("cannot measure two clusters", probe.measure(&data, &context)) else {
            return;
        };
        let Findings { values, files, predictions, scores, classifier } = found;
        broken.unless(values.len() == metrics.len(), || {
            format!("{} values for {} declared metrics", values.len(), metrics.len())
        });
        for (metric, value) in metrics.iter().zip(&values) {
            broken.unless(value.is_finite(), || format!("`{}` is {value}", metric.name));
        }
        let again = probe.measure(&data, &context).unwrap_or_default();
        let bits = |all: &[f64]| all.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        broken.unless(bits(&again.values) == bits(&values), || {
            format!("measured twice: {values:?} and {:?}", again.values)
        });
        broken.unless(predictions.is_some() == probe.predicts(), || {
            format!("says that it predicts: {}, predicts: {}", probe.predicts(), predictions.is_some())
        });
        broken
            .unless(again.predictions == predictions, || "it predicts something else the second time".into());
        broken.0.extend(problem_of_scores(predictions.as_deref(), scores.as_deref()));
        broken.0.extend(classifier.and_then(|c| problem_of_classifier(&data, &c, predictions.as_deref())));
        broken.0.extend(
            predictions.and_then(|predicted| problem_of_predictions(&data, &predicted, &metrics, &values)),
        );
        broken.unless(again.files == files, || "its files differ when measured twice".into());
        broken.0.extend(SCARCE.iter().filter_map(|scarce| problem_of_counts(probe, scarce)));
    }
}

/// Scores are probabilities, one per prediction.
fn problem_of_scores(predicted: Option<&[u32]>, scores: Option<&[f32]>) -> Option<String> {
    let scores = scores?;
    let (count, of) = (scores.len(), predicted.map_or(0, <[u32]>::len));
    let outside = scores.iter().find(|s| !(0.0..=1.0).contains(*s));
    let count = (count != of).then(|| format!("{count} scores for {of} predictions"));
    count.or(outside.map(|score| format!("a score is {score}, which is no probability")))
}

/// A linear map says what the probe says.
fn problem_of_classifier(
    data: &ProbeData,
    map: &LinearClassifier,
    predicted: Option<&[u32]>,
) -> Option<String> {
    let dim = data.test.dim;
    if data.test.tokens != 1 || map.weight.len() != map.bias.len() * dim || map.bias.len() != data.classes {
        return Some(format!("its linear map is not {} x {dim} (class, dim)", data.classes));
    }
    let logit = |x: &[f32], class: usize| {
        let row = &map.weight[class * dim..(class + 1) * dim];
        map.bias[class] + row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>()
    };
    let says =
        |x: &[f32]| (1..data.classes).fold(0, |best, c| if logit(x, c) > logit(x, best) { c } else { best });
    let wrong =
        (0..data.test.count()).find(|&i| predicted.is_none_or(|p| says(data.test.row(i)) as u32 != p[i]));
    wrong.map(|i| format!("its linear map says something else of test image {i} than the probe"))
}

/// Predictions are one class per image, and those that the accuracy counts.
fn problem_of_predictions(
    data: &ProbeData,
    predicted: &[u32],
    metrics: &[MetricDecl],
    values: &[f64],
) -> Option<String> {
    let labels = data.test.labels;
    if predicted.len() != labels.len() || predicted.iter().any(|&class| class as usize >= data.classes) {
        return Some(format!(
            "predicts {predicted:?} for {} images of {} classes",
            labels.len(),
            data.classes
        ));
    }
    let right = labels.iter().zip(predicted).filter(|(label, class)| label == class).count();
    let share = 100.0 * right as f64 / labels.len() as f64;
    let top1 = metrics.iter().position(|metric| metric.name == "top1").map(|at| values[at]);
    (top1 != Some(share)).then(|| format!("predicts {share} % right, but `top1` is {top1:?}"))
}

/// Training images of every class, and test images, some of them too few for many a probe.
const SCARCE: [(&[usize], usize); 7] = [
    (&[128, 128], 64),
    (&[256, 0], 64),
    (&[256], 64),
    (&[1, 1], 64),
    (&[255, 1], 64),
    (&[2, 2], 2),
    (&[128, 128], 1),
];

/// A probe says beforehand whether it can be fitted to scarce data, and is right.
fn problem_of_counts(probe: &dyn Probe, (counts, tested): &(&[usize], usize)) -> Option<String> {
    let labels: Vec<u32> = (0..).zip(*counts).flat_map(|(c, &n)| std::iter::repeat_n(c, n)).collect();
    let tokens = if probe.needs().tokens { TOKENS } else { 1 };
    let values = |purpose, n: usize| (clusters(purpose, n, tokens).0, n);
    let ((train, n), (test, _)) = (values("laws/train", labels.len()), values("laws/test", *tested));
    let tested: Vec<u32> = (0..*tested).map(|_| labels[0]).collect();
    let all = [n];
    let counted: &[usize] = if probe.uses_labels() { counts } else { &all };
    let seen = ProbeCounts { train: counted, test: tested.len() };
    let data = ProbeData {
        train: Features { dim: DIM, tokens, values: &train, labels: &labels },
        test: Features { dim: DIM, tokens, values: &test, labels: &tested },
        classes: counts.len(),
    };
    let refused = probe.check_data(&seen);
    match probe.measure(&data, &ProbeContext { seed: 5, progress: &|_, _| {} }) {
        Err(error) if refused.is_empty() => Some(format!(
            "`check_data` accepts {counts:?} training and {} test images: {error}",
            tested.len()
        )),
        _ => None,
    }
}

type Labelled = (Vec<f32>, Vec<u32>);

/// Unit Gaussians, three away from the origin along the diagonal on either side.
fn clusters(purpose: &str, count: usize, tokens: usize) -> Labelled {
    let mut stream = Stream::new(0, purpose, 0, 0);
    let labels: Vec<u32> = (0..count).map(|i| (i % CLASSES) as u32).collect();
    let centre = |label: u32| if label == 0 { -3.0 } else { 3.0 };
    let values = labels
        .iter()
        .flat_map(|&l| vec![centre(l); tokens * DIM])
        .map(|c| (c + stream.normal()) as f32)
        .collect();
    (values, labels)
}

fn features((values, labels): &Labelled, tokens: usize) -> Features<'_> {
    Features { dim: DIM, tokens, values, labels }
}
