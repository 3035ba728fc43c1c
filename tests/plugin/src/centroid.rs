//! Probe `nearest_centroid`.

use ijepa_registry::prelude::*;

component! {
    /// Assigns every test image to the class whose mean training feature is nearest.
    probe "nearest_centroid" => NearestCentroid, example = "{}"
}

/// Settings of `kind: nearest_centroid` (none).
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "ijepa_registry::serde", deny_unknown_fields)]
struct NearestCentroid {}

impl Probe for NearestCentroid {
    fn check(&self) -> Vec<Problem> {
        vec![]
    }

    fn metrics(&self) -> Vec<MetricDecl> {
        vec![MetricDecl::new("top1", "%", "test accuracy", Direction::Higher).share_of(100.0)]
    }

    fn measure(&self, data: &ProbeData, _context: &ProbeContext) -> Result<Findings, ProbeError> {
        let centroids = centroids(data);
        let right = |&i: &usize| nearest(&centroids, data.test.row(i)) == data.test.labels[i] as usize;
        let count = data.test.count();
        Ok(vec![100.0 * (0..count).filter(right).count() as f64 / count.max(1) as f64].into())
    }
}

/// Mean training feature of every class, `(class, dim)`.
fn centroids(data: &ProbeData) -> Vec<Vec<f64>> {
    let mut sums = vec![vec![0.0; data.train.dim]; data.classes];
    let mut counts = vec![0.0f64; data.classes];
    for (i, &label) in data.train.labels.iter().enumerate() {
        counts[label as usize] += 1.0;
        let sum = &mut sums[label as usize];
        sum.iter_mut().zip(data.train.row(i)).for_each(|(s, v)| *s += f64::from(*v));
    }
    for (sum, count) in sums.iter_mut().zip(counts) {
        sum.iter_mut().for_each(|s| *s /= count.max(1.0));
    }
    sums
}

fn nearest(centroids: &[Vec<f64>], feature: &[f32]) -> usize {
    let distance =
        |c: &Vec<f64>| -> f64 { c.iter().zip(feature).map(|(c, v)| (c - f64::from(*v)).powi(2)).sum() };
    let best =
        (0..centroids.len()).min_by(|&a, &b| distance(&centroids[a]).total_cmp(&distance(&centroids[b])));
    best.unwrap_or(0)
}
