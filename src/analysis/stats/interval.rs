//! Confidence interval of a mean.

use super::{
    ALPHA,
    describe::{mean, variance},
    distribution::t_quantile,
};

/// A range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// 95 % interval of the mean, `mean ± t(0.975, n - 1) * standard error`: exact for normal values. `grid` is
/// the variance that rounding adds to each value. None for fewer than two values.
pub fn mean_interval(x: &[f64], grid: f64) -> Option<Interval> {
    if x.len() < 2 {
        return None;
    }
    let n = x.len() as f64;
    let half = t_quantile(1.0 - ALPHA / 2.0, n - 1.0) * ((variance(x) + grid) / n).sqrt();
    Some(Interval { low: mean(x) - half, high: mean(x) + half })
}

#[cfg(test)]
mod tests {
    use ijepa_registry::rng::Stream;

    use super::*;

    /// ```python
    /// a = [61.2, 60.4, 62.1, 59.8, 61.7, 60.9]
    /// stats.t.interval(.95, 5, np.mean(a), np.sqrt((np.var(a, ddof=1) + g) / 6))     # g = 0 and .5**2 / 12
    /// ```
    #[test]
    fn the_interval_is_scipys() {
        let a = [61.2, 60.4, 62.1, 59.8, 61.7, 60.9];
        let close = |grid: f64, low: f64, high: f64| {
            let found = mean_interval(&a, grid).expect("six values");
            assert!((found.low - low).abs() < 1e-8 && (found.high - high).abs() < 1e-8, "{found:?}");
        };
        close(0.0, 60.132604078289866, 61.90072925504345);
        close(0.25 / 12.0, 60.11972144757667, 61.913611885756644);
        assert_eq!(mean_interval(&[1.0], 0.0), None);
    }

    /// 95 % intervals of normal values hold the true mean 95 % of the time.
    #[test]
    fn simulated_coverage_is_nominal() {
        for n in [3, 8, 20] {
            let mut stream = Stream::new(1, "coverage", n, 0);
            let mut covers = || {
                let x: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
                mean_interval(&x, 0.0).is_some_and(|i| i.low <= 0.0 && 0.0 <= i.high)
            };
            let share = (0..4000).filter(|_| covers()).count() as f64 / 4000.0;
            assert!((share - 0.95).abs() <= 0.015, "n = {n}: {share}");
        }
    }
}
