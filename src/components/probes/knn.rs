//! k nearest neighbours: how well the classes of near train images predict those of test images.

use std::sync::atomic::{AtomicU64, Ordering};

use ijepa_registry::prelude::*;
use rayon::prelude::*;

use super::dense::{Onto, View, matmul};
use super::features::{check_labelled, unit_rows};
use super::softmax::argmax;

/// Test images that one task handles.
const QUERIES: usize = 128;
/// Train images compared at once: their similarities to a block of queries stay in cache.
const BANK: usize = 1024;
/// Similarities looked at together when nearly all are too small.
const LANES: usize = 16;

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

/// A neighbour: similarity and class.
type Neighbour = (f32, u32);

impl Knn {
    /// The class that wins the vote of `near` (most similar first).
    fn vote(&self, near: &[Neighbour], classes: usize) -> usize {
        let mut votes = vec![0.0; classes];
        for &(similarity, class) in near {
            // Relative to the nearest: the same ratios, and no overflow at a small temperature.
            let behind = f64::from(similarity - near[0].0);
            votes[class as usize] += match self.weights {
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
        vec![MetricDecl { name: "top1", unit: "%", meaning, better: Better::Higher }]
    }

    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Vec<f64>, ProbeError> {
        check_labelled(data)?;
        if self.k > data.train.count() {
            let (k, n) = (self.k, data.train.count());
            return Err(ProbeError(format!("k is {k} but train has {n} images")));
        }
        let (bank, queries) = (unit_rows(&data.train), unit_rows(&data.test));
        let (dim, total, done) = (data.train.dim, data.test.count() as u64, AtomicU64::new(0));
        let correct: usize = queries
            .par_chunks(QUERIES * dim)
            .zip(data.test.labels.par_chunks(QUERIES))
            .map(|(block, labels)| {
                let near = nearest(block, &bank, data.train.labels, dim, self.k);
                let right =
                    near.iter().zip(labels).filter(|(n, y)| self.vote(n, data.classes) == **y as usize);
                let right = right.count();
                let before = done.fetch_add(labels.len() as u64, Ordering::Relaxed);
                (context.progress)(before + labels.len() as u64, total);
                right
            })
            .sum();
        Ok(vec![100.0 * correct as f64 / total as f64])
    }
}

/// The `k` nearest of the bank for every query of a block, most similar first.
fn nearest(block: &[f32], bank: &[f32], classes: &[u32], dim: usize, k: usize) -> Vec<Vec<Neighbour>> {
    let block = View::new(block, dim);
    let mut near = vec![Vec::with_capacity(k + 1); block.shape().0];
    let mut space = vec![0.0; near.len() * BANK];
    for (bank, classes) in bank.chunks(BANK * dim).zip(classes.chunks(BANK)) {
        let similarities = &mut space[..near.len() * classes.len()];
        matmul(block, View::new(bank, dim).t(), Onto::Nothing, similarities);
        for (row, near) in similarities.chunks_exact(classes.len()).zip(&mut near) {
            keep_nearest(near, row, classes, k);
        }
    }
    near
}

/// Merges more of the bank into the `k` nearest so far; of equals, those met first stay.
fn keep_nearest(near: &mut Vec<Neighbour>, similarities: &[f32], classes: &[u32], k: usize) {
    let bar = |near: &[Neighbour]| if near.len() < k { f32::NEG_INFINITY } else { near[k - 1].0 };
    let mut least = bar(near);
    for (lanes, classes) in similarities.chunks(LANES).zip(classes.chunks(LANES)) {
        if !lanes.iter().fold(false, |any, &s| any | (s > least)) {
            continue;
        }
        for (&s, &class) in lanes.iter().zip(classes) {
            if s > least {
                let place = near.partition_point(|n| n.0 >= s);
                near.insert(place, (s, class));
                near.truncate(k);
                least = bar(near);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::features::tests::{assert_same_in_any_pool, blobs, error_of};
    use super::*;

    #[test]
    fn neighbours_equal_a_full_sort() {
        let (dim, k) = (7, 30);
        let ((bank, classes), (queries, _)) = (blobs(3000, dim, 5, 1.0, 0), blobs(9, dim, 5, 1.0, 1));
        let found = nearest(&queries, &bank, &classes, dim, k);
        for (query, near) in queries.chunks_exact(dim).zip(found) {
            let dot = |row: &[f32]| row.iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
            let mut all: Vec<_> = bank.chunks_exact(dim).map(dot).zip(classes.iter().copied()).collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            assert!(near.iter().zip(&all).all(|(a, b)| a.1 == b.1 && (a.0 - b.0).abs() < 1e-4));
            assert_eq!(near.len(), k);
        }
    }

    #[test]
    fn equally_similar_images_are_taken_in_order() {
        // 2,500 copies of one image across several blocks; classes tell which were taken.
        let bank: Vec<f32> = (0..2500).flat_map(|_| [0.6, 0.8, 0.0]).collect();
        let classes: Vec<u32> = (0..2500).collect();
        let near = nearest(&[0.6, 0.8, 0.0], &bank, &classes, 3, 6);
        assert!(near[0].iter().map(|n| n.1).eq(0..6));
    }

    #[test]
    fn votes_follow_the_weights_and_ties_the_lowest_class() {
        let near = [(0.9, 2), (0.2, 1), (0.1, 1)];
        assert_eq!(Knn::default().vote(&near, 3), 2);
        let uniform = Knn { weights: Weights::Uniform, ..Knn::default() };
        assert_eq!((uniform.vote(&near, 3), uniform.vote(&near[..2], 3)), (1, 1));
        assert_eq!(Knn { temperature: 1e-4, ..Knn::default() }.vote(&near, 3), 2);
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
