//! The difference of two means: estimate, interval, test, equivalence.

use super::{
    ALPHA,
    describe::{mean, standard_error, variance},
    distribution::{t_cdf, t_quantile},
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

/// Mean of `b[i] - a[i]` (paired t).
pub fn paired(a: &[f64], b: &[f64]) -> Difference {
    let d: Vec<f64> = b.iter().zip(a).map(|(b, a)| b - a).collect();
    Difference { estimate: mean(&d), standard_error: standard_error(&d), df: d.len() as f64 - 1.0 }
}

/// `mean(b) - mean(a)` with unequal variances (Welch, Biometrika 34, 1947; degrees of freedom of
/// Satterthwaite 1946).
pub fn welch(a: &[f64], b: &[f64]) -> Difference {
    let share = |x: &[f64]| variance(x) / x.len() as f64;
    let (va, vb) = (share(a), share(b));
    let freedom = |v: f64, x: &[f64]| v * v / (x.len() as f64 - 1.0);
    let df = (va + vb).powi(2) / (freedom(va, a) + freedom(vb, b));
    // Two constant samples: any degrees of freedom give the same (degenerate) answer.
    let df = if va + vb == 0.0 { (a.len() + b.len() - 2) as f64 } else { df };
    Difference { estimate: mean(b) - mean(a), standard_error: (va + vb).sqrt(), df }
}

impl Difference {
    /// The difference in standard errors from `value`; 0/0 counts as no difference.
    fn t_from(&self, value: f64) -> f64 {
        let distance = self.estimate - value;
        if distance == 0.0 && self.standard_error == 0.0 { 0.0 } else { distance / self.standard_error }
    }

    /// Two-sided p of "the means are equal".
    pub fn p(&self) -> f64 {
        2.0 * t_cdf(-self.t_from(0.0).abs(), self.df)
    }

    /// 95 % t interval.
    pub fn interval(&self) -> (f64, f64) {
        let half = t_quantile(1.0 - ALPHA / 2.0, self.df) * self.standard_error;
        (self.estimate - half, self.estimate + half)
    }

    /// p of "the means differ by `margin` or more": the larger one of two one-sided tests
    /// (Schuirmann, J. Pharmacokinet. Biopharm. 15, 1987).
    pub fn equivalence_p(&self, margin: f64) -> f64 {
        let above_low = t_cdf(-self.t_from(-margin), self.df);
        let below_high = t_cdf(self.t_from(margin), self.df);
        above_low.max(below_high)
    }
}

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
        let found = paired(&A, &B);
        close(found.t_from(0.0), 3.5407470818802205);
        close(found.p(), 0.016549421588586008);
        close(found.interval().0, 0.21463345408473344);
        close(found.interval().1, 1.3520332125819319);
        close(found.equivalence_p(1.5), 0.011482193192675976);
    }

    /// ```python
    /// c = [58.9, 61.0, 60.2, 57.5]
    /// t = stats.ttest_ind(c, a, equal_var=False); t.statistic, t.pvalue, t.df, t.confidence_interval()
    /// ```
    #[test]
    fn welch_is_scipys() {
        let found = welch(&A, &C);
        close(found.t_from(0.0), -1.9232256953466735);
        close(found.p(), 0.12300221475463279);
        close(found.df, 4.225025381942804);
        close(found.interval().0, -3.902336289460656);
        close(found.interval().1, 0.6690029561273501);
    }

    #[test]
    fn constant_samples_are_equal_or_certainly_different() {
        let same = welch(&[1.0, 1.0], &[1.0, 1.0, 1.0]);
        assert_eq!((same.p(), same.equivalence_p(0.1), same.interval()), (1.0, 0.0, (0.0, 0.0)));
        assert_eq!(paired(&[1.0, 2.0], &[2.0, 3.0]).p(), 0.0);
        assert!(welch(&[1.0], &[1.0, 2.0]).p().is_nan());
    }
}
