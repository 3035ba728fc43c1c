//! Probe `my_probe`.

use ijepa_registry::prelude::*;

component! {
    // TODO: say in one sentence what it measures, then where it comes from.
    /// Assigns every test image to the class whose mean training feature is nearest.
    probe "my_probe" => MyProbe, example = "{ power: 1.0 }"
}

/// Settings of `probes: [{ kind: my_probe }]`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "ijepa_registry::serde", deny_unknown_fields, default)]
struct MyProbe {
    // TODO: your settings. Each has a sentence, a range and a default.
    /// Differences of features are raised to this power.
    #[schemars(range(min = 0.5, max = 4.0))]
    power: f64,
}

impl Default for MyProbe {
    fn default() -> Self {
        MyProbe { power: 2.0 }
    }
}

impl MyProbe {
    fn distance(&self, mean: &[f64], feature: &[f32]) -> f64 {
        mean.iter().zip(feature).map(|(m, v)| (m - f64::from(*v)).abs().powf(self.power)).sum()
    }

    /// The class whose mean is nearest; of equally near ones the first.
    fn nearest(&self, means: &[Vec<f64>], feature: &[f32]) -> Option<usize> {
        let distances = means.iter().map(|mean| self.distance(mean, feature));
        distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(class, _)| class)
    }
}

impl Probe for MyProbe {
    fn check(&self) -> Vec<Problem> {
        // TODO: what ranges cannot say.
        vec![]
    }
    // TODO: `check_data` where some data cannot be judged, `needs` for tokens or several layers, `uses_labels`.
    fn metrics(&self) -> Vec<MetricDecl> {
        // TODO: every number with its unit, its meaning and which direction is good.
        vec![MetricDecl::new("top1", "%", "test accuracy", Direction::Higher).share_of(100.0)]
    }
    fn measure(&self, data: &ProbeData, _context: &ProbeContext) -> Result<Findings, ProbeError> {
        // TODO: one value per metric, in order. `Findings::files` may hold pictures.
        let means = class_means(data);
        let right =
            |i: &usize| self.nearest(&means, data.test.row(*i)) == Some(data.test.labels[*i] as usize);
        let count = data.test.count();
        Ok(vec![100.0 * (0..count).filter(right).count() as f64 / count.max(1) as f64].into())
    }
}

/// Mean training feature of every class, `(class, dim)`.
fn class_means(data: &ProbeData) -> Vec<Vec<f64>> {
    let mut sums = vec![vec![0.0; data.train.dim]; data.classes];
    let mut counts = vec![0.0f64; data.classes];
    for (i, &label) in data.train.labels.iter().enumerate() {
        counts[label as usize] += 1.0;
        let sum = sums[label as usize].iter_mut().zip(data.train.row(i));
        sum.for_each(|(s, v)| *s += f64::from(*v));
    }
    for (sum, count) in sums.iter_mut().zip(counts) {
        sum.iter_mut().for_each(|s| *s /= count.max(1.0));
    }
    sums
}
