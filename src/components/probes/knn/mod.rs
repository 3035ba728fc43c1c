//! k nearest neighbours: how well the classes of near train images predict those of test images.

mod search;
mod sketch;
mod unit;

use std::sync::atomic::{AtomicU64, Ordering};

use ijepa_registry::prelude::*;
use rayon::prelude::*;

use super::shared::features::{PooledBy, check_counts, check_labelled, is_one};
use super::shared::scores::{Answer, Tally, accuracy_metrics, majority_rate};
use search::{Bank, Neighbour};

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
    /// Last blocks of the encoder that are looked at, their outputs side by side.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "is_one")]
    layers: usize,
    /// What is made of the tokens of a block.
    #[schemars(extend("x-aliases" = ["pool", "global_pool"]))]
    #[serde(skip_serializing_if = "PooledBy::is_default")]
    pooling: PooledBy,
}

impl Default for Knn {
    fn default() -> Self {
        Knn { k: 20, weights: Weights::Temperature, temperature: 0.07, layers: 1, pooling: PooledBy::Mean }
    }
}

component! {
    /// Weighted vote of the k train images with the most similar features.
    ///
    /// Similarity is the cosine; votes are weighted by `exp(cosine / temperature)` as in Wu et al.
    /// 2018 (arXiv 1805.01978) and DINO, with their temperature 0.07. Equally similar images (cosines in
    /// f64 that differ by no more than its rounding) are taken in the order of train; equal votes go to
    /// the lowest class. Nothing is fitted, so there is nothing to tune and no random number.
    probe "knn" => Knn, example = "{ k: 20, temperature: 0.07 }",
    aliases = ["nearest" => "knn", "nearest_neighbours" => "knn", "nearest_neighbors" => "knn"]
}

impl Knn {
    /// The class that wins the vote of `near` (most similar first), whose classes are in `labels`, and its share of
    /// the votes.
    fn vote(&self, near: &[Neighbour], labels: &[u32], classes: usize) -> Answer {
        let mut votes = vec![0.0; classes];
        for &(similarity, row) in near {
            // Relative to the nearest: the same ratios, and no overflow at a small temperature.
            let behind = similarity - near[0].0;
            votes[labels[row as usize] as usize] += match self.weights {
                Weights::Temperature => (behind / self.temperature).exp(),
                Weights::Uniform => 1.0,
            };
        }
        // Sums of equal votes may differ by their rounding.
        let most = votes.iter().copied().fold(0.0, f64::max) * (1.0 - 1e-12);
        let class = votes.iter().position(|v| *v >= most).unwrap_or(0);
        Answer { class, score: votes[class] / votes.iter().sum::<f64>() }
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

    fn predicts(&self) -> bool {
        true
    }

    fn needs(&self) -> Needs {
        self.pooling.of(self.layers)
    }

    fn check_data(&self, counts: &ProbeCounts) -> Vec<Problem> {
        let images = counts.train_images();
        let few = || Problem::new("k", format!("k is {} but train has {images} images", self.k));
        let problem = check_counts(counts).or_else(|| (self.k > images).then(few));
        problem.into_iter().collect()
    }

    /// Short rows of train with their bounds, or all of them where no few directions say much.
    fn memory(&self, sizes: &ProbeSizes) -> Option<u64> {
        let task = QUERIES * (sizes.dim + 256 + 2 * self.k);
        let short = if sizes.dim < 64 { sizes.dim } else { (sizes.dim / 2).min(129) };
        Some(4 * (sizes.train * (short + 2) + 4 * 2048 * sizes.dim + 16 * task) as u64)
    }

    fn metrics(&self) -> Vec<MetricDecl> {
        accuracy_metrics("accuracy on test of the vote of the nearest train images").to_vec()
    }

    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Findings, ProbeError> {
        check_labelled(data)?;
        if self.k > data.train.count() {
            return Err(ProbeError(format!("k is {} but train has {} images", self.k, data.train.count())));
        }
        let (dim, total, done) = (data.train.dim, data.test.count() as u64, AtomicU64::new(0));
        let bank = Bank::new(data.train.values, data.test.values, dim, self.k);
        let task = queries_of_a_task(data.test.count());
        let blocks = data.test.values.par_chunks(task * dim).zip(data.test.labels.par_chunks(task));
        let judge = |(block, labels): (&[f32], &[u32])| {
            let mut tally = Tally::new(data.classes);
            for (near, &label) in bank.nearest(block).iter().zip(labels) {
                tally.take(label, self.vote(near, data.train.labels, data.classes), 0.0);
            }
            let before = done.fetch_add(labels.len() as u64, Ordering::Relaxed);
            (context.progress)(before + labels.len() as u64, total);
            tally
        };
        let parts: Vec<Tally> = blocks.map(judge).collect();
        let all = parts.iter().fold(Tally::new(data.classes), |all, part| all.and(part));
        let score = all.score();
        let values = vec![score.top1, score.balanced, majority_rate(data)];
        let (predictions, scores) = all.said();
        Ok(Findings::from(values).predicting(predictions).scoring(scores))
    }
}

#[cfg(test)]
mod tests {
    use super::super::shared::features::tests::{assert_same_in_any_pool, error_of};
    use super::*;

    #[test]
    fn votes_follow_the_weights_and_ties_the_lowest_class() {
        let (near, labels) = ([(0.9, 0), (0.2, 1), (0.1, 2)], [2, 1, 1]);
        let vote = |knn: &Knn, near: &[Neighbour]| knn.vote(near, &labels, 3).class;
        assert_eq!(vote(&Knn::default(), &near), 2);
        let uniform = Knn { weights: Weights::Uniform, ..Knn::default() };
        assert_eq!((vote(&uniform, &near), vote(&uniform, &near[..2])), (1, 1));
        assert_eq!(uniform.vote(&near, &labels, 3).score, 2.0 / 3.0);
        assert_eq!(vote(&Knn { temperature: 1e-4, ..Knn::default() }, &near), 2);
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
