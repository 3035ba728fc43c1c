//! How well neighbours agree with labels, and two sets of neighbours with each other.

use super::{Near, Points, dot};

/// Mean share of the first `k` neighbours of a point that have its label, 0 to 1 (precision@k). None without
/// a neighbour.
pub fn precision_at(k: usize, near: &[Vec<Near>], labels: &[u32]) -> Option<f64> {
    let share = |(near, label): (&Vec<Near>, &u32)| {
        let few = &near[..near.len().min(k)];
        let same = few.iter().filter(|n| labels[n.point] == *label).count();
        (!few.is_empty()).then(|| same as f64 / few.len() as f64)
    };
    mean(near.iter().zip(labels).filter_map(share))
}

/// Mean share of the first `k` neighbours of a point that two sets of neighbours have in common, 0 to 1.
pub fn shared_neighbours(k: usize, a: &[Vec<Near>], b: &[Vec<Near>]) -> Option<f64> {
    let share = |(a, b): (&Vec<Near>, &Vec<Near>)| {
        let (a, b) = (&a[..a.len().min(k)], &b[..b.len().min(k)]);
        let both = a.iter().filter(|n| b.iter().any(|m| m.point == n.point)).count();
        (!a.is_empty()).then(|| both as f64 / a.len() as f64)
    };
    mean(a.iter().zip(b).filter_map(share))
}

/// What the first `k` neighbours of the points of every class say, by the most frequent label among them (equal ones:
/// the lowest): shares `(class, voted class)`, 0 to 1. A class without points has zeros.
pub fn vote_confusion(k: usize, near: &[Vec<Near>], labels: &[u32], classes: usize) -> Vec<Vec<f64>> {
    let mut confusion = vec![vec![0.0; classes]; classes];
    for (near, &label) in near.iter().zip(labels).filter(|(near, _)| !near.is_empty()) {
        let mut votes = vec![0usize; classes];
        near.iter().take(k).for_each(|n| votes[labels[n.point] as usize] += 1);
        let most = votes.iter().max().copied().unwrap_or(0);
        let voted = votes.iter().position(|v| *v == most).unwrap_or(0);
        confusion[label as usize][voted] += 1.0;
    }
    for row in &mut confusion {
        let sum = row.iter().sum::<f64>().max(1.0);
        row.iter_mut().for_each(|share| *share /= sum);
    }
    confusion
}

/// Mean silhouette of all points in cosine distance `d(x, y) = 1 - cos(x, y)` (Rousseeuw 1987):
///
/// ```text
/// s(i) = (b - a) / max(a, b)    a: mean distance to the others of its class
///                               b: smallest mean distance to another class
/// ```
///
/// A point that is alone in its class counts 0. None with fewer than two classes. Mean distances to a class come
/// from the sum of its unit vectors, so that no distance between two points is computed.
pub fn silhouette(points: Points, labels: &[u32], classes: usize) -> Option<f64> {
    let units = points.units();
    let mut sums = vec![vec![0.0; points.dim]; classes];
    let mut counts = vec![0usize; classes];
    for (unit, &label) in units.iter().zip(labels) {
        counts[label as usize] += 1;
        sums[label as usize].iter_mut().zip(unit).for_each(|(s, v)| *s += v);
    }
    if counts.iter().filter(|n| **n > 0).count() < 2 {
        return None;
    }
    let of = |(x, &label): (&Vec<f64>, &u32)| {
        let own = label as usize;
        if counts[own] < 2 {
            return 0.0;
        }
        let a = 1.0 - (dot(x, &sums[own]) - dot(x, x)) / (counts[own] - 1) as f64;
        let others = (0..classes).filter(|c| *c != own && counts[*c] > 0);
        let b = others.map(|c| 1.0 - dot(x, &sums[c]) / counts[c] as f64).fold(f64::INFINITY, f64::min);
        (b - a) / a.max(b).max(f64::MIN_POSITIVE)
    };
    mean(units.iter().zip(labels).map(of))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::super::{nearest, tests::noise};
    use super::*;

    /// The definition, distance by distance.
    fn slow_silhouette(values: &[f32], dim: usize, labels: &[u32], classes: u32) -> f64 {
        let units = Points::new(values, dim).units();
        let distance =
            |i: usize, j: usize| 1.0 - units[i].iter().zip(&units[j]).map(|(a, b)| a * b).sum::<f64>();
        let of = |i: usize| {
            let to = |class: u32| {
                let all: Vec<f64> = (0..labels.len())
                    .filter(|j| *j != i && labels[*j] == class)
                    .map(|j| distance(i, j))
                    .collect();
                all.iter().sum::<f64>() / all.len() as f64
            };
            let a = to(labels[i]);
            let b = (0..classes).filter(|c| *c != labels[i]).map(to).fold(f64::INFINITY, f64::min);
            (b - a) / a.max(b)
        };
        (0..labels.len()).map(of).sum::<f64>() / labels.len() as f64
    }

    #[test]
    fn silhouette_is_that_of_the_definition() {
        let values = noise(40 * 4, 5);
        let labels: Vec<u32> = (0..40).map(|i| i % 3).collect();
        let found = silhouette(Points::new(&values, 4), &labels, 3).unwrap();
        assert!((found - slow_silhouette(&values, 4, &labels, 3)).abs() < 1e-12);
    }

    #[test]
    fn silhouette_by_hand() {
        // Two directions at right angles, every point in its own: a = 0, b = 1, so s = 1. One class: none.
        let points = Points::new(&[1.0, 0.0, 2.0, 0.0, 0.0, 1.0, 0.0, 5.0], 2);
        assert_eq!(silhouette(points, &[0, 0, 1, 1], 2), Some(1.0));
        assert_eq!(silhouette(points, &[0, 0, 0, 0], 2), None);
        // Points that are alone in their class count 0.
        assert_eq!(silhouette(points, &[0, 0, 1, 2], 3).map(|s| (s * 4.0).round()), Some(2.0));
    }

    #[test]
    fn precision_by_hand() {
        let near = nearest(Points::new(&[1.0, 0.0, 1.0, 0.1, 0.0, 1.0, 0.1, 1.0], 2), 2);
        assert_eq!(precision_at(1, &near, &[0, 0, 1, 1]), Some(1.0));
        assert_eq!(precision_at(2, &near, &[0, 0, 1, 1]), Some(0.5));
        assert_eq!(precision_at(1, &near, &[0, 1, 0, 1]), Some(0.0));
        assert_eq!(precision_at(1, &[vec![]], &[0]), None);
        assert_eq!(shared_neighbours(2, &near, &near), Some(1.0));
    }

    #[test]
    fn votes_are_counted_by_class_and_equal_ones_go_to_the_lowest() {
        let near = nearest(Points::new(&[1.0, 0.0, 1.0, 0.1, 0.0, 1.0, 0.1, 1.0], 2), 2);
        assert_eq!(vote_confusion(1, &near, &[0, 0, 1, 1], 2), [[1.0, 0.0], [0.0, 1.0]]);
        assert_eq!(vote_confusion(1, &near, &[0, 2, 2, 0], 3), [[0.0, 0.0, 1.0], [0.0; 3], [1.0, 0.0, 0.0]]);
        // One vote each: class 0 wins.
        assert_eq!(vote_confusion(2, &near, &[1, 0, 1, 0], 2)[1], [1.0, 0.0]);
    }
}
