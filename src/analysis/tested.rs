//! Which test two samples get, and what it finds.

use super::{
    pairing::Design,
    stats::{self, Difference},
};

/// What p comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// Student's t of the paired differences.
    PairedT,
    /// Welch's t.
    WelchT,
    /// Exact signed ranks: a run broke down, or all differences are equal.
    SignedRank,
    /// Exact rank sum: a run broke down, or no value differs within its arm.
    RankSum,
}

impl Test {
    /// The word in tables.
    pub fn name(self) -> &'static str {
        match self {
            Test::PairedT => "paired_t",
            Test::WelchT => "welch_t",
            Test::SignedRank => "signed_rank",
            Test::RankSum => "rank_sum",
        }
    }

    /// Whether it counts permutations, and assumes no distribution.
    pub fn is_exact(self) -> bool {
        matches!(self, Test::SignedRank | Test::RankSum)
    }
}

/// What a test found, before it is adjusted.
pub(super) struct Tested {
    pub test: Test,
    pub difference: Difference,
    pub effect: f64,
    pub p: f64,
    pub p_equivalence: Option<f64>,
    pub lean: f64,
}

/// A t test, if all values are finite and differ; else exact ranks.
pub(super) fn test(design: Design, a: &[f64], b: &[f64], grid: f64, margin: Option<f64>) -> Tested {
    let paired = design == Design::Paired;
    let broken = a.iter().chain(b).any(|x| x.is_infinite());
    // Broken on both sides: no difference.
    let minus = |(b, a): (&f64, &f64)| if a == b { 0.0 } else { b - a };
    let differences: Vec<f64> = if paired { b.iter().zip(a).map(minus).collect() } else { Vec::new() };
    let spread =
        if paired { stats::has_spread(&differences) } else { stats::has_spread(a) || stats::has_spread(b) };
    let (difference, effect) = match (broken, paired) {
        (true, _) => (Difference::NONE, f64::NAN),
        (_, true) => (stats::paired(a, b, grid), stats::cohen_dz(&differences)),
        (_, false) => (stats::welch(a, b, grid), stats::hedges_g(a, b)),
    };
    if !broken && (spread || a.len().min(b.len()) < 2) {
        return Tested {
            test: if paired { Test::PairedT } else { Test::WelchT },
            difference,
            effect,
            p: difference.p(),
            p_equivalence: margin.map(|margin| difference.equivalence_p(margin)),
            lean: difference.estimate,
        };
    }
    let ranks = if paired { stats::signed_rank(&differences) } else { stats::rank_sum(a, b) };
    let p = ranks.map_or(f64::NAN, |r| r.p);
    // Without variance all values lie on one side of either end of the margin, or all at it.
    let floor = exact_floor(design, a.len(), b.len());
    let within = |margin: f64| if difference.estimate.abs() < margin { floor / 2.0 } else { 1.0 };
    Tested {
        test: if paired { Test::SignedRank } else { Test::RankSum },
        difference,
        effect: f64::NAN,
        p,
        p_equivalence: margin.filter(|_| !broken).map(within),
        lean: ranks.map_or(0.0, |r| r.lean),
    }
}

/// Values of runs that did not break down; of pairs, those of which neither did.
pub(super) fn sound(design: Design, a: &[f64], b: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let finite = |x: &[f64]| x.iter().copied().filter(|v| v.is_finite()).collect();
    if design == Design::Unpaired {
        return (finite(a), finite(b));
    }
    let pairs = a.iter().copied().zip(b.iter().copied());
    pairs.filter(|(a, b)| a.is_finite() && b.is_finite()).unzip()
}

/// Probability of improvement; `sign` turns values so that larger is better.
pub(super) fn improvement(design: Design, a: &[f64], b: &[f64], sign: f64) -> f64 {
    let turned = |x: &[f64]| x.iter().map(|v| sign * v).collect::<Vec<_>>();
    let (a, b) = (turned(a), turned(b));
    match design {
        Design::Paired => stats::share_of_pairs_improved(&a, &b),
        Design::Unpaired => stats::probability_of_improvement(&a, &b),
    }
}

/// Smallest p of an exact test.
pub(super) fn exact_floor(design: Design, n: usize, m: usize) -> f64 {
    match design {
        Design::Paired => stats::exact_floor_paired(m),
        Design::Unpaired => stats::exact_floor_unpaired(n, m),
    }
}
