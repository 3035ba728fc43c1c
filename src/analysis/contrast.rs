//! An arm against the baseline: measured, adjusted for the number of arms, judged.

use ijepa_registry::metric::Direction;

use super::{
    stats::{self, ALPHA, Design, Difference},
    summary::Summary,
    verdict::{Verdict, judge},
};

/// An arm against the baseline. Numbers that cannot be had are NaN.
#[derive(Clone, Debug)]
pub struct Contrast {
    /// Index of the arm.
    pub arm: usize,
    /// Paired by seed or not.
    pub design: Design,
    /// Values compared: of the baseline and of the arm, in pairs if paired.
    pub baseline_values: Vec<f64>,
    /// Values of the arm.
    pub values: Vec<f64>,
    /// Arm minus baseline.
    pub difference: Difference,
    /// Two-sided p of the t test (paired or Welch).
    pub p: f64,
    /// [`Contrast::p`] adjusted for the number of arms (Holm).
    pub p_holm: f64,
    /// Two-sided p of the exact sign-flip test, for up to twelve pairs.
    pub p_exact: Option<f64>,
    /// p of "differs by the margin or more", adjusted like `p`; none without a margin.
    pub p_equivalence: Option<f64>,
    /// Probability that a run of the arm is better than one of the baseline.
    pub p_improve: f64,
    /// d_z if paired, Hedges' g if not; its sign is that of the difference.
    pub effect: f64,
    /// Pairs (or runs per arm) for 80 % power at this effect.
    pub seeds_needed: Option<usize>,
    /// Share of the difference's variance that equal seeds took away.
    pub variance_saved: Option<f64>,
    /// What it comes to.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub reason: String,
}

/// Compares every other arm with `arms[baseline]`. The verdicts together are wrong about a true
/// null with probability at most [`ALPHA`] (Holm over the arms).
pub fn contrasts(arms: &[Summary], baseline: usize, goal: Direction, margin: Option<f64>) -> Vec<Contrast> {
    let others = (0..arms.len()).filter(|&arm| arm != baseline);
    let mut all: Vec<Contrast> = others.map(|arm| measure(arms, baseline, arm, goal, margin)).collect();
    adjust(&mut all);
    for contrast in &mut all {
        (contrast.verdict, contrast.reason) = judge(contrast, &arms[contrast.arm], goal, margin);
    }
    all
}

fn measure(arms: &[Summary], baseline: usize, arm: usize, goal: Direction, margin: Option<f64>) -> Contrast {
    let (design, a, b) = design(&arms[baseline], &arms[arm]);
    let paired = design == Design::Paired;
    let differences: Vec<f64> = b.iter().zip(&a).map(|(b, a)| b - a).collect();
    let oriented = |x: &[f64]| x.iter().map(|&v| goal.oriented(v)).collect::<Vec<_>>();
    let (difference, effect, p_improve) = if paired {
        let improved = stats::share_of_pairs_improved(&oriented(&differences));
        (stats::paired(&a, &b), stats::cohen_dz(&differences), improved)
    } else {
        let improved = stats::probability_of_improvement(&oriented(&a), &oriented(&b));
        (stats::welch(&a, &b), stats::hedges_g(&a, &b), improved)
    };
    Contrast {
        arm,
        design,
        difference,
        p: difference.p(),
        p_holm: f64::NAN,
        p_exact: stats::sign_flip(&differences).filter(|_| paired),
        p_equivalence: margin.map(|margin| difference.equivalence_p(margin)),
        p_improve,
        effect,
        seeds_needed: stats::sample_size(design, effect),
        variance_saved: paired.then(|| stats::variance_saved(&a, &b)).filter(|share| share.is_finite()),
        verdict: Verdict::Inconclusive,
        reason: String::new(),
        baseline_values: a,
        values: b,
    }
}

/// Paired if both arms ran the same seeds and at least two of them have both values. A seed that
/// failed in one arm leaves both: what remains is still a fair comparison.
fn design(baseline: &Summary, arm: &Summary) -> (Design, Vec<f64>, Vec<f64>) {
    let seeds = baseline.seeds().filter(|seeds| Some(seeds) == arm.seeds().as_ref());
    let pair = |seed: &&str| Some((baseline.of_seed(seed)?, arm.of_seed(seed)?));
    let pairs: Vec<(f64, f64)> = seeds.iter().flatten().filter_map(pair).collect();
    if pairs.len() < 2 {
        return (Design::Unpaired, baseline.values.clone(), arm.values.clone());
    }
    let (a, b) = pairs.into_iter().unzip();
    (Design::Paired, a, b)
}

