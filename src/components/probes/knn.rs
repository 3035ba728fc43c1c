//! k nearest neighbours: how well the classes of near train images predict those of test images.

use std::sync::atomic::{AtomicU64, Ordering};

use ijepa_registry::prelude::*;
use rayon::prelude::*;

use super::features::{check_labelled, unit_rows};
use super::neighbours::{Bank, Neighbour};
use super::softmax::argmax;

/// Most test images that one task handles: each row of train that they are compared with in full is then
/// read from memory for several of them.
const QUERIES: usize = 512;

/// Test images that one task handles, so that every thread has several.
fn queries_of_a_task(total: usize) -> usize {
    total.div_ceil(8 * rayon::current_num_threads()).clamp(64, QUERIES)
}

/// How much a neighbour's vote counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Weights {
    /// `exp(cosine / temperature)`.
    Temperature,
    /// All neighbours count the same.
    Uniform,
}

/// Settings of `probe: { kind: knn }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Knn {
    /// Number of neighbours (train images).
    #[schemars(range(min = 1, max = 10_000))]
    k: usize,
    /// How much a neighbour's vote counts.
    weights: Weights,
    /// Temperature of the weights (unit of cosine similarity).
    #[schemars(range(min = 1e-4, max = 100.0))]
    temperature: f64,
}

impl Default for Knn {
    fn default() -> Self {
        Knn { k: 20, weights: Weights::Temperature, temperature: 0.07 }
    }
}

component! {
    /// Weighted vote of the k train images with the most similar features.
    ///
    /// Similarity is the cosine; votes are weighted by `exp(cosine / temperature)` as in Wu et al.
    /// 2018 (arXiv 1805.01978) and DINO, with their temperature 0.07. Equally similar images are
    /// taken in the order of train; equal votes go to the lowest class. Nothing is fitted, so
    /// there is nothing to tune and no random number.
    probe "knn" => Knn, example = "{ k: 20, temperature: 0.07 }"
}

impl Knn {
    /// The class that wins the vote of `near` (most similar first), whose classes are in `labels`.
    fn vote(&self, near: &[Neighbour], labels: &[u32], classes: usize) -> usize {
        let mut votes = vec![0.0; classes];
        for &(similarity, row) in near {
            // Relative to the nearest: the same ratios, and no overflow at a small temperature.
            let behind = f64::from(similarity - near[0].0);
            votes[labels[row as usize] as usize] += match self.weights {
                Weights::Temperature => (behind / self.temperature).exp(),
                Weights::Uniform => 1.0,
            };
        }
        argmax(&votes)
    }
}

impl Probe for Knn {
    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.k == 0 {
            problems.push(Problem::new("k", "at least one neighbour is needed"));
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            problems.push(Problem::new("temperature", "must be above 0"));
        }
        problems
    }

    fn metrics(&self) -> Vec<MetricDecl> {
        let meaning = "accuracy on test of the vote of the nearest train images";
        vec![MetricDecl::new("top1", "%", meaning, Direction::Higher).share_of(100.0)]
    }

    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Vec<f64>, ProbeError> {
        check_labelled(data)?;
        if self.k > data.train.count() {
            let (k, n) = (self.k, data.train.count());
            return Err(ProbeError(format!("k is {k} but train has {n} images")));
        }
        let (bank, queries) = (unit_rows(&data.train), unit_rows(&data.test));
        let (dim, total, done) = (data.train.dim, data.test.count() as u64, AtomicU64::new(0));
        let bank = Bank::new(&bank, &queries, dim, self.k);
        let task = queries_of_a_task(data.test.count());
        let correct: usize = queries
            .par_chunks(task * dim)
            .zip(data.test.labels.par_chunks(task))
            .map(|(block, labels)| {
                let vote = |near: &Vec<_>| self.vote(near, data.train.labels, data.classes);
                let near = bank.nearest(block);
                let right = near.iter().zip(labels).filter(|(n, y)| vote(n) == **y as usize).count();
                let before = done.fetch_add(labels.len() as u64, Ordering::Relaxed);
                (context.progress)(before + labels.len() as u64, total);
                right
            })
            .sum();
        Ok(vec![100.0 * correct as f64 / total as f64])
    }
}

#[cfg(test)]
mod tests {
    use super::super::features::tests::{assert_same_in_any_pool, error_of};
    use super::*;

    #[test]
    fn votes_follow_the_weights_and_ties_the_lowest_class() {
        let (near, labels) = ([(0.9, 0), (0.2, 1), (0.1, 2)], [2, 1, 1]);
        assert_eq!(Knn::default().vote(&near, &labels, 3), 2);
        let uniform = Knn { weights: Weights::Uniform, ..Knn::default() };
        assert_eq!((uniform.vote(&near, &labels, 3), uniform.vote(&near[..2], &labels, 3)), (1, 1));
        assert_eq!(Knn { temperature: 1e-4, ..Knn::default() }.vote(&near, &labels, 3), 2);
    }

    #[test]
    fn learns_and_does_not_depend_on_threads() {
        assert!(assert_same_in_any_pool(&Knn::default(), 1200, 40)[0] > 80.0);
    }

    #[test]
    fn unusable_data_is_an_error_that_names_the_cause() {
        let error = |labels: &[u32], classes| error_of(&Knn::default(), &[1.0; 4], labels, classes);
        assert_eq!(error(&[0, 1], 2), "k is 20 but train has 2 images");
        assert!(error(&[1, 1], 2).contains("train has 1 class"));
    }
}
