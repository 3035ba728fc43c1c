//! What is computed from features to look at them: projections, neighbours, similarities. Pure functions of
//! numbers; the results are the same for any number of threads.

mod cka;
mod classes;
mod neighbours;
mod pca;
mod scores;
mod tsne;

pub use cka::Kernel;
pub use classes::class_similarity;
pub use neighbours::{Near, nearest};
pub use pca::Pca;
pub use scores::{precision_at, shared_neighbours, silhouette, vote_confusion};
pub use tsne::{PERPLEXITY, embed};

/// Points in rows: `(point, dim)`.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// Values, row after row.
    pub values: &'a [f32],
    /// Width of a row.
    pub dim: usize,
}

impl<'a> Points<'a> {
    /// Rows of width `dim` in `values`.
    pub fn new(values: &'a [f32], dim: usize) -> Self {
        debug_assert!(dim > 0 && values.len().is_multiple_of(dim));
        Points { values, dim }
    }

    /// Number of points.
    pub fn count(self) -> usize {
        self.values.len() / self.dim
    }

    /// Point `i`.
    pub fn row(self, i: usize) -> &'a [f32] {
        &self.values[i * self.dim..(i + 1) * self.dim]
    }

    /// Every point.
    pub fn rows(self) -> impl Iterator<Item = &'a [f32]> {
        self.values.chunks_exact(self.dim)
    }

    /// The points scaled to length 1, in f64; zeros stay.
    fn units(self) -> Vec<Vec<f64>> {
        self.rows().map(|row| unit(row.iter().map(|v| f64::from(*v)).collect())).collect()
    }
}

/// A vector of length 1; zeros stay.
fn unit(mut vector: Vec<f64>) -> Vec<f64> {
    let length = dot(&vector, &vector).sqrt().max(f64::MIN_POSITIVE);
    vector.iter_mut().for_each(|v| *v /= length);
    vector
}

/// `sum_i a_i b_i`, in eight partial sums that a processor adds side by side.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (whole, rest) = (a.chunks_exact(8).zip(b.chunks_exact(8)), a.len() / 8 * 8);
    for (a, b) in whole {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let tail: f64 = a[rest..].iter().zip(&b[rest..]).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + tail
}

#[cfg(test)]
pub(crate) mod tests {
    use ijepa_registry::rng::Stream;

    use super::*;

    /// Numbers about uniform in -1 to 1.
    pub fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut stream = Stream::new(seed, "test", 0, 0);
        (0..count).map(|_| (2.0 * stream.uniform() - 1.0) as f32).collect()
    }

    /// `of` in a pool of one thread and in one of two.
    pub fn in_pools<T: Send>(of: impl Fn() -> T + Sync + Send) -> [T; 2] {
        [1, 2].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(&of))
    }

    #[test]
    fn a_dot_product_takes_every_element_once() {
        for count in [0, 1, 7, 8, 9, 20] {
            let ones = vec![1.0; count];
            assert_eq!(dot(&ones, &ones), count as f64);
        }
        assert_eq!(unit(vec![3.0, 4.0]), [0.6, 0.8]);
        assert_eq!(unit(vec![0.0; 2]), [0.0; 2]);
    }
}
