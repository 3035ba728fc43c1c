//! How large and how sure: effect sizes, probability of improvement, variance saved by pairing.

use std::cmp::Ordering;

use super::describe::{mean, std_dev, variance};

/// Mean difference in standard deviations of the differences (Cohen 1988, d_z).
pub fn cohen_dz(differences: &[f64]) -> f64 {
    mean(differences) / std_dev(differences)
}

/// `mean(b) - mean(a)` in pooled standard deviations, with Hedges' correction for small samples
/// `1 - 3 / (4 (n + m - 2) - 1)` (J. Educ. Stat. 6(2), 1981).
pub fn hedges_g(a: &[f64], b: &[f64]) -> f64 {
    let (fa, fb) = (a.len() as f64 - 1.0, b.len() as f64 - 1.0);
    let pooled = ((fa * variance(a) + fb * variance(b)) / (fa + fb)).sqrt();
    (mean(b) - mean(a)) / pooled * (1.0 - 3.0 / (4.0 * (fa + fb) - 1.0))
}

/// Probability that a value of `b` is above one of `a`, ties counting half: Mann-Whitney
/// `U / (n m)` (Agarwal et al., NeurIPS 2021, eq. 3).
pub fn probability_of_improvement(a: &[f64], b: &[f64]) -> f64 {
    let wins: f64 = b.iter().flat_map(|b| a.iter().map(move |a| win(*b, *a))).sum();
    wins / (a.len() * b.len()) as f64
}

/// Share of pairs in which the value of `b` is above that of `a`, ties counting half.
pub fn share_of_pairs_improved(a: &[f64], b: &[f64]) -> f64 {
    mean(&b.iter().zip(a).map(|(b, a)| win(*b, *a)).collect::<Vec<_>>())
}

/// How much of a win `b` has over `a`.
fn win(b: f64, a: f64) -> f64 {
    match b.partial_cmp(&a) {
        Some(Ordering::Greater) => 1.0,
        Some(Ordering::Less) => 0.0,
        _ => 0.5,
    }
}

/// Share of the variance of a difference that equal seeds take away:
/// `1 - var(b - a) / (var a + var b)`, the correlation of the arms if their variances are equal
/// (common random numbers; Law and Kelton, Simulation Modeling and Analysis, ch. 11.2).
pub fn variance_saved(a: &[f64], b: &[f64]) -> f64 {
    let d: Vec<f64> = b.iter().zip(a).map(|(b, a)| b - a).collect();
    1.0 - variance(&d) / (variance(a) + variance(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [f64; 6] = [61.2, 60.4, 62.1, 59.8, 61.7, 60.9];
    const B: [f64; 6] = [62.0, 61.5, 62.0, 61.1, 62.9, 61.3];
    const C: [f64; 4] = [58.9, 61.0, 60.2, 57.5];

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
    }

    /// ```python
    /// d = b - a; d.mean() / d.std(ddof=1)                                       # 1.4455039431425114
    /// sp = np.sqrt((3 * c.var(ddof=1) + 5 * a.var(ddof=1)) / 8)
    /// (c.mean() - a.mean()) / sp * (1 - 3 / (4 * 8 - 1))                        # -1.2680554241072757
    /// stats.mannwhitneyu(c, a).statistic / 24                                   # 0.16666666666666666
    /// 1 - d.var(ddof=1) / (a.var(ddof=1) + b.var(ddof=1))                       # 0.74095854160541
    /// ```
    #[test]
    fn effects_are_scipys() {
        let d: Vec<f64> = B.iter().zip(A).map(|(b, a)| b - a).collect();
        close(cohen_dz(&d), 1.4455039431425114);
        close(hedges_g(&A, &C), -1.2680554241072757);
        close(probability_of_improvement(&A, &C), 1.0 / 6.0);
        close(variance_saved(&A, &B), 0.74095854160541);
        close(share_of_pairs_improved(&A, &B), 5.0 / 6.0);
    }

    #[test]
    fn ties_count_half() {
        assert_eq!(probability_of_improvement(&[1.0, 2.0], &[2.0]), 0.75);
        assert_eq!(share_of_pairs_improved(&[1.0, 1.0], &[1.0, 2.0]), 0.75);
        let broken = f64::NEG_INFINITY;
        assert_eq!(share_of_pairs_improved(&[1.0, broken, broken], &[broken, broken, 0.0]), 0.5);
    }
}
