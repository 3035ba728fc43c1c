//! Which of the blocks side by side in a feature a classifier is fitted to.

use ijepa_registry::prelude::*;

use super::Linear;

/// What is made of the outputs of several blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Combine {
    /// Side by side.
    #[default]
    Concat,
    /// Their mean.
    Mean,
}

impl Combine {
    /// Whether it is what an experiment means that says nothing.
    pub fn is_default(&self) -> bool {
        *self == Combine::Concat
    }
}

/// The last blocks of those in a feature.
#[derive(Clone, Copy)]
struct Choice {
    /// Blocks in a feature.
    all: usize,
    /// How many of the last.
    last: usize,
    combine: Combine,
}

impl Choice {
    fn is_everything(self) -> bool {
        self.last == self.all && (self.combine == Combine::Concat || self.last == 1)
    }

    /// `(image, all * dim)` to `(image, last * dim)`, or to `(image, dim)` for the mean.
    fn features(self, x: &Features) -> Vec<f32> {
        let width = x.dim / self.all;
        let of = |row: &[f32]| {
            let kept = &row[(self.all - self.last) * width..];
            match self.combine {
                Combine::Concat => kept.to_vec(),
                Combine::Mean => {
                    let sum = |j: usize| kept.iter().skip(j).step_by(width).sum::<f32>();
                    (0..width).map(|j| sum(j) / self.last as f32).collect()
                }
            }
        };
        x.values.chunks_exact(x.dim).flat_map(of).collect()
    }

    /// A classifier of what is chosen, as one of whole features `(image, dim)`.
    fn of_whole(self, classifier: LinearClassifier, dim: usize) -> LinearClassifier {
        let (width, unused) = (dim / self.all, (self.all - self.last) * dim / self.all);
        let classes = classifier.bias.len();
        let row = |row: &[f32]| {
            let kept = match self.combine {
                Combine::Concat => row.to_vec(),
                Combine::Mean => {
                    let share = row.iter().map(|w| w / self.last as f32).collect::<Vec<f32>>();
                    share.repeat(self.last)
                }
            };
            [vec![0.0; unused], kept].concat()
        };
        debug_assert_eq!(classifier.weight.len() % width.max(1), 0);
        let weight =
            classifier.weight.chunks_exact(classifier.weight.len() / classes).flat_map(row).collect();
        LinearClassifier { weight, ..classifier }
    }
}

/// Place of the held-out accuracy among the metrics of a protocol that chooses.
const HELD_OUT: usize = 5;

/// Fits `probe` to the blocks that it names, or to those of its grid that do best on the held-out images (of equals
/// the fewest); the number is the last metric then.
pub(super) fn measure(
    probe: &Linear,
    data: &ProbeData,
    context: &ProbeContext,
) -> Result<Findings, ProbeError> {
    // Pixels and principal components come from no blocks.
    let all = context.layers;
    let mut wanted: Vec<usize> = probe.layer_grid.iter().map(|n| (*n).min(all)).collect();
    if wanted.is_empty() {
        return fit(probe, Choice { all, last: all, combine: probe.combine }, data, context);
    }
    wanted.sort_unstable();
    wanted.dedup();
    let mut best: Option<Findings> = None;
    for last in wanted {
        let mut found = fit(probe, Choice { all, last, combine: probe.combine }, data, context)?;
        found.values.push(last as f64);
        if best.as_ref().is_none_or(|best| found.values[HELD_OUT] > best.values[HELD_OUT]) {
            best = Some(found);
        }
    }
    best.ok_or_else(|| ProbeError("`layer_grid` is empty".into()))
}

