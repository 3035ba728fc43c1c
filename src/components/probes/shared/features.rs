//! What probes ask of features, and what they do to them first.

use ijepa_registry::prelude::*;
use rayon::prelude::*;

/// Why nothing can be chosen.
pub(crate) const NOTHING_TO_HOLD_OUT: &str = "nothing to hold out: every class has a single image in train";

/// Rows that are summed by one task: fixed, so that sums do not depend on the thread count.
const ROWS: usize = 2048;

/// Refuses data that no labelled probe can be fitted to.
pub(crate) fn check_labelled(data: &ProbeData) -> Result<(), ProbeError> {
    check_split(&data.train, "train")?;
    check_split(&data.test, "test")?;
    if data.train.dim != data.test.dim {
        let (train, test) = (data.train.dim, data.test.dim);
        return Err(ProbeError(format!("train features have {train} values and test features {test}")));
    }
    check_classes(data)
}

/// Refuses labels that no labelled probe can be fitted to, whatever the features.
pub(crate) fn check_classes(data: &ProbeData) -> Result<(), ProbeError> {
    check_labels(&data.train, data.classes, "train")?;
    check_labels(&data.test, data.classes, "test")?;
    let mut counts = vec![0; data.classes];
    data.train.labels.iter().for_each(|&y| counts[y as usize] += 1);
    let counts = ProbeCounts { train: &counts, test: data.test.count() };
    check_counts(&counts).map_or(Ok(()), |problem| Err(ProbeError(problem.message)))
}

/// Why no labelled probe can be fitted to so many images.
pub(crate) fn check_counts(counts: &ProbeCounts) -> Option<Problem> {
    let filled = counts.train.iter().filter(|&&n| n > 0).count();
    if filled < 2 {
        let classes = if filled == 1 { "1 class".into() } else { format!("{filled} classes") };
        let help = "write `probes: []`, or a probe without labels such as `rankme`";
        return Some(
            Problem::new("", format!("train has {classes}; a classifier needs two or more")).help(help),
        );
    }
    if counts.test == 0 {
        return Some(Problem::new("", "there are no test images to judge it on"));
    }
    let empty = counts.train.iter().position(|&n| n == 0)?;
    Some(Problem::new("", format!("class {empty} of {} has no image in train", counts.train.len())))
}

/// Refuses an empty split, a wrong number of values, and values that are not finite.
pub(crate) fn check_split(split: &Features, name: &str) -> Result<(), ProbeError> {
    let (count, dim, values) = (split.count(), split.tokens * split.dim, split.values.len());
    if count == 0 || dim == 0 {
        return Err(ProbeError(format!("the {name} split is empty ({count} images of {dim} values)")));
    }
    if values != count * dim {
        return Err(ProbeError(format!("{name}: {values} values for {count} images of {dim} values")));
    }
    match split.values.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(ProbeError(format!(
            "{name} feature of image {} is not finite: value {} of {dim} is {}",
            i / dim,
            i % dim,
            split.values[i]
        ))),
        None => Ok(()),
    }
}

fn check_labels(split: &Features, classes: usize, name: &str) -> Result<(), ProbeError> {
    match split.labels.iter().position(|&y| y as usize >= classes) {
        Some(i) => {
            let label = split.labels[i];
            Err(ProbeError(format!("{name} label of image {i} is {label}; there are {classes} classes")))
        }
        None => Ok(()),
    }
}

/// Shift and scale per feature: mean 0 and standard deviation 1 on the split it was fitted to.
#[derive(Clone, Debug)]
pub(crate) struct Standardiser {
    /// What is taken away from every feature.
    pub mean: Vec<f64>,
    /// What it is multiplied by then.
    pub scale: Vec<f64>,
}

impl Standardiser {
    /// Mean and (biased) standard deviation of every feature. A constant feature is set to 0.
    pub fn fit(x: &Features) -> Self {
        let n = (x.values.len() / x.dim) as f64;
        let mean: Vec<f64> = sums(x, |_, v| v).iter().map(|s| s / n).collect();
        let square = sums(x, |j, v| (v - mean[j]) * (v - mean[j]));
        let scale = square.iter().zip(&mean).map(|(s, m)| {
            let std = (s / n).sqrt();
            // Rounding of the f32 features alone varies by about 1e-7 of their size.
            if std > 1e-7 * m.abs() { 1.0 / std } else { 0.0 }
        });
        Standardiser { scale: scale.collect(), mean }
    }
    /// Writes a standardised row to `out`.
    pub fn row(&self, x: &[f32], out: &mut [f32]) {
        for (((out, v), m), s) in out.iter_mut().zip(x).zip(&self.mean).zip(&self.scale) {
            *out = ((f64::from(*v) - m) * s) as f32;
        }
    }
}

