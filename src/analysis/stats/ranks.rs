//! Exact rank tests in which a run that broke down is worse than any value (worst-rank score analysis:
//! Lachin, "Worst-rank score analysis with informatively missing observations in clinical trials",
//! Controlled Clinical Trials 20(5), 1999).

use super::distribution::normal_cdf;

/// Most pairs, and most runs of both arms together, whose permutations are counted one by one; beyond, the
/// normal approximation differs in the third digit.
const MOST_COUNTED: usize = 120;

/// What a rank test found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankTest {
    /// Two-sided p-value.
    pub p: f64,
    /// Whether the ranks of the second arm (or of the positive differences) are above the middle (1),
    /// below (-1), or neither (0).
    pub lean: f64,
}

/// Signed-rank test of "the differences are symmetric about 0". A difference may be infinite: one side of
/// the pair broke down. Equal sizes share their mean rank, zeros take the lowest ranks and then leave
/// (Pratt, JASA 54(287), 1959); all sign patterns of the others are equally likely. None without pairs.
pub fn signed_rank(differences: &[f64]) -> Option<RankTest> {
    if differences.is_empty() {
        return None;
    }
    let sizes: Vec<f64> = differences.iter().map(|d| d.abs()).collect();
    let ranks = doubled_midranks(&sizes);
    let counted = || ranks.iter().zip(differences).filter(|(_, d)| **d != 0.0);
    let ranks: Vec<usize> = counted().map(|(rank, _)| *rank).collect();
    let above: usize = counted().filter(|(_, d)| **d > 0.0).map(|(rank, _)| *rank).sum();
    let centre = ranks.iter().sum::<usize>() as f64 / 2.0;
    let p = if ranks.len() > MOST_COUNTED {
        let variance = ranks.iter().map(|r| (r * r) as f64).sum::<f64>() / 4.0;
        normal_p(above as f64 - centre, variance)
    } else {
        two_sided(&sign_sums(&ranks), above, centre)
    };
    Some(RankTest { p, lean: lean(above, centre) })
}

/// Chance of every sum of a random half of `ranks`: each is in it or not, like the sign of a difference.
fn sign_sums(ranks: &[usize]) -> Vec<f64> {
    let mut chances = vec![0.0; ranks.iter().sum::<usize>() + 1];
    chances[0] = 1.0;
    for &rank in ranks {
        for sum in (0..chances.len()).rev() {
            let with = if sum >= rank { chances[sum - rank] } else { 0.0 };
            chances[sum] = 0.5 * (chances[sum] + with);
        }
    }
    chances
}

/// Rank-sum test of "both arms have one distribution" (Wilcoxon 1945, Mann and Whitney 1947), by all ways
/// to choose which ranks are those of `b`; equal values share their mean rank. Values may be infinite: runs
/// that broke down. None if an arm is empty.
pub fn rank_sum(a: &[f64], b: &[f64]) -> Option<RankTest> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let all: Vec<f64> = a.iter().chain(b).copied().collect();
    let ranks = doubled_midranks(&all);
    let observed: usize = ranks[a.len()..].iter().sum();
    let (n, few) = (all.len() as f64, a.len().min(b.len()));
    let centre = b.len() as f64 * (n + 1.0);
    let p = if all.len() > MOST_COUNTED {
        let spread = ranks.iter().map(|r| (*r as f64 - n - 1.0).powi(2)).sum::<f64>() / (n - 1.0);
        normal_p(observed as f64 - centre, (a.len() * b.len()) as f64 / n * spread)
    } else {
        // The sum of the smaller arm is as far from its centre, and has fewer subsets.
        let of_few: usize = if few == b.len() { observed } else { ranks[..few].iter().sum() };
        two_sided(&subset_sums(&ranks, few), of_few, few as f64 * (n + 1.0))
    };
    Some(RankTest { p, lean: lean(observed, centre) })
}

fn lean(observed: usize, centre: f64) -> f64 {
    let distance = observed as f64 - centre;
    if distance == 0.0 { 0.0 } else { distance.signum() }
}

/// Chance of every sum of `few` of `ranks`, drawn without replacement.
fn subset_sums(ranks: &[usize], few: usize) -> Vec<f64> {
    let mut ranks = ranks.to_vec();
    ranks.sort_unstable();
    let most = |of: usize, count: usize| ranks[of - count..of].iter().sum::<usize>();
    let width = most(ranks.len(), few) + 1;
    // counts[k][s]: subsets of k of the ranks so far whose sum is s.
    let mut counts = vec![vec![0.0f64; width]; few + 1];
    counts[0][0] = 1.0;
    for (i, &rank) in ranks.iter().enumerate() {
        // Fewer than `least` cannot become `few` with the ranks that are left.
        let least = few.saturating_sub(ranks.len() - i - 1).max(1);
        for k in (least..=few.min(i + 1)).rev() {
            let (less, more) = counts.split_at_mut(k);
            let reached = most(i, k - 1) + 1;
            more[0][rank..].iter_mut().zip(&less[k - 1][..reached]).for_each(|(to, from)| *to += from);
        }
    }
    let subsets: f64 = counts[few].iter().sum();
    counts[few].iter().map(|c| c / subsets).collect()
}

