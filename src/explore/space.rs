//! What is computed from the features of a run.

use ijepa_registry::image::Labels;

use super::{look::Look, sample::Sample};
use crate::numerics::{
    Near, PERPLEXITY, Pca, Points, class_similarity, embed, nearest, precision_at, silhouette, vote_confusion,
};

/// Neighbours of which precision is told.
pub(super) const AT: [usize; 3] = [1, 5, 20];

/// Neighbours that vote.
pub(super) const VOTERS: usize = 20;

/// Most classes whose similarity is drawn.
const MOST_CLASSES: usize = 32;

/// Where the features of a run put the images.
pub(super) struct Space {
    /// Coordinates along two principal components.
    pub pca: Vec<[f64; 2]>,
    /// Share of the variance along each, 0 to 1.
    pub shares: Vec<f64>,
    /// Coordinates by t-SNE.
    pub tsne: Vec<[f64; 2]>,
    /// Nearest images of every image.
    pub near: Vec<Vec<Near>>,
    /// How the space agrees with every labelling.
    pub scores: Vec<Scores>,
    /// Cosines between the means of the classes, for labellings of few classes.
    pub similarity: Vec<Option<Vec<Vec<f64>>>>,
    /// What the neighbours of the images of every class say, for the same.
    pub confusion: Vec<Option<Vec<Vec<f64>>>>,
}

/// How neighbours and distances agree with labels.
pub(super) struct Scores {
    /// Name of the labelling.
    pub labels: String,
    /// Share of neighbours with the same label, for every entry of [`AT`].
    pub precision: Vec<Option<f64>>,
    /// The same for neighbours drawn at random.
    pub chance: f64,
    /// Mean silhouette.
    pub silhouette: Option<f64>,
}

impl Space {
    /// Of the features that probes see.
    pub fn of(look: &Look, sample: &Sample) -> Self {
        let features = look.features();
        let points = Points::new(&features, look.dim);
        let pca = Pca::fit(points, 2);
        let near = nearest(points, 3 * PERPLEXITY);
        let flat = |row: &[f32]| {
            let at = pca.project(row);
            [at[0], at.get(1).copied().unwrap_or(0.0)]
        };
        Space {
            pca: points.rows().map(flat).collect(),
            tsne: embed(points, &near),
            scores: sample.labels.iter().map(|labels| scores(points, &near, labels)).collect(),
            similarity: of_few(sample, |l, classes| class_similarity(points, &l.labels, classes)),
            confusion: of_few(sample, |l, classes| vote_confusion(VOTERS, &near, &l.labels, classes)),
            shares: pca.shares,
            near,
        }
    }
}

fn scores(points: Points, near: &[Vec<Near>], labels: &Labels) -> Scores {
    Scores {
        labels: labels.name.clone(),
        precision: AT.iter().map(|&k| precision_at(k, near, &labels.labels)).collect(),
        chance: chance(labels),
        silhouette: silhouette(points, &labels.labels, labels.values.len()),
    }
}

/// Probability that another image, drawn at random, has the label of an image.
fn chance(labels: &Labels) -> f64 {
    let total = labels.labels.len() as f64;
    let count = |value: usize| labels.labels.iter().filter(|l| **l as usize == value).count() as f64;
    let pairs: f64 = (0..labels.values.len()).map(count).map(|n| n * (n - 1.0)).sum();
    if total > 1.0 { pairs / (total * (total - 1.0)) } else { 0.0 }
}

/// A table of every labelling that has few enough values.
fn of_few<T>(sample: &Sample, of: impl Fn(&Labels, usize) -> T) -> Vec<Option<T>> {
    let few = |labels: &Labels| {
        let classes = labels.values.len();
        (2..=MOST_CLASSES).contains(&classes).then(|| of(labels, classes))
    };
    sample.labels.iter().map(few).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_the_share_of_equal_pairs() {
        let labels =
            Labels { name: "class".into(), values: vec![String::new(); 3], labels: vec![0, 0, 1, 1] };
        assert_eq!(chance(&labels), 1.0 / 3.0);
    }
}
