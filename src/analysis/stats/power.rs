//! How many seeds a difference needs.

use super::{
    ALPHA,
    distribution::{noncentral_t_tails, normal_quantile, t_quantile},
};

/// Which t test is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// Pairs; the effect is d_z.
    Paired,
    /// Two arms of equal size and variance; the effect is in standard deviations.
    Unpaired,
}

/// Power that a plan aims at.
const WANTED: f64 = 0.8;
/// Plans beyond this many seeds are not worth a number.
const MOST: usize = 100_000;

/// Probability that a two-sided t test of `n` pairs (or `n` runs per arm) finds a true effect of
/// `effect` standard deviations. Exact for normal values: noncentral t (Cohen 1988, ch. 2).
pub fn power(design: Design, n: usize, effect: f64) -> f64 {
    let n = n as f64;
    let (df, shift) = match design {
        Design::Paired => (n - 1.0, effect * n.sqrt()),
        Design::Unpaired => (2.0 * n - 2.0, effect * (n / 2.0).sqrt()),
    };
    noncentral_t_tails(t_quantile(1.0 - ALPHA / 2.0, df), df, shift)
}

/// Fewest pairs (or runs per arm) with at least 80 % power; none for no effect or beyond 100,000.
pub fn sample_size(design: Design, effect: f64) -> Option<usize> {
    let groups = if design == Design::Paired { 1.0 } else { 2.0 };
    // A t test needs a little more than a normal test of known variance, where this is the answer.
    let quantiles = normal_quantile(1.0 - ALPHA / 2.0) + normal_quantile(WANTED);
    let least = groups * (quantiles / effect).powi(2);
    if least.is_nan() || least >= MOST as f64 {
        return None;
    }
    (least.max(2.0) as usize..MOST).find(|&n| power(design, n, effect.abs()) >= WANTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ```python
    /// def power(n, d, two):                       # two: unpaired
    ///     df = 2 * n - 2 if two else n - 1; nc = d * np.sqrt(n / 2 if two else n)
    ///     t = stats.t.ppf(.975, df); return stats.nct.sf(t, df, nc) + stats.nct.cdf(-t, df, nc)
    /// ```
    #[test]
    fn power_is_that_of_the_noncentral_t() {
        let golden = [
            (6, 1.0, 0.5068419799585823, 0.34735369727221277),
            (10, 0.5, 0.29317560651407687, 0.1850956562911663),
            (3, 2.0, 0.47074943127843494, 0.462640811891307),
        ];
        for (n, effect, paired, unpaired) in golden {
            assert!((power(Design::Paired, n, effect) - paired).abs() < 1e-6);
            assert!((power(Design::Unpaired, n, effect) - unpaired).abs() < 1e-6);
        }
    }

    /// `next(n for n in range(2, 5000) if power(n, d, two) >= .8)` of the same function.
    #[test]
    fn sample_sizes_are_those_of_scipy() {
        let golden = [(0.2, 199, 394), (0.5, 34, 64), (1.0, 10, 17), (-2.0, 5, 6), (5.0, 3, 3)];
        for (effect, pairs, runs) in golden {
            assert_eq!(sample_size(Design::Paired, effect), Some(pairs), "d = {effect}");
            assert_eq!(sample_size(Design::Unpaired, effect), Some(runs), "d = {effect}");
        }
        assert_eq!(sample_size(Design::Paired, 0.0), None);
        assert_eq!(sample_size(Design::Paired, f64::NAN), None);
    }
}
