//! Distribution functions: normal, Student's t, noncentral t.

use statrs::distribution::{ChiSquared, Continuous, ContinuousCDF, Gamma, Normal, StudentsT};

fn normal() -> Normal {
    Normal::standard()
}

/// Standard normal distribution function.
pub(super) fn normal_cdf(z: f64) -> f64 {
    normal().cdf(z)
}

/// Student's t with `df` (possibly fractional) degrees of freedom; none unless `df > 0`.
fn student(df: f64) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, df).ok()
}

/// `P(T <= t)`.
pub(super) fn t_cdf(t: f64, df: f64) -> f64 {
    match student(df) {
        _ if t.is_nan() => f64::NAN,
        // The library divides infinities.
        _ if t.is_infinite() => f64::from(t > 0.0),
        Some(student) => student.cdf(t),
        None => f64::NAN,
    }
}

/// The quantile of Student's t.
pub(super) fn t_quantile(p: f64, df: f64) -> f64 {
    student(df).map_or(f64::NAN, |student| student.inverse_cdf(p))
}

/// The quantile of chi-squared with `df` degrees of freedom.
pub(super) fn chi2_quantile(p: f64, df: f64) -> f64 {
    ChiSquared::new(df).map_or(f64::NAN, |chi2| chi2.inverse_cdf(p))
}

/// The shift at which a noncentral t with `df` degrees of freedom is beyond `critical` with probability
/// `power`.
pub(super) fn noncentrality(critical: f64, df: f64, power: f64) -> f64 {
    // Few degrees of freedom: a large critical value, and a shift of several times that.
    let (mut low, mut high) = (0.0, 4.0 * critical + 4.0);
    if !high.is_finite() {
        return f64::NAN;
    }
    while high - low > 1e-7 * high {
        let middle = 0.5 * (low + high);
        if noncentral_t_tails(critical, df, middle) < power { low = middle } else { high = middle }
    }
    high
}

/// `P(|T| > critical)` for T noncentral t with `df` degrees of freedom and noncentrality `shift`:
/// the expectation over the scale `s = sqrt(chi2 / df)` of the normal tails beyond `critical * s`
/// (Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 2, ch. 31).
pub(super) fn noncentral_t_tails(critical: f64, df: f64, shift: f64) -> f64 {
    let Ok(chi2) = Gamma::new(df / 2.0, 0.5) else { return f64::NAN };
    let tails = |s: f64| normal_cdf(shift - critical * s) + normal_cdf(-critical * s - shift);
    // Density of s: that of chi2 = df * s^2 times d chi2 / ds.
    let weight = |s: f64| if s <= 0.0 { 0.0 } else { chi2.pdf(df * s * s) * 2.0 * df * s };
    // s has mean about 1 and standard deviation about 1 / sqrt(2 df), and no tail beyond 9 of them.
    let spread = 9.0 / (2.0 * df).sqrt();
    simpson((1.0 - spread).max(0.0), 1.0 + spread, |s| weight(s) * tails(s))
}

/// Simpson's rule with 400 intervals.
fn simpson(from: f64, to: f64, f: impl Fn(f64) -> f64) -> f64 {
    const INTERVALS: usize = 400;
    let h = (to - from) / INTERVALS as f64;
    let factor = |i: usize| match i {
        0 | INTERVALS => 1.0,
        i if i % 2 == 1 => 4.0,
        _ => 2.0,
    };
    (0..=INTERVALS).map(|i| factor(i) * f(from + i as f64 * h)).sum::<f64>() * h / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ```python
    /// stats.t.cdf(2.5, 3.7), stats.t.ppf(.975, 2.3), stats.chi2.ppf(.2, [5, 4.225])
    /// ```
    #[test]
    fn quantiles_and_probabilities_are_scipys() {
        assert!((t_cdf(2.5, 3.7) - 0.9640889885440866).abs() < 1e-10);
        assert!((t_quantile(0.975, 2.3) - 3.807163208232131).abs() < 1e-7);
        assert!((chi2_quantile(0.2, 5.0) - 2.342534305841121).abs() < 1e-8);
        assert!((chi2_quantile(0.2, 4.225) - 1.8012521997610387).abs() < 1e-8);
        assert_eq!((t_cdf(f64::INFINITY, 3.0), t_cdf(f64::NEG_INFINITY, 3.0)), (1.0, 0.0));
        assert!(t_cdf(1.0, 0.0).is_nan() && t_quantile(0.9, f64::NAN).is_nan());
    }
}
