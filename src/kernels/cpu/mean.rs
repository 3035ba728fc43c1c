//! Means of consecutive rows.

/// Means of every `count` rows of `d` values, added in f64 in their order.
pub fn forward(x: &[f32], count: usize, d: usize) -> Vec<f32> {
    x.chunks_exact(count * d).flat_map(|rows| mean(rows, d)).collect()
}

fn mean(rows: &[f32], d: usize) -> Vec<f32> {
    let mut sum = vec![0.0f64; d];
    for row in rows.chunks_exact(d) {
        sum.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
    }
    let count = (rows.len() / d) as f64;
    sum.into_iter().map(|s| (s / count) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::forward;

    #[test]
    fn every_group_has_its_own_mean() {
        assert_eq!(forward(&[1.0, 2.0, 3.0, 6.0, 0.5, 0.0, 0.0, 1.0], 2, 2), [2.0, 4.0, 0.25, 0.5]);
        // 2^24 + 1 is no f32.
        assert_eq!(forward(&[16_777_216.0, 1.0, 1.0, 2.0], 4, 1), [4_194_305.0]);
        assert!(forward(&[], 3, 2).is_empty());
    }
}