fn adjust(all: &mut [Contrast]) {
    let raw = |f: &dyn Fn(&Contrast) -> f64, all: &[Contrast]| all.iter().map(f).collect::<Vec<_>>();
    let differ = stats::holm(&raw(&|c| c.p, all));
    let equivalent = stats::holm(&raw(&|c| c.p_equivalence.unwrap_or(f64::NAN), all));
    for ((contrast, p), equivalence) in all.iter_mut().zip(differ).zip(equivalent) {
        contrast.p_holm = p;
        contrast.p_equivalence = contrast.p_equivalence.map(|_| equivalence);
    }
}

impl Contrast {
    /// Whether the seeds are paired.
    pub fn paired(&self) -> bool {
        self.design == Design::Paired
    }

    /// The difference in percent of the baseline's mean.
    pub fn relative(&self) -> f64 {
        let base = stats::mean(&self.baseline_values).abs();
        if base == 0.0 { f64::NAN } else { 100.0 * self.difference.estimate / base }
    }

    /// Variance of the paired difference, and what it would be with independent seeds: the sum of
    /// both variances. None if unpaired.
    pub fn variances(&self) -> Option<(f64, f64)> {
        let differences: Vec<f64> =
            self.values.iter().zip(&self.baseline_values).map(|(b, a)| b - a).collect();
        let independent = stats::variance(&self.baseline_values) + stats::variance(&self.values);
        self.paired().then(|| (stats::variance(&differences), independent))
    }

    /// Smallest p that an exact test of this many runs can give.
    pub fn floor(&self) -> f64 {
        match self.design {
            Design::Paired => stats::exact_floor_paired(self.values.len()),
            Design::Unpaired => stats::exact_floor_unpaired(self.baseline_values.len(), self.values.len()),
        }
    }

    /// Whether no exact test of this many runs can reach the level.
    pub fn too_few(&self) -> bool {
        self.floor() > ALPHA
    }
}

/// What a reader must know about the runs behind a contrast, if anything.
pub fn caveats(arms: &[Summary], baseline: usize, contrast: &Contrast) -> Vec<String> {
    let (base, arm) = (&arms[baseline], &arms[contrast.arm]);
    let mut notes = Vec::new();
    if !contrast.paired() && (base.seeds().is_none() || base.seeds() != arm.seeds()) {
        let known = base.seeds().is_some() && arm.seeds().is_some();
        let why = if known { "its seeds are not the baseline's" } else { "seeds are unknown" };
        notes.push(format!("{}: {why}, so runs are not paired", arm.label));
    }
    let left_out = arm.readings.len() - contrast.values.len();
    if contrast.paired() && left_out > 0 {
        let (label, all) = (&arm.label, arm.readings.len());
        notes.push(format!("{label}: {left_out} of {all} seeds are in no pair: one arm has no value there"));
    }
    notes
}

/// A warning where an arm's mean is that of the survivors.
pub fn survivors(arm: &Summary) -> Option<String> {
    let (broken, all) = (arm.broken(), arm.readings.len());
    (broken > 0 && broken < all).then(|| {
        let what = format!("{broken} of {all} runs diverged or collapsed");
        format!("{}: {what}; its numbers are those of the survivors", arm.label)
    })
}

#[cfg(test)]
mod tests {
    use ijepa_registry::rng::Stream;

    use super::*;
    use crate::analysis::{arms::Arm, metric::Absence, settings::Settings, summary::Reading};

    /// An arm with one value per seed from 0.
    fn arm(label: &str, values: &[Result<f64, Absence>]) -> Summary {
        let (label, settings) = (label.to_string(), Settings::default());
        let arm = Arm { name: label.clone(), label, settings, runs: Vec::new() };
        let reading = |(seed, value): (usize, &Result<f64, Absence>)| Reading {
            seed: Some(seed.to_string()),
            value: *value,
        };
        Summary::new(&arm, values.iter().enumerate().map(reading).collect())
    }

