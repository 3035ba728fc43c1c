//! The difference of two means: estimate, interval, test, equivalence.

use super::{
    describe::{mean, variance},
    distribution::{chi2_quantile, noncentrality, t_cdf, t_quantile},
};

/// An estimated difference with what its t distribution needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Second mean minus first mean.
    pub estimate: f64,
    /// Standard error of the estimate.
    pub standard_error: f64,
    /// Degrees of freedom.
    pub df: f64,
}

/// Mean of `b[i] - a[i]` (paired t). `grid` is the variance that rounding adds to each value: both values
/// of a pair have it.
pub fn paired(a: &[f64], b: &[f64], grid: f64) -> Difference {
    let d: Vec<f64> = b.iter().zip(a).map(|(b, a)| b - a).collect();
    let n = d.len() as f64;
    let standard_error = ((variance(&d) + 2.0 * grid) / n).sqrt();
    Difference { estimate: mean(&d), standard_error, df: n - 1.0 }
}

/// `mean(b) - mean(a)` with unequal variances (Welch, Biometrika 34, 1947; degrees of freedom of
/// Satterthwaite 1946). `grid` is the variance that rounding adds to each value.
pub fn welch(a: &[f64], b: &[f64], grid: f64) -> Difference {
    let share = |x: &[f64]| (variance(x) + grid) / x.len() as f64;
    let (va, vb) = (share(a), share(b));
    let freedom = |v: f64, x: &[f64]| v * v / (x.len() as f64 - 1.0);
    let df = (va + vb).powi(2) / (freedom(va, a) + freedom(vb, b));
    Difference { estimate: mean(b) - mean(a), standard_error: (va + vb).sqrt(), df }
}

/// Whether values differ by more than the rounding of a sum.
pub fn has_spread(x: &[f64]) -> bool {
    let size = x.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    x.iter().any(|v| (v - x[0]).abs() > 1e-9 * size)
}

impl Difference {
    /// What there is where there is nothing to compute.
    pub const NONE: Difference = Difference { estimate: f64::NAN, standard_error: f64::NAN, df: f64::NAN };

    /// The difference in standard errors from `value`.
    fn t_from(&self, value: f64) -> f64 {
        (self.estimate - value) / self.standard_error
    }

    /// Two-sided p of "the means are equal".
    pub fn p(&self) -> f64 {
        2.0 * t_cdf(-self.t_from(0.0).abs(), self.df)
    }

    /// t interval that misses the difference with probability `level`.
    pub fn interval(&self, level: f64) -> (f64, f64) {
        let half = t_quantile(1.0 - level / 2.0, self.df) * self.standard_error;
        (self.estimate - half, self.estimate + half)
    }

    /// p of "the means differ by `margin` or more": the larger one of two one-sided tests
    /// (Schuirmann, J. Pharmacokinet. Biopharm. 15, 1987).
    pub fn equivalence_p(&self, margin: f64) -> f64 {
        let above_low = t_cdf(-self.t_from(-margin), self.df);
        let below_high = t_cdf(self.t_from(margin), self.df);
        above_low.max(below_high)
    }

    /// The smallest true difference that as many runs find with a power of 80 %, with a test at `level`. The
    /// standard error is known from a few runs only: its upper 80 % bound is taken.
    pub fn detectable(&self, level: f64) -> f64 {
        let bound = self.standard_error * (self.df / chi2_quantile(0.2, self.df)).sqrt();
        bound * noncentrality(t_quantile(1.0 - level / 2.0, self.df), self.df, POWER)
    }
}

