//! Laws of probes: two well separated clusters, measured twice.

use super::{
    Broken, KindLaws,
    probed_model::{CLASSES, DIM, Labelled, Toy, points},
};
use crate::prelude::*;

const TOKENS: usize = 4;
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

        let train = clusters("laws/train", TRAIN, probe);
        let test = clusters("laws/test", TEST, probe);
        let (train, test) = (features(&train, probe), features(&test, probe));
        let quantities = [quantity(&train), quantity(&test)];
        let quantities = Quantities { train: &quantities[0], test: &quantities[1] };
        let data = ProbeData { quantities, ..ProbeData::new(train, test, CLASSES) };
        let model = Toy::new(train.labels, test.labels);
        let context = context(probe, &model);
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
    let tested: Vec<u32> = (0..*tested).map(|_| labels[0]).collect();
    let values = |purpose, n: usize| clusters(purpose, n, probe).0;
    let train = (values("laws/train", labels.len()), labels);
    let test = (values("laws/test", tested.len()), tested);
    let all = [train.1.len()];
    let by_class = probe.uses_labels() && !probe.uses_quantities();
    let counted: &[usize] = if by_class { counts } else { &all };
    let seen = ProbeCounts { train: counted, test: test.1.len() };
    let (train, test) = (features(&train, probe), features(&test, probe));
    let quantities = [quantity(&train), quantity(&test)];
    let quantities = Quantities { train: &quantities[0], test: &quantities[1] };
    let data = ProbeData { quantities, ..ProbeData::new(train, test, counts.len()) };
    let refused = probe.check_data(&seen);
    match probe.measure(&data, &context(probe, &Toy::new(train.labels, test.labels))) {
        Err(error) if refused.is_empty() => Some(format!(
            "`check_data` accepts {counts:?} training and {} test images: {error}",
            test.count()
        )),
        _ => None,
    }
}

/// With a model behind the features if the probe asks for it.
fn context<'a>(probe: &dyn Probe, model: &'a Toy) -> ProbeContext<'a> {
    let side = if probe.needs().pooling == Pooling::Tokens { 2 } else { 1 };
    let model = probe.uses_model().then_some(model as &dyn ProbedModel);
    let layers = probe.needs().layers.max(1);
    ProbeContext { layers, grid: Grid { rows: side, cols: side }, model, ..ProbeContext::silent(5) }
}

/// Tokens of an image and their width, as the probe needs them.
fn shape(probe: &dyn Probe) -> (usize, usize) {
    let Needs { layers, pooling } = probe.needs();
    (pooling.rows(TOKENS), if layers == 0 { 0 } else { pooling.widths() * DIM })
}

fn clusters(purpose: &str, count: usize, probe: &dyn Probe) -> Labelled {
    let (tokens, dim) = shape(probe);
    points(purpose, count, tokens * dim)
}

fn features<'a>((values, labels): &'a Labelled, probe: &dyn Probe) -> Features<'a> {
    let (tokens, dim) = shape(probe);
    Features { dim, tokens, values, labels }
}

/// A number that features and labels say something of.
fn quantity(of: &Features) -> Vec<f32> {
    (0..of.count()).map(|i| of.row(i).first().copied().unwrap_or(0.0) + of.labels[i] as f32).collect()
}