    fn verdict(a: &[f64], b: &[f64], goal: Direction, margin: Option<f64>) -> Contrast {
        let arms = [a, b].map(|x| arm("x", &x.iter().map(|v| Ok(*v)).collect::<Vec<_>>()));
        contrasts(&arms, 0, goal, margin).remove(0)
    }

    const BASE: [f64; 6] = [61.2, 60.4, 62.1, 59.8, 61.7, 60.9];

    #[test]
    fn every_verdict_is_reached() {
        let up = BASE.map(|x| x + 2.0 + 0.1 * (x - 61.0));
        let noisy = [61.9, 59.8, 62.5, 60.1, 60.8, 61.9];
        assert_eq!(verdict(&BASE, &up, Direction::Higher, None).verdict, Verdict::Better);
        assert_eq!(verdict(&BASE, &up, Direction::Lower, None).verdict, Verdict::Worse);
        assert_eq!(verdict(&BASE, &noisy, Direction::Higher, None).verdict, Verdict::Inconclusive);
        assert_eq!(verdict(&BASE, &noisy, Direction::Higher, Some(3.0)).verdict, Verdict::Equivalent);
        let few = verdict(&BASE[..3], &noisy[..3], Direction::Higher, None);
        let sentence =
            "with 3 paired seeds an exact sign-flip test cannot go below p = 0.25; 6 seeds are needed";
        assert_eq!((few.verdict, few.reason.as_str()), (Verdict::Underpowered, sentence));
        let one = verdict(&BASE[..1], &noisy[..1], Direction::Higher, Some(1.0));
        assert_eq!(one.reason, "one run per arm shows no spread; 6 paired seeds are needed");
    }

    #[test]
    fn a_clear_difference_of_few_seeds_says_what_it_rests_on() {
        let found = verdict(&[60.0, 61.0, 62.0], &[10.0, 11.5, 12.2], Direction::Higher, None);
        assert_eq!(found.verdict, Verdict::Worse);
        assert!(found.reason.contains("rests on normal values"), "{}", found.reason);
    }

    #[test]
    fn a_diverged_seed_leaves_its_pair() {
        let base = arm("base", &BASE.map(Ok));
        let mut values = BASE.map(|x| Ok(x + 1.0 + 0.1 * (x - 61.0)));
        values[2] = Err(Absence::Diverged);
        let arms = [base, arm("new", &values)];
        let found = contrasts(&arms, 0, Direction::Higher, None).remove(0);
        assert_eq!((found.design, found.values.len()), (Design::Paired, 5));
        assert_eq!(arms[1].count(), "5/6 (1 diverged)");
        assert_eq!(
            survivors(&arms[1]).as_deref(),
            Some("new: 1 of 6 runs diverged or collapsed; its numbers are those of the survivors")
        );
        assert_eq!(caveats(&arms, 0, &found).len(), 1);
        let gone = [arm("base", &BASE.map(Ok)), arm("gone", &[Err(Absence::Diverged); 3])];
        assert_eq!(contrasts(&gone, 0, Direction::Higher, None)[0].verdict, Verdict::Worse);
    }

    /// Three arms without any effect, paired and unpaired: some arm is called better or worse in
    /// at most 5 % of the experiments (plus three standard errors of the simulation).
    #[test]
    fn false_verdicts_are_as_rare_as_promised() {
        const EXPERIMENTS: usize = 2000;
        for shared in [0.0, 2.0] {
            let mut stream = Stream::new(3, "false verdicts", shared as u64, 0);
            let wrong = (0..EXPERIMENTS).filter(|_| {
                let seeds: Vec<f64> = (0..6).map(|_| shared * stream.normal()).collect();
                let mut values =
                    |n: usize| -> Vec<_> { seeds[..n].iter().map(|s| Ok(s + stream.normal())).collect() };
                // Unequal counts are not paired.
                let n = if shared > 0.0 { 6 } else { 5 };
                let arms = [values(6), values(n), values(n), values(n)].map(|v| arm("x", &v));
                let found = contrasts(&arms, 0, Direction::Higher, None);
                found.iter().any(|c| matches!(c.verdict, Verdict::Better | Verdict::Worse))
            });
            let share = wrong.count() as f64 / EXPERIMENTS as f64;
            assert!(share <= 0.05 + 3.0 * (0.05f64 * 0.95 / EXPERIMENTS as f64).sqrt(), "{share}");
        }
    }
}
