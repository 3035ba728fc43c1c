//! Exact tests and what they can reach.

use super::ALPHA;

/// Most pairs for which all sign patterns are tried (2^12 = 4096).
pub const LARGEST_EXACT: usize = 12;

/// Two-sided exact sign-flip test of "the differences are symmetric about 0": the share of sign
/// patterns whose mean is at least as far from 0 as the observed one (Fisher 1935;
/// `scipy.stats.permutation_test(permutation_type="samples")`). None for no pair or more than
/// [`LARGEST_EXACT`].
pub fn sign_flip(differences: &[f64]) -> Option<f64> {
    let n = differences.len();
    if n == 0 || n > LARGEST_EXACT {
        return None;
    }
    let observed = differences.iter().sum::<f64>().abs();
    // Sums of the same numbers in another sign pattern may differ by rounding only.
    let slack = 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
    let flipped = |pattern: u32| {
        let signed = |(i, d): (usize, &f64)| if pattern >> i & 1 == 1 { -d } else { *d };
        differences.iter().enumerate().map(signed).sum::<f64>().abs()
    };
    let extreme = (0..1u32 << n).filter(|&pattern| flipped(pattern) >= observed - slack).count();
    Some(extreme as f64 / f64::from(1u32 << n))
}

/// Smallest p of a sign-flip test of `pairs` pairs: `2 / 2^pairs`.
pub fn exact_floor_paired(pairs: usize) -> f64 {
    0.5f64.powi(pairs as i32 - 1).min(1.0)
}

/// Smallest p of an exact two-sample permutation test: `2 / C(n + m, n)`.
pub fn exact_floor_unpaired(n: usize, m: usize) -> f64 {
    let choices: f64 = (1..=n).map(|i| (m + i) as f64 / i as f64).product();
    (2.0 / choices).min(1.0)
}

/// Fewest pairs with which a sign-flip test can reach [`ALPHA`] shared by `tests` comparisons: six for one.
pub fn pairs_for_exact(tests: usize) -> usize {
    let reaches = |n: &usize| exact_floor_paired(*n) * tests as f64 <= ALPHA;
    (1..).find(reaches).expect("the floor falls without end")
}

/// Fewest runs per arm with which a permutation test can: four for one.
pub fn runs_for_exact(tests: usize) -> usize {
    let reaches = |n: &usize| exact_floor_unpaired(*n, *n) * tests as f64 <= ALPHA;
    (1..).find(reaches).expect("the floor falls without end")
}

#[cfg(test)]
mod tests {
    use ijepa_registry::rng::Stream;

    use super::*;

    /// ```python
    /// d = np.subtract([62.0, 61.5, 62.0, 61.1, 62.9, 61.3], [61.2, 60.4, 62.1, 59.8, 61.7, 60.9])
    /// stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    /// ```
    #[test]
    fn the_sign_flip_test_is_scipys() {
        assert_eq!(sign_flip(&[0.8, 1.1, -0.1, 1.3, 1.2, 0.4]), Some(0.0625));
        assert_eq!((sign_flip(&[]), sign_flip(&[1.0; 13])), (None, None));
        assert_eq!(sign_flip(&[0.0; 4]), Some(1.0));
    }

    #[test]
    fn floors_say_what_few_seeds_can_show() {
        assert_eq!(sign_flip(&[1.0, 2.0, 3.0]), Some(exact_floor_paired(3)));
        assert_eq!((exact_floor_paired(3), pairs_for_exact(1), pairs_for_exact(4)), (0.25, 6, 8));
        assert_eq!((runs_for_exact(1), runs_for_exact(7)), (4, 6));
        assert!((exact_floor_unpaired(3, 3) - 0.1).abs() < 1e-12);
        assert!((exact_floor_unpaired(4, 4) - 2.0 / 70.0).abs() < 1e-12);
    }

    /// Calling the arms the other way round flips every sign; the order of the seeds is nothing.
    #[test]
    fn relabelling_changes_nothing() {
        let mut stream = Stream::new(0, "permutation", 0, 0);
        for _ in 0..50 {
            let mut d: Vec<f64> = (0..7).map(|_| stream.normal() + 0.4).collect();
            let p = sign_flip(&d);
            let swapped: Vec<f64> = d.iter().map(|x| -x).collect();
            stream.shuffle(&mut d);
            assert_eq!((sign_flip(&swapped), sign_flip(&d)), (p, p));
        }
    }
}
