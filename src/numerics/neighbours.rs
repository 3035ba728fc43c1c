//! Nearest neighbours by cosine.

use rayon::prelude::*;

use super::{Points, dot};

/// A neighbour: its cosine and which point it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// Cosine of the angle between the two.
    pub cosine: f64,
    /// Number of the point.
    pub point: usize,
}

/// The `k` other points with the largest cosine to each point, the nearest first; equally near ones in the
/// order of the points. Fewer where there are no more.
pub fn nearest(points: Points, k: usize) -> Vec<Vec<Near>> {
    let units = points.units();
    (0..units.len()).into_par_iter().map(|i| nearest_to(&units, i, k)).collect()
}

fn nearest_to(units: &[Vec<f64>], i: usize, k: usize) -> Vec<Near> {
    let others = (0..units.len()).filter(|j| *j != i);
    let mut near: Vec<Near> =
        others.map(|point| Near { cosine: dot(&units[i], &units[point]), point }).collect();
    let order = |a: &Near, b: &Near| b.cosine.total_cmp(&a.cosine).then(a.point.cmp(&b.point));
    if k > 0 && near.len() > k {
        near.select_nth_unstable_by(k - 1, order);
    }
    near.truncate(k);
    near.sort_by(order);
    near
}

#[cfg(test)]
mod tests {
    use super::super::tests::{in_pools, noise};
    use super::*;

    #[test]
    fn neighbours_are_those_of_a_full_sort_and_never_the_point_itself() {
        let values = noise(60 * 5, 3);
        let points = Points::new(&values, 5);
        let [one, two] = in_pools(|| nearest(points, 7));
        assert_eq!(one, two);
        let cosine = |a: &[f32], b: &[f32]| {
            let sum = |a: &[f32], b: &[f32]| {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
            };
            sum(a, b) / (sum(a, a) * sum(b, b)).sqrt()
        };
        for (i, near) in one.iter().enumerate() {
            let mut all: Vec<usize> = (0..60).filter(|j| *j != i).collect();
            all.sort_by(|a, b| {
                let of = |j: &usize| cosine(points.row(i), points.row(*j));
                of(b).total_cmp(&of(a))
            });
            assert_eq!(near.iter().map(|n| n.point).collect::<Vec<_>>(), all[..7]);
        }
    }

    #[test]
    fn equal_points_come_in_their_order_and_few_points_have_few_neighbours() {
        let near = nearest(Points::new(&[1.0, 0.0, 2.0, 0.0, 3.0, 0.0], 2), 10);
        assert_eq!(near[1].iter().map(|n| n.point).collect::<Vec<_>>(), [0, 2]);
        assert!(nearest(Points::new(&[1.0, 0.0], 2), 3)[0].is_empty());
    }
}