/// Chance of a sum at least as far from the centre as the observed one.
fn two_sided(chances: &[f64], observed: usize, centre: f64) -> f64 {
    let distance = (observed as f64 - centre).abs();
    let far = |(sum, _): &(usize, &f64)| (*sum as f64 - centre).abs() >= distance - 1e-9;
    let p: f64 = chances.iter().enumerate().filter(far).map(|(_, chance)| chance).sum();
    p.min(1.0)
}

/// Two-sided p of a normal distance.
fn normal_p(distance: f64, variance: f64) -> f64 {
    if variance > 0.0 { (2.0 * normal_cdf(-distance.abs() / variance.sqrt())).min(1.0) } else { 1.0 }
}

/// Twice the rank of every value, from the smallest; equal ones share the mean of their ranks. Twice,
/// because a mean rank may end in a half.
fn doubled_midranks(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let equal = |&&i: &&usize| same(values[i], values[order[start]]);
        let end = start + order[start..].iter().take_while(equal).count();
        // Ranks start + 1 ..= end; twice their mean is start + 1 + end.
        order[start..end].iter().for_each(|&i| ranks[i] = start + 1 + end);
        start = end;
    }
    ranks
}

/// Equal but for the rounding of a difference.
fn same(a: f64, b: f64) -> bool {
    let size = a.abs().max(b.abs());
    a == b || size.is_finite() && (a - b).abs() <= 1e-9 * size
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKEN: f64 = f64::NEG_INFINITY;

    fn close(found: Option<RankTest>, p: f64, lean: f64) {
        let fits = found.is_some_and(|f| (f.p - p).abs() < 1e-12 && f.lean == lean);
        assert!(fits, "{found:?}, expected p {p}, lean {lean}");
    }

    /// ```python
    /// stats.wilcoxon(np.clip(d, -1e9, 1e9), zero_method="pratt", method=stats.PermutationMethod(np.inf)).pvalue
    /// ```
    #[test]
    fn signed_ranks_are_scipys() {
        close(signed_rank(&[0.8, 1.1, -0.1, 1.3, 1.2, 0.4]), 0.0625, 1.0);
        close(signed_rank(&[0.0, 0.0, 1.0, 2.0, -1.0, 3.0, 2.0]), 0.1875, 1.0);
        close(signed_rank(&[-BROKEN, -BROKEN, -BROKEN, 0.5, -1.0, 2.0, -BROKEN, 1.0]), 0.03125, 1.0);
        close(signed_rank(&[BROKEN, BROKEN, BROKEN, BROKEN, BROKEN, BROKEN, 0.3, 1.2]), 0.03125, -1.0);
        close(signed_rank(&[BROKEN, -BROKEN, 0.0, 0.5, 0.25, 2.0, 1.0]), 0.28125, 1.0);
        close(signed_rank(&[0.0; 4]), 1.0, 0.0);
        assert_eq!(signed_rank(&[]), None);
    }

    /// ```python
    /// r = stats.rankdata(np.r_[a, b]); centre = len(b) * (len(r) + 1) / 2
    /// stats.permutation_test((r[len(a):], r[:len(a)]), lambda x, y: abs(x.sum() - centre),
    ///                        alternative="greater", n_resamples=np.inf).pvalue
    /// ```
    #[test]
    fn rank_sums_are_scipys() {
        let a = [61.2, 60.4, 62.1, 59.8, 61.7, 60.9];
        close(rank_sum(&a, &[58.9, 61.0, 60.2, 57.5]), 0.11428571428571428, -1.0);
        close(rank_sum(&[58.9, 61.0, 60.2, 57.5], &a), 0.11428571428571428, 1.0);
        let tied = rank_sum(&[1.0, 2.0, 2.0, 3.0, 5.0], &[2.0, 4.0, 4.0, 5.0, 6.0, 7.0]);
        close(tied, 0.08441558441558442, 1.0);
        let sound = [70.0, 71.0, 69.5, 70.2, 70.8, 69.9, 70.4, 70.1];
        let mut survivors = [BROKEN; 8];
        (survivors[6], survivors[7]) = (72.0, 71.5);
        close(rank_sum(&sound, &survivors), 0.09090909090909091, -1.0);
        close(rank_sum(&[1.0; 3], &[2.0; 3]), 0.1, 1.0);
        close(rank_sum(&[BROKEN; 4], &[BROKEN; 5]), 1.0, 0.0);
        assert_eq!(rank_sum(&[], &[1.0]), None);
    }

    /// Beyond the counted sizes the normal approximation takes over without a jump.
    #[test]
    fn large_samples_are_approximated() {
        let d: Vec<f64> =
            (1..=MOST_COUNTED).map(|i| if i % 5 < 2 { -(i as f64) } else { i as f64 }).collect();
        let counted = signed_rank(&d).expect("pairs").p;
        let more = signed_rank(&[d, vec![0.5]].concat()).expect("pairs").p;
        assert!((counted / more - 1.0).abs() < 0.1, "{counted} and {more}");
        let a: Vec<f64> = (0..MOST_COUNTED / 2).map(|i| i as f64).collect();
        let b: Vec<f64> = a.iter().map(|x| x + 7.5).collect();
        let counted = rank_sum(&a, &b).expect("runs").p;
        let more = rank_sum(&a, &[b, vec![37.0]].concat()).expect("runs").p;
        assert!((counted / more - 1.0).abs() < 0.1, "{counted} and {more}");
    }
}