fn fit(
    probe: &Linear,
    choice: Choice,
    data: &ProbeData,
    context: &ProbeContext,
) -> Result<Findings, ProbeError> {
    if choice.is_everything() {
        return probe.fit(data, context);
    }
    let [train, test] = [&data.train, &data.test].map(|split| choice.features(split));
    let dim = train.len() / data.train.count();
    let part = ProbeData {
        train: Features { dim, values: &train, ..data.train },
        test: Features { dim, values: &test, ..data.test },
        ..*data
    };
    let mut found = probe.fit(&part, context)?;
    found.classifier = found.classifier.map(|classifier| choice.of_whole(classifier, data.train.dim));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::super::shared::features::tests::blobs;
    use super::*;

    /// Three blocks of four features: the first tells nothing, the second the class, the last half of it.
    fn data(count: usize, part: u64) -> (Vec<f32>, Vec<u32>) {
        let (good, labels) = blobs(count, 4, 4, 0.3, part);
        let (fair, _) = blobs(count, 4, 4, 2.0, part + 10);
        let mut stream = Stream::new(11, "test/blocks", part, 0);
        let rows = good.chunks_exact(4).zip(fair.chunks_exact(4));
        let values = rows.flat_map(|(good, fair)| {
            let nothing: Vec<f32> = (0..4).map(|_| stream.normal() as f32).collect();
            [&nothing[..], good, fair].concat()
        });
        (values.collect(), labels)
    }

    fn measured(probe: &Linear) -> (Vec<f64>, Findings, (Vec<f32>, Vec<u32>)) {
        let (train, test) = (data(400, 0), data(200, 1));
        let of =
            |(values, labels): &'static (Vec<f32>, Vec<u32>)| Features { dim: 12, tokens: 1, values, labels };
        let kept = |set: &(Vec<f32>, Vec<u32>)| -> &'static (Vec<f32>, Vec<u32>) {
            Box::leak(Box::new(set.clone()))
        };
        let data = ProbeData::new(of(kept(&train)), of(kept(&test)), 4);
        let found = probe.measure(&data, &ProbeContext { layers: 3, ..ProbeContext::silent(1) }).unwrap();
        (found.values.clone(), found, test)
    }

    #[test]
    fn the_grid_takes_the_blocks_that_do_best_on_held_out_images() {
        let probe = Linear { layer_grid: vec![3, 1, 2], ..Linear::default() };
        let (values, found, test) = measured(&probe);
        assert_eq!((values.len(), *values.last().unwrap()), (probe.metrics().len(), 2.0));
        assert_eq!(probe.needs().layers, 3);
        let last = measured(&Linear { layer_grid: vec![1], ..Linear::default() }).0;
        assert!(values[0] > last[0] + 5.0, "{values:?} {last:?}");
        // What it hands on predicts from all three blocks what it predicted itself.
        let LinearClassifier { weight, bias } = found.classifier.unwrap();
        let says = |x: &[f32]| {
            let logit =
                |c: usize| bias[c] + weight[c * 12..][..12].iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
            (1..4).fold(0, |best, c| if logit(c) > logit(best) { c } else { best }) as u32
        };
        assert_eq!(test.0.chunks_exact(12).map(says).collect::<Vec<_>>(), found.predictions.unwrap());
    }

    #[test]
    fn the_mean_of_blocks_is_fitted_as_such() {
        let probe = Linear { layers: 3, combine: Combine::Mean, ..Linear::default() };
        let (values, found, (x, labels)) = measured(&probe);
        let mean = |x: &[f32]| (0..4).map(|j| (x[j] + x[4 + j] + x[8 + j]) / 3.0).collect::<Vec<f32>>();
        let train: Vec<f32> = data(400, 0).0.chunks_exact(12).flat_map(mean).collect();
        let test: Vec<f32> = x.chunks_exact(12).flat_map(mean).collect();
        let of = |values, labels| Features { dim: 4, tokens: 1, values, labels };
        let of_train = data(400, 0).1;
        let own = ProbeData::new(of(&train, &of_train), of(&test, &labels), 4);
        let expected = Linear::default().measure(&own, &ProbeContext::silent(1)).unwrap();
        assert_eq!(values, expected.values);
        let (wide, narrow) = (found.classifier.unwrap().weight, expected.classifier.unwrap().weight);
        assert!((0..12).all(|j| wide[j] == narrow[j % 4] / 3.0));
    }
}