/// Sum over images, or over all their tokens, of `term(feature number, value)`, per feature.
pub(crate) fn sums(x: &Features, term: impl Fn(usize, f64) -> f64 + Sync) -> Vec<f64> {
    let partial = |rows: &[f32]| {
        let mut sum = vec![0.0; x.dim];
        for row in rows.chunks_exact(x.dim) {
            for (j, (s, v)) in sum.iter_mut().zip(row).enumerate() {
                *s += term(j, f64::from(*v));
            }
        }
        sum
    };
    let parts: Vec<Vec<f64>> = x.values.par_chunks(ROWS * x.dim).map(partial).collect();
    parts.into_iter().fold(vec![0.0; x.dim], |mut all, part| {
        all.iter_mut().zip(part).for_each(|(a, p)| *a += p);
        all
    })
}

/// Images that are judged, for a probe that no labels are asked of: a spread needs two.
pub(crate) fn check_two_tested(counts: &ProbeCounts) -> Vec<Problem> {
    let few = || Problem::new("", format!("test has {} image(s); two or more are needed", counts.test));
    (counts.test < 2).then(few).into_iter().collect()
}

/// Copy of the values with every row scaled to length 1; a row of zeros stays.
pub(crate) fn unit_rows(x: &Features) -> Vec<f32> {
    let mut out = x.values.to_vec();
    out.par_chunks_mut(x.dim).with_min_len(256).for_each(|row| {
        let square: f64 = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        let scale = 1.0 / square.sqrt().max(f64::MIN_POSITIVE);
        row.iter_mut().for_each(|v| *v = (f64::from(*v) * scale) as f32);
    });
    out
}

/// Splits image numbers into (rest, held out), the same `fraction` of every class; both sorted.
pub(crate) fn hold_out(
    labels: &[u32],
    classes: usize,
    fraction: f64,
    mut stream: Stream,
) -> (Vec<u32>, Vec<u32>) {
    let mut members = vec![Vec::new(); classes];
    (0..).zip(labels).for_each(|(i, &y)| members[y as usize].push(i));
    let (mut rest, mut held) = (Vec::new(), Vec::new());
    for mut class in members {
        stream.shuffle(&mut class);
        // At least one image on either side, where there are two.
        let most = class.len().saturating_sub(1);
        let take = ((class.len() as f64 * fraction).round() as usize).max(1).min(most);
        held.extend(class.drain(..take));
        rest.append(&mut class);
    }
    rest.sort_unstable();
    held.sort_unstable();
    (rest, held)
}

/// What a probe makes of the tokens of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PooledBy {
    /// The mean of the patches.
    #[default]
    Mean,
    /// The class token (for an encoder with one; controls without an encoder keep their mean).
    ClassToken,
    /// The class token and the mean of the patches, side by side.
    ClassAndMean,
}

impl PooledBy {
    /// Whether it is what an experiment means that says nothing.
    pub fn is_default(&self) -> bool {
        *self == PooledBy::Mean
    }

    /// Of so many of the last blocks.
    pub fn of(self, layers: usize) -> Needs {
        let pooling = match self {
            PooledBy::Mean => Pooling::Mean,
            PooledBy::ClassToken => Pooling::ClassToken,
            PooledBy::ClassAndMean => Pooling::ClassAndMean,
        };
        Needs { layers, pooling }
    }
}

