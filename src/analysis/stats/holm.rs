//! Many comparisons at once.

/// Adjusted p-values: rejecting those at or below the level keeps the chance of any false
/// rejection below it (Holm, Scand. J. Stat. 6(2), 1979). NaN (no test) stays and does not count.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).filter(|&i| !p[i].is_nan()).collect();
    order.sort_by(|&i, &j| p[i].total_cmp(&p[j]));
    let mut adjusted = vec![f64::NAN; p.len()];
    let mut largest: f64 = 0.0;
    for (rank, &i) in order.iter().enumerate() {
        largest = largest.max((p[i] * (order.len() - rank) as f64).min(1.0));
        adjusted[i] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use ijepa_registry::rng::Stream;

    use super::*;

    #[test]
    fn the_textbook_example() {
        let found = holm(&[0.01, 0.04, f64::NAN, 0.03]);
        assert!((found[0] - 0.03).abs() < 1e-12 && (found[3] - 0.06).abs() < 1e-12);
        assert!((found[1] - 0.06).abs() < 1e-12 && found[2].is_nan());
    }

    #[test]
    fn adjusted_is_never_smaller_and_keeps_the_order() {
        let mut stream = Stream::new(0, "holm", 0, 0);
        for n in 1..12 {
            let p: Vec<f64> = (0..n).map(|_| stream.uniform().powi(3)).collect();
            let adjusted = holm(&p);
            for i in 0..n {
                assert!(adjusted[i] >= p[i] && adjusted[i] <= 1.0);
                assert!((0..n).all(|j| p[i] > p[j] || adjusted[i] <= adjusted[j]));
            }
        }
    }
}
