//! How alike classes are.

use super::{Points, dot, unit};

/// Cosines between the means of the classes around the mean of all points: `c_a . c_b` with
/// `c_a = (mean_a - mean) / |mean_a - mean|`, row by row. 1 on the diagonal; a class without points has zeros.
pub fn class_similarity(points: Points, labels: &[u32], classes: usize) -> Vec<Vec<f64>> {
    let mut mean = vec![0.0; points.dim];
    let mut sums = vec![vec![0.0; points.dim]; classes];
    let mut counts = vec![0.0f64; classes];
    for (row, &label) in points.rows().zip(labels) {
        counts[label as usize] += 1.0;
        let sum = &mut sums[label as usize];
        for ((sum, mean), value) in sum.iter_mut().zip(&mut mean).zip(row) {
            *sum += f64::from(*value);
            *mean += f64::from(*value);
        }
    }
    let count = labels.len().max(1) as f64;
    let centre = |(sum, n): (Vec<f64>, f64)| {
        let around = |(s, m): (f64, &f64)| if n > 0.0 { s / n - m / count } else { 0.0 };
        unit(sum.into_iter().zip(&mean).map(around).collect())
    };
    let centres: Vec<Vec<f64>> = sums.into_iter().zip(counts).map(centre).collect();
    centres.iter().map(|a| centres.iter().map(|b| dot(a, b).clamp(-1.0, 1.0)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opposite_classes_have_cosine_minus_one_and_an_absent_class_zero() {
        let points = Points::new(&[3.0, 1.0, 5.0, 1.0, -4.0, 1.0, -4.0, 1.0], 2);
        let found = class_similarity(points, &[0, 0, 2, 2], 3);
        assert_eq!(found, [[1.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 1.0]]);
    }
}
