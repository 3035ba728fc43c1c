//! Confidence intervals of a mean.

use ijepa_registry::rng::Stream;

use super::{
    ALPHA,
    describe::{mean, quantile, sorted, standard_error},
    distribution::{normal_cdf, normal_quantile, t_quantile},
};

/// Resamples of a bootstrap interval.
const RESAMPLES: usize = 10_000;

/// Fewest values for a bootstrap interval. Below, resamples of so few values cannot reach far
/// enough: simulated coverage of a nominal 95 % is 92 % at n = 5 and 94.5 % from n = 8 on.
const FEWEST_FOR_BOOTSTRAP: usize = 8;

/// A range with the method that gave it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// How it was computed.
    pub method: Method,
}

/// How an interval was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Student's t: exact for normal values.
    T,
    /// Bootstrap, bias-corrected and accelerated, widened for small samples.
    Bca,
}

impl Method {
    /// The word in tables.
    pub fn name(self) -> &'static str {
        match self {
            Method::T => "t",
            Method::Bca => "bca",
        }
    }
}

/// 95 % interval of the mean: t for few values, BCa from eight on; none for fewer than two.
pub fn mean_interval(x: &[f64]) -> Option<Interval> {
    match x.len() {
        0 | 1 => None,
        n if n < FEWEST_FOR_BOOTSTRAP => Some(t_interval(x)),
        n => Some(bca(x, expanded_tail(n))),
    }
}

/// `mean ± t(0.975, n - 1) * standard error`.
pub fn t_interval(x: &[f64]) -> Interval {
    let half = t_quantile(1.0 - ALPHA / 2.0, x.len() as f64 - 1.0) * standard_error(x);
    Interval { low: mean(x) - half, high: mean(x) + half, method: Method::T }
}

/// The tail probability that gives a bootstrap interval the width of a t interval: resampling
/// shrinks the spread by `sqrt((n - 1) / n)` and knows no t tails (Hesterberg, "What teachers
/// should know about the bootstrap", The American Statistician 69(4), 2015, section 4).
fn expanded_tail(n: usize) -> f64 {
    let n = n as f64;
    normal_cdf(-(n / (n - 1.0)).sqrt() * t_quantile(1.0 - ALPHA / 2.0, n - 1.0))
}

/// Bias-corrected and accelerated bootstrap interval with `tail` outside at either end (Efron,
/// JASA 82(397), 1987; formulas of Efron and Tibshirani 1993, ch. 14.3). The resamples come from
/// a fixed stream: equal values give equal intervals.
pub fn bca(x: &[f64], tail: f64) -> Interval {
    let (centre, means) = (mean(x), resampled_means(x));
    let below = means.partition_point(|&m| m < centre) + means.partition_point(|&m| m <= centre);
    let bias = normal_quantile(below as f64 / (2 * means.len()) as f64);
    let acceleration = acceleration(x);
    let end = |z: f64| {
        let moved = bias + z;
        quantile(&means, normal_cdf(bias + moved / (1.0 - acceleration * moved)))
    };
    let (low, high) = (end(normal_quantile(tail)), end(-normal_quantile(tail)));
    Interval { low, high, method: Method::Bca }
}

/// Means of the resamples, sorted.
fn resampled_means(x: &[f64]) -> Vec<f64> {
    let mut stream = Stream::new(0, "analysis bootstrap", 0, 0);
    let mut draw = || (0..x.len()).map(|_| x[stream.below(x.len())]).sum::<f64>() / x.len() as f64;
    sorted(&(0..RESAMPLES).map(|_| draw()).collect::<Vec<_>>())
}

/// Skewness of the jackknife; 0 where all values are equal.
fn acceleration(x: &[f64]) -> f64 {
    // The jackknife means differ from their mean by (mean - x_i) / (n - 1); the factor cancels.
    let m = mean(x);
    let power = |p: i32| x.iter().map(|v| (v - m).powi(p)).sum::<f64>();
    let scale = 6.0 * power(2).powf(1.5);
    if scale > 0.0 { power(3) / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Interval, low: f64, high: f64, tolerance: f64) {
        let fits = (found.low - low).abs() < tolerance && (found.high - high).abs() < tolerance;
        assert!(fits, "{found:?}, expected {low} to {high}");
    }

    /// ```python
    /// a = [61.2, 60.4, 62.1, 59.8, 61.7, 60.9]
    /// stats.t.interval(.95, 5, np.mean(a), stats.sem(a))
    /// ```
    #[test]
    fn the_t_interval_is_scipys() {
        let found = t_interval(&[61.2, 60.4, 62.1, 59.8, 61.7, 60.9]);
        close(found, 60.132604078289866, 61.90072925504345, 1e-8);
    }

    /// ```python
    /// y = [61.2, 60.4, 62.1, 59.8, 61.7, 60.9, 62.5, 60.1, 61.0, 63.4]
    /// tail = stats.norm.cdf(-np.sqrt(10 / 9) * stats.t.ppf(.975, 9))            # 0.008550639024
    /// stats.bootstrap((y,), np.mean, n_resamples=10**6, method="BCa")           # 60.71, 62.04
    /// stats.bootstrap(..., confidence_level=1 - 2 * tail)                       # 60.60, 62.21
    /// y = [3.1, 2.7, 4.8, 3.3, 2.9, 3.0, 3.6, 2.8, 7.9, 3.2]                    # 3.12, 5.39
    /// ```
    /// The tolerances are the spread of SciPy's own ends over seeds at 10,000 resamples.
    #[test]
    fn the_bootstrap_interval_is_scipys() {
        let even = [61.2, 60.4, 62.1, 59.8, 61.7, 60.9, 62.5, 60.1, 61.0, 63.4];
        let skewed = [3.1, 2.7, 4.8, 3.3, 2.9, 3.0, 3.6, 2.8, 7.9, 3.2];
        let tail = expanded_tail(10);
        assert!((tail - 0.008550639024406366).abs() < 1e-9);
        close(bca(&even, 0.025), 60.71, 62.04, 0.03);
        close(bca(&even, tail), 60.60, 62.21, 0.04);
        close(bca(&skewed, 0.025), 3.12, 5.39, 0.1);
        assert_eq!(mean_interval(&even), Some(bca(&even, tail)));
    }

    #[test]
    fn few_or_equal_values_have_a_plain_answer() {
        assert_eq!(mean_interval(&[1.0]), None);
        assert_eq!(mean_interval(&[1.0, 2.0, 4.0]).map(|i| i.method), Some(Method::T));
        close(mean_interval(&[0.1; 9]).expect("nine values"), 0.1, 0.1, 1e-12);
    }

    #[test]
    fn intervals_shrink_as_values_repeat() {
        let width = |x: &[f64]| mean_interval(x).map_or(f64::INFINITY, |i| i.high - i.low);
        let once = width(&[1.0, 2.0, 3.0, 4.0]);
        assert!(width(&[1.0, 2.0, 3.0, 4.0].repeat(3)) < once);
    }

    /// 95 % intervals hold the true mean 95 % of the time, t and bootstrap alike.
    #[test]
    fn simulated_coverage_is_nominal() {
        for (n, trials) in [(3, 4000), (8, 1000), (20, 600)] {
            let mut stream = Stream::new(1, "coverage", n as u64, 0);
            let covers = |stream: &mut Stream| {
                let x: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
                mean_interval(&x).is_some_and(|i| i.low <= 0.0 && 0.0 <= i.high)
            };
            let share = (0..trials).filter(|_| covers(&mut stream)).count() as f64 / trials as f64;
            assert!((share - 0.95).abs() <= 0.02, "n = {n}: {share}");
        }
    }
}
