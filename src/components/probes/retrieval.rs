//! Probe `retrieval`: how well images of a class find each other.

use ijepa_registry::prelude::*;
use rayon::prelude::*;

use super::shared::features::{PooledBy, check_counts, check_labelled, is_one};
use super::shared::linalg::{Onto, View, matmul};

component! {
    /// Ranks images by the cosine of their features: mean average precision and recall of the same class.
    ///
    /// Every test image is a query. It ranks the gallery, by default the other test images, with `gallery: train` all
    /// training images; an image is relevant if it has the class of the query. Nothing is fitted. With `R` relevant images,
    /// of which the `j`-th stands at rank `r_j`, average precision is `1/R sum_j j / r_j`, and its mean over the queries
    /// is mAP, over the whole ranking (as in Oxford buildings, Philbin et al. 2007, and VOC retrieval). Recall@k is the
    /// share of queries with a relevant image among the first k (Song et al. 2016, arXiv 1511.06452). R-precision counts
    /// the relevant among the first `R` (Musgrave et al. 2020, arXiv 2003.08505, section 3.1). Equal cosines keep the
    /// order of the data set. Queries without a relevant image do not count; a class alone in the gallery is one.
    probe "retrieval" => Retrieval, example = "{ gallery: test }",
    aliases = ["map" => "retrieval", "recall_at_k" => "retrieval"]
}

/// What is ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Gallery {
    /// The other test images.
    Test,
    /// The training images.
    Train,
}

/// Settings of `probe: { kind: retrieval }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Retrieval {
    /// What is ranked.
    gallery: Gallery,
    /// Last blocks of the encoder that are looked at, their outputs side by side.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "is_one")]
    layers: usize,
    /// What is made of the tokens of a block.
    #[schemars(extend("x-aliases" = ["pool", "global_pool"]))]
    #[serde(skip_serializing_if = "PooledBy::is_default")]
    pooling: PooledBy,
}

impl Default for Retrieval {
    fn default() -> Self {
        Retrieval { gallery: Gallery::Test, layers: 1, pooling: PooledBy::Mean }
    }
}

/// Queries of one task.
const QUERIES: usize = 16;
/// The k of recall@k.
const FIRST: [usize; 3] = [1, 5, 10];

impl Probe for Retrieval {
    fn check(&self) -> Vec<Problem> {
        vec![]
    }
    fn check_data(&self, counts: &ProbeCounts) -> Vec<Problem> {
        let alone = self.gallery == Gallery::Test && counts.test < 2;
        let few =
            || Problem::new("gallery", "a single test image has nothing to be ranked").help("allowed: train");
        check_counts(counts).or_else(|| alone.then(few)).into_iter().collect()
    }
    /// Unit rows in f64, and the rankings of all threads.
    fn memory(&self, sizes: &ProbeSizes) -> Option<u64> {
        let gallery = if self.gallery == Gallery::Test { sizes.test } else { sizes.train };
        let rankings = rayon::current_num_threads() * 2 * QUERIES * gallery;
        Some(8 * ((sizes.test + gallery) * sizes.dim + rankings) as u64)
    }
    fn metrics(&self) -> Vec<MetricDecl> {
        let decl = |name, meaning| MetricDecl::new(name, "%", meaning, Direction::Higher);
        vec![
            decl("map", "mean average precision of the ranking by cosine"),
            decl("r_precision", "share of relevant images among the first R, which is their number"),
            decl("recall_at_1", "test images whose nearest image has their class"),
            decl("recall_at_5", "test images with one of their class among the 5 nearest"),
            decl("recall_at_10", "test images with one of their class among the 10 nearest"),
        ]
    }
    fn needs(&self) -> Needs {
        self.pooling.of(self.layers)
    }
    fn measure(&self, data: &ProbeData, context: &ProbeContext) -> Result<Findings, ProbeError> {
        check_labelled(data)?;
        let within = self.gallery == Gallery::Test;
        let gallery = if within { &data.test } else { &data.train };
        let (dim, queries) = (data.test.dim, unit_rows(&data.test));
        let own = if within { Vec::new() } else { unit_rows(gallery) };
        let rows = View::new(if within { &queries } else { &own }, dim);
        let judged = queries.par_chunks(QUERIES * dim).enumerate().map(|(block, some)| {
            let mut cosines = vec![0.0; some.len() / dim * gallery.count()];
            matmul(View::new(some, dim), rows.t(), Onto::Nothing, &mut cosines);
            let rankings = cosines.chunks_exact(gallery.count()).enumerate();
            let judge = |(i, cosines): (usize, &[f64])| {
                let query = block * QUERIES + i;
                judge(cosines, gallery.labels, data.test.labels[query], within.then_some(query))
            };
            rankings.filter_map(judge).collect::<Vec<_>>()
        });
        let judged: Vec<[f64; 5]> = judged.flatten().collect();
        (context.progress)(1, 1);
        let sum = judged.iter().fold([0.0; 5], |sum, one| std::array::from_fn(|m| sum[m] + one[m]));
        Ok(sum.map(|s| 100.0 * s / judged.len().max(1) as f64).to_vec().into())
    }
}