/// What a setting `layers` is if it is left out: it then is no part of what a row says of its probe.
pub fn is_one(layers: &usize) -> bool {
    *layers == 1
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Gaussian classes around random centres, as (values, labels).
    pub fn blobs(n: usize, dim: usize, classes: usize, spread: f64, part: u64) -> (Vec<f32>, Vec<u32>) {
        let mut centre = Stream::new(1, "test/centre", 0, 0);
        let centres: Vec<f64> = (0..classes * dim).map(|_| centre.normal()).collect();
        let mut noise = Stream::new(1, "test/noise", part, 0);
        let labels: Vec<u32> = (0..n).map(|i| (i % classes) as u32).collect();
        let value = |i: usize, s: &mut Stream| (centres[i] + spread * s.normal()) as f32;
        let values = labels
            .iter()
            .flat_map(|&y| (0..dim).map(move |j| y as usize * dim + j))
            .map(|i| value(i, &mut noise));
        (values.collect(), labels)
    }

    /// Runs `probe` on blobs in pools of 1, 2 and 3 threads and expects the same bits.
    pub fn assert_same_in_any_pool(probe: &dyn Probe, n: usize, dim: usize) -> Vec<f64> {
        let (train, test) = (blobs(n, dim, 4, 2.0, 0), blobs(n / 4, dim, 4, 2.0, 1));
        let data = ProbeData::new(
            Features { dim, tokens: 1, values: &train.0, labels: &train.1 },
            Features { dim, tokens: 1, values: &test.0, labels: &test.1 },
            4,
        );
        let in_pool = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| probe.measure(&data, &ProbeContext::silent(3))).unwrap().values
        };
        let first = in_pool(1);
        assert_eq!(first.len(), probe.metrics().len());
        assert!([2, 3].iter().all(|&n| in_pool(n) == first), "results depend on the number of threads");
        first
    }

    /// The error for labelled data with these parts.
    pub fn error_of(probe: &dyn Probe, values: &[f32], labels: &[u32], classes: usize) -> String {
        let split = Features { dim: 2, tokens: 1, values, labels };
        let data = ProbeData::new(split, split, classes);
        probe.measure(&data, &ProbeContext::silent(0)).unwrap_err().to_string()
    }

    #[test]
    fn standardised_features_have_mean_0_and_std_1() {
        let (mut values, labels) = blobs(5000, 3, 2, 2.0, 0);
        values.chunks_exact_mut(3).for_each(|row| row[1] = 0.1);
        let x = Features { dim: 3, tokens: 1, values: &values, labels: &labels };
        let (fitted, mut out) = (Standardiser::fit(&x), vec![0.0; values.len()]);
        values.chunks_exact(3).zip(out.chunks_exact_mut(3)).for_each(|(x, out)| fitted.row(x, out));
        let again = Standardiser::fit(&Features { dim: 3, tokens: 1, values: &out, labels: &labels });
        assert!(again.mean.iter().all(|m| m.abs() < 1e-6));
        assert!((again.scale[0] - 1.0).abs() < 1e-6 && out.chunks_exact(3).all(|row| row[1] == 0.0));
    }

    #[test]
    fn the_held_out_part_is_stratified_and_disjoint() {
        let labels: Vec<u32> = (0..1000).map(|i| u32::from(i % 10 == 0)).chain([2, 2, 3]).collect();
        let (rest, held) = hold_out(&labels, 4, 0.1, Stream::new(0, "t", 0, 0));
        let count = |rows: &[u32], class| rows.iter().filter(|&&i| labels[i as usize] == class).count();
        assert_eq!([0, 1, 2, 3].map(|c| count(&held, c)), [90, 10, 1, 0]);
        assert_eq!(count(&rest, 3), 1);
        let mut all = [rest, held].concat();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..1003));
    }

    #[test]
    fn unusable_data_is_an_error_that_names_the_cause() {
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, f32::NAN];
        let error = |labels: &[u32], classes, n| {
            let split = Features { dim: 2, tokens: 1, values: &x[..n], labels };
            check_labelled(&ProbeData::new(split, split, classes)).unwrap_err().to_string()
        };
        assert!(error(&[0, 1, 0], 2, 6).contains("image 2 is not finite: value 1 of 2 is NaN"));
        assert!(error(&[0, 0], 2, 4).contains("train has 1 class"));
        assert!(error(&[0, 2], 3, 4).contains("class 1 of 3 has no image"));
        assert!(error(&[0, 7], 3, 4).contains("label of image 1 is 7"));
        assert!(error(&[], 2, 0).contains("empty"));
        assert!(error(&[0, 1], 2, 3).contains("3 values for 2 images"));
    }
}
