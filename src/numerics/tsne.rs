//! t-SNE: points in the plane whose neighbours are those of the features.

use bhtsne::{Neighbor, tSNE};

use super::{Near, Pca, Points};

/// About how many neighbours a point listens to.
pub const PERPLEXITY: usize = 30;

/// Standard deviation of the first coordinate of the start.
const START: f64 = 1e-4;

/// How coarsely distant points are taken together: 0 would be exact, the usual value is 0.5.
const THETA: f32 = 0.5;

/// Coordinates of every point: t-SNE (van der Maaten and Hinton 2008) by Barnes and Hut's tree (van der Maaten 2014),
/// started from two principal components (Kobak and Berens 2019). `near` holds the neighbours of every point, at
/// least `3 * PERPLEXITY` of them where there are so many. Fewer than four points have no neighbourhood: they get
/// their principal components.
pub fn embed(points: Points, near: &[Vec<Near>]) -> Vec<[f64; 2]> {
    let start = start(points);
    let count = points.count();
    if count < 4 {
        return start;
    }
    let perplexity = PERPLEXITY.min((count - 1) / 3);
    let neighbours: Vec<Vec<Neighbor<f32>>> =
        near.iter().map(|near| near.iter().take(3 * perplexity).map(distance).collect()).collect();
    let start: Vec<f32> = start.into_iter().flatten().map(|v| v as f32).collect();
    let rows: Vec<&[f32]> = points.rows().collect();
    let fit = || {
        let mut tsne: tSNE<f32, &[f32]> = tSNE::new(&rows);
        tsne.perplexity(perplexity as f32)
            .initial_embedding(start)
            .barnes_hut_with_neighbors(THETA, &neighbours);
        tsne.embedding()
    };
    // The library adds forces in an order that depends on its threads: with one of them it is always the same.
    let embedding = match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(alone) => alone.install(fit),
        Err(_) => fit(),
    };
    embedding.chunks_exact(2).map(|p| [f64::from(p[0]), f64::from(p[1])]).collect()
}

/// Euclidean distance of the unit vectors, `|a - b|^2 = 2 - 2 cos(a, b)`.
fn distance(near: &Near) -> Neighbor<f32> {
    Neighbor { index: near.point, distance: (2.0 - 2.0 * near.cosine).max(0.0).sqrt() as f32 }
}

fn start(points: Points) -> Vec<[f64; 2]> {
    let pca = Pca::fit(points, 2);
    let projected: Vec<[f64; 2]> = points
        .rows()
        .map(|row| {
            let at = pca.project(row);
            [at[0], at.get(1).copied().unwrap_or(0.0)]
        })
        .collect();
    let variance = projected.iter().map(|p| p[0] * p[0]).sum::<f64>() / projected.len().max(1) as f64;
    let scale = START / variance.sqrt().max(f64::MIN_POSITIVE);
    projected.into_iter().map(|p| p.map(|v| v * scale)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{
        nearest, precision_at,
        tests::{in_pools, noise},
    };
    use super::*;

    #[test]
    fn clusters_stay_together_and_the_numbers_are_the_same_in_any_pool() {
        let mut values = noise(120 * 6, 11);
        values.chunks_exact_mut(6).enumerate().for_each(|(i, row)| row[i % 3] += 4.0);
        let labels: Vec<u32> = (0..120).map(|i| i % 3).collect();
        let points = Points::new(&values, 6);
        let [one, two] = in_pools(|| embed(points, &nearest(points, 3 * PERPLEXITY)));
        assert_eq!(one, two);
        let centre: [f64; 2] = [0, 1].map(|j| one.iter().map(|p| p[j]).sum::<f64>() / 120.0);
        let flat: Vec<f32> = one.iter().flat_map(|p| [0, 1].map(|j| (p[j] - centre[j]) as f32)).collect();
        let near = nearest(Points::new(&flat, 2), 5);
        assert!(precision_at(5, &near, &labels).unwrap() > 0.95);
    }

    #[test]
    fn few_points_have_coordinates_too() {
        for count in 1..8 {
            let values = noise(count * 3, 12);
            let points = Points::new(&values, 3);
            let found = embed(points, &nearest(points, 90));
            assert!(
                found.len() == count && found.iter().flatten().all(|v| v.is_finite()),
                "{count}: {found:?}"
            );
        }
    }
}