/// Average precision, R-precision and whether something relevant stands among the first, of one ranking without the
/// query itself; none if nothing is relevant.
fn judge(cosines: &[f64], labels: &[u32], label: u32, own: Option<usize>) -> Option<[f64; 5]> {
    let mut ranking: Vec<usize> = (0..labels.len()).filter(|i| Some(*i) != own).collect();
    ranking.sort_by(|&a, &b| cosines[b].total_cmp(&cosines[a]));
    let relevant = ranking.iter().enumerate().filter(|(_, i)| labels[**i] == label);
    let places: Vec<usize> = relevant.map(|(rank, _)| rank + 1).collect();
    let (first, all) = (*places.first()?, places.len());
    let precision: f64 = places.iter().enumerate().map(|(j, r)| (j + 1) as f64 / *r as f64).sum();
    let within = places.iter().filter(|r| **r <= all).count();
    let [a, b, c] = FIRST.map(|k| f64::from(u8::from(first <= k)));
    Some([precision / all as f64, within as f64 / all as f64, a, b, c])
}

/// Features of length 1 in f64; a row of zeros stays.
fn unit_rows(x: &Features) -> Vec<f64> {
    let mut rows: Vec<f64> = x.values.iter().map(|v| f64::from(*v)).collect();
    rows.par_chunks_mut(x.dim).with_min_len(256).for_each(|row| {
        let length = row.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        row.iter_mut().for_each(|v| *v /= length);
    });
    rows
}

#[cfg(test)]
mod tests {
    use super::super::shared::features::tests::{assert_same_in_any_pool, blobs};
    use super::*;

    #[test]
    fn average_precision_of_a_ranking_by_hand() {
        // Relevant at ranks 1, 3 and 4 of 5: (1/1 + 2/3 + 3/4) / 3; two of the first three.
        let found = judge(&[0.9, 0.8, 0.7, 0.6, 0.5], &[1, 0, 1, 1, 0], 1, None).unwrap();
        assert!((found[0] - (1.0 + 2.0 / 3.0 + 0.75) / 3.0).abs() < 1e-15 && found[1] == 2.0 / 3.0);
        assert_eq!(found[2..], [1.0, 1.0, 1.0]);
        // The query itself is left out by its number, not as the nearest; equal cosines keep their order.
        let found = judge(&[1.0, 1.0, 1.0, 0.0], &[0, 1, 0, 0], 0, Some(2)).unwrap();
        assert!((found[0] - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-15 && found[1] == 0.5);
        assert_eq!(judge(&[1.0, 0.5], &[0, 1], 0, Some(0)), None);
    }

    /// Precision at every rank that holds a relevant image, counted anew each time.
    fn slow(data: &ProbeData, within: bool) -> f64 {
        let gallery = if within { data.test } else { data.train };
        let cosine = |a: &[f32], b: &[f32]| {
            let dot = |x: &[f32], y: &[f32]| {
                x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>()
            };
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let of = |q: usize| {
            let others: Vec<usize> = (0..gallery.count()).filter(|i| !(within && *i == q)).collect();
            let above = |i: usize| {
                let mine = cosine(data.test.row(q), gallery.row(i));
                others.iter().filter(move |j| cosine(data.test.row(q), gallery.row(**j)) >= mine)
            };
            let relevant = |i: &usize| gallery.labels[*i] == data.test.labels[q];
            let each = others
                .iter()
                .filter(|i| relevant(i))
                .map(|&i| above(i).filter(|j| relevant(j)).count() as f64 / above(i).count() as f64);
            let each: Vec<f64> = each.collect();
            each.iter().sum::<f64>() / each.len() as f64
        };
        100.0 * (0..data.test.count()).map(of).sum::<f64>() / data.test.count() as f64
    }

    #[test]
    fn equals_the_definition_within_test_and_against_train() {
        let (train, test) = (blobs(90, 6, 4, 1.5, 0), blobs(40, 6, 4, 1.5, 1));
        let data = ProbeData::new(
            Features { dim: 6, tokens: 1, values: &train.0, labels: &train.1 },
            Features { dim: 6, tokens: 1, values: &test.0, labels: &test.1 },
            4,
        );
        for gallery in [Gallery::Test, Gallery::Train] {
            let found = Retrieval { gallery, ..Retrieval::default() }
                .measure(&data, &ProbeContext::silent(0))
                .unwrap()
                .values;
            let slow = slow(&data, gallery == Gallery::Test);
            assert!((found[0] - slow).abs() < 1e-9, "{found:?} instead of {slow}");
            assert!(found[2] <= found[3] && found[3] <= found[4]);
        }
    }

    #[test]
    fn results_are_the_same_in_any_pool() {
        assert!(assert_same_in_any_pool(&Retrieval::default(), 400, 20)[0] > 35.0);
    }
}
