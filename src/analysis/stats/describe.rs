//! Location and spread.

/// Arithmetic mean; NaN of nothing.
pub fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// Unbiased variance (divisor n - 1); NaN for fewer than two values.
pub fn variance(x: &[f64]) -> f64 {
    if x.len() < 2 {
        return f64::NAN;
    }
    let m = mean(x);
    x.iter().map(|v| (v - m).powi(2)).sum::<f64>() / (x.len() - 1) as f64
}

/// Standard deviation with divisor n - 1.
pub fn std_dev(x: &[f64]) -> f64 {
    variance(x).sqrt()
}

/// Standard error of the mean.
pub fn standard_error(x: &[f64]) -> f64 {
    std_dev(x) / (x.len() as f64).sqrt()
}

/// Middle value, or the mean of the two in the middle.
pub fn median(x: &[f64]) -> f64 {
    let sorted = sorted(x);
    match sorted.len() {
        0 => f64::NAN,
        n => (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
    }
}

/// Interquartile mean: the mean without the lowest and the highest `floor(n / 4)` values (Agarwal
/// et al., NeurIPS 2021; `scipy.stats.trim_mean(x, 0.25)`).
pub fn iqm(x: &[f64]) -> f64 {
    let cut = x.len() / 4;
    mean(&sorted(x)[cut..x.len() - cut])
}

fn sorted(x: &[f64]) -> Vec<f64> {
    let mut sorted = x.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ```python
    /// stats.trim_mean([61.2, 60.4, 62.1, 59.8, 61.7, 60.9], .25)       # 61.05
    /// stats.trim_mean([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], .25)          # 3.857142857142857
    /// ```
    #[test]
    fn the_interquartile_mean_is_scipys() {
        assert!((iqm(&[61.2, 60.4, 62.1, 59.8, 61.7, 60.9]) - 61.05).abs() < 1e-12);
        let digits = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0, 5.0];
        assert!((iqm(&digits) - 3.857142857142857).abs() < 1e-12);
        assert_eq!(iqm(&[1.0, 2.0, 30.0]), 11.0);
    }

    #[test]
    fn few_values_have_no_spread_but_a_middle() {
        assert!(variance(&[1.0]).is_nan() && median(&[]).is_nan() && mean(&[]).is_nan());
        assert_eq!((median(&[3.0, 1.0]), median(&[5.0, 1.0, 2.0])), (2.0, 2.0));
        assert_eq!(std_dev(&[1.0, 3.0]), 2.0f64.sqrt());
    }
}