/// Power that a detectable difference is found with.
const POWER: f64 = 0.8;

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const A: [f64; 6] = [61.2, 60.4, 62.1, 59.8, 61.7, 60.9];
    pub(crate) const B: [f64; 6] = [62.0, 61.5, 62.0, 61.1, 62.9, 61.3];
    const C: [f64; 4] = [58.9, 61.0, 60.2, 57.5];

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-8, "{found}, expected {expected}");
    }

    /// ```python
    /// a = [61.2, 60.4, 62.1, 59.8, 61.7, 60.9]; b = [62.0, 61.5, 62.0, 61.1, 62.9, 61.3]
    /// t = stats.ttest_rel(b, a); t.statistic, t.pvalue, t.confidence_interval()
    /// d = np.subtract(b, a); s = stats.sem(d)
    /// max(stats.t.sf((d.mean() + 1.5) / s, 5), stats.t.cdf((d.mean() - 1.5) / s, 5))
    /// ```
    #[test]
    fn paired_t_and_equivalence_are_scipys() {
        let found = paired(&A, &B, 0.0);
        close(found.t_from(0.0), 3.5407470818802205);
        close(found.p(), 0.016549421588586008);
        close(found.interval(0.05).0, 0.21463345408473344);
        close(found.interval(0.05).1, 1.3520332125819319);
        close(found.equivalence_p(1.5), 0.011482193192675976);
    }

    /// ```python
    /// c = [58.9, 61.0, 60.2, 57.5]
    /// t = stats.ttest_ind(c, a, equal_var=False); t.statistic, t.pvalue, t.df, t.confidence_interval()
    /// ```
    #[test]
    fn welch_is_scipys() {
        let found = welch(&A, &C, 0.0);
        close(found.t_from(0.0), -1.9232256953466735);
        close(found.p(), 0.12300221475463279);
        close(found.df, 4.225025381942804);
        close(found.interval(0.05).0, -3.902336289460656);
        close(found.interval(0.05).1, 0.6690029561273501);
    }

    /// ```python
    /// g = .5**2 / 12; se = np.sqrt((d.var(ddof=1) + 2 * g) / 6); 2 * stats.t.sf(d.mean() / se, 5)
    /// d.mean() - stats.t.ppf(1 - .05 / 6, 5) * se
    /// ```
    #[test]
    fn the_grid_of_the_values_adds_its_variance() {
        let grid = 0.25 / 12.0;
        let found = paired(&A, &B, grid);
        close(found.standard_error, 0.23640830968662896);
        close(found.p(), 0.021159393641575566);
        close(found.interval(0.05 / 3.0).0, -0.05215980445852875);
        let found = welch(&A, &C, grid);
        close(found.standard_error, 0.8457491747951444);
        close(found.df, 4.249689710835447);
        close(found.p(), 0.12432533233043241);
    }

    /// ```python
    /// def detectable(se, df, level):
    ///     bound = se * np.sqrt(df / stats.chi2.ppf(.2, df)); t = stats.t.ppf(1 - level / 2, df)
    ///     return optimize.brentq(lambda l: stats.nct.sf(t, df, l) - .8, .5, 60) * bound
    /// ```
    #[test]
    fn the_smallest_detectable_difference_is_that_of_the_noncentral_t() {
        let golden = [
            (1.0, 2.0, 0.05, 11.968077743948783),
            (0.5, 5.0, 0.05, 2.5668585208974757),
            (0.25, 7.0, 0.0125, 1.4654988493601264),
            (1.3, 4.225, 0.05, 7.350581284284124),
            (1.0, 19.0, 0.05, 3.4762927509601402),
        ];
        for (standard_error, df, level, expected) in golden {
            let found = Difference { estimate: 0.0, standard_error, df }.detectable(level);
            assert!((found / expected - 1.0).abs() < 1e-5, "{found}, expected {expected}");
        }
        assert!(Difference::NONE.detectable(0.05).is_nan());
    }

    #[test]
    fn spread_is_more_than_rounding() {
        let thirds: Vec<f64> = [0.1, 0.2, 0.3].iter().map(|x| x + 0.3 - x).collect();
        assert!(
            !has_spread(&thirds) && !has_spread(&[]) && !has_spread(&[0.0; 3]) && has_spread(&[1.0, 1.001])
        );
        assert!(welch(&[1.0], &[1.0, 2.0], 0.0).p().is_nan());
    }
}
