//! An arm against the baseline: measured, adjusted for the number of arms, judged.

use ijepa_registry::metric::Direction;

use super::{
    pairing::{Design, Sample, sample},
    stats::{self, ALPHA, Difference},
    summary::Summary,
    tested::{Test, exact_floor, improvement, sound, test},
    verdict::{Verdict, explain, judge},
};

/// Fewest pairs, or runs in either arm, for a verdict.
pub const FEWEST: usize = 3;

/// What arms are asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Which direction is good.
    pub goal: Direction,
    /// Largest difference that does not matter.
    pub margin: Option<f64>,
    /// Step of the grid on which the values lie.
    pub step: Option<f64>,
    /// Why no arm is judged; empty if they are.
    pub unjudged: String,
}

/// An arm against the baseline. Numbers that cannot be had are NaN.
#[derive(Clone, Debug)]
pub struct Contrast {
    /// Index of the arm.
    pub arm: usize,
    /// Paired by seed or not.
    pub design: Design,
    /// Pairs, or runs of the baseline and of the arm, that are judged; broken ones among them.
    pub judged: (usize, usize),
    /// Common seeds in no pair, because a run has no outcome.
    pub incomplete_pairs: usize,
    /// Values of the baseline, in pairs if paired; without runs that broke down.
    pub baseline_values: Vec<f64>,
    /// Values of the arm.
    pub values: Vec<f64>,
    /// Which test p comes from.
    pub test: Test,
    /// Arm minus baseline; nothing where a run broke down: survivors are no sample.
    pub difference: Difference,
    /// Two-sided p of the test.
    pub p: f64,
    /// [`Contrast::p`] adjusted for the number of arms (Holm).
    pub p_holm: f64,
    /// Comparisons that p is adjusted for.
    pub tests: usize,
    /// p of "differs by the margin or more", adjusted like `p`; none without a margin, and where a run
    /// broke down.
    pub p_equivalence: Option<f64>,
    /// Probability that a run of the arm is better than one of the baseline; a broken run is worst.
    pub p_improve: f64,
    /// 1 if the arm is the better one by its test, -1 if it is the worse one, 0 if neither.
    pub lean: f64,
    /// d_z if paired, Hedges' g if not; its sign is that of the difference.
    pub effect: f64,
    /// Share of the difference's variance that equal seeds took away.
    pub variance_saved: Option<f64>,
    /// Runs of the arm that broke down, of those with an outcome, if that is a larger share than the
    /// baseline's.
    pub unstable: Option<(usize, usize)>,
    /// Runs of the arm without an outcome, in words.
    pub incomplete: String,
    /// What it comes to.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub reason: String,
}

/// Compares every other arm with `arms[baseline]`. The verdicts together are wrong about a true
/// null with probability at most [`ALPHA`] (Holm over the arms).
pub fn contrasts(arms: &[Summary], baseline: usize, question: &Question) -> Vec<Contrast> {
    let mut all = judged(arms, baseline, question);
    for contrast in &mut all {
        contrast.reason = explain(contrast, &arms[baseline], &arms[contrast.arm], question);
    }
    all
}

/// `contrasts` without the sentences.
pub fn judged(arms: &[Summary], baseline: usize, question: &Question) -> Vec<Contrast> {
    let others = (0..arms.len()).filter(|&arm| arm != baseline);
    let mut all: Vec<Contrast> = others.map(|arm| measure(arms, baseline, arm, question)).collect();
    adjust(&mut all);
    for contrast in &mut all {
        contrast.verdict = judge(contrast, &arms[baseline], &arms[contrast.arm], question);
    }
    all
}

fn measure(arms: &[Summary], baseline: usize, arm: usize, question: &Question) -> Contrast {
    let Question { goal, margin, step, .. } = question;
    // Of a metric without a direction a broken run is some extreme: nothing is judged by it.
    let worst = if *goal == Direction::Lower { f64::INFINITY } else { f64::NEG_INFINITY };
    let Sample { design, baseline: a, arm: b, incomplete_pairs } = sample(&arms[baseline], &arms[arm], worst);
    let tested = test(design, &a, &b, stats::grid_variance(*step), *margin);
    let sign = if *goal == Direction::Lower { -1.0 } else { 1.0 };
    let (baseline_values, values) = sound(design, &a, &b);
    let paired = design == Design::Paired;
    let ratio = |arm: &Summary| arm.broken() as f64 / arm.judged().max(1) as f64;
    let (broken, of) = (arms[arm].broken(), arms[arm].judged());
    Contrast {
        arm,
        design,
        judged: (a.len(), b.len()),
        incomplete_pairs,
        test: tested.test,
        difference: tested.difference,
        p: tested.p,
        p_holm: f64::NAN,
        tests: 1,
        p_equivalence: tested.p_equivalence,
        p_improve: if goal.decides() { improvement(design, &a, &b, sign) } else { f64::NAN },
        lean: sign * tested.lean,
        effect: tested.effect,
        variance_saved: (paired && tested.difference.estimate.is_finite())
            .then(|| stats::variance_saved(&a, &b))
            .filter(|share| share.is_finite()),
        unstable: (ratio(&arms[arm]) > ratio(&arms[baseline])).then_some((broken, of)),
        incomplete: arms[arm].incomplete(),
        verdict: Verdict::Inconclusive,
        reason: String::new(),
        baseline_values,
        values,
    }
}

fn adjust(all: &mut [Contrast]) {
    let raw = |f: &dyn Fn(&Contrast) -> f64, all: &[Contrast]| all.iter().map(f).collect::<Vec<_>>();
    let p = raw(&|c| c.p, all);
    let tests = p.iter().filter(|p| !p.is_nan()).count().max(1);
    let differ = stats::holm(&p);
    let equivalent = stats::holm(&raw(&|c| c.p_equivalence.unwrap_or(f64::NAN), all));
    for ((contrast, p), equivalence) in all.iter_mut().zip(differ).zip(equivalent) {
        contrast.p_holm = p;
        contrast.tests = tests;
        contrast.p_equivalence = contrast.p_equivalence.map(|_| equivalence);
    }
}

impl Contrast {
    /// Whether the seeds are paired.
    pub fn paired(&self) -> bool {
        self.design == Design::Paired
    }

    /// Whether a run behind it broke down.
    pub fn broken(&self) -> bool {
        self.test.is_exact() && !self.difference.estimate.is_finite()
    }

    /// Whether there are enough runs for any verdict.
    pub fn enough(&self) -> bool {
        self.judged.0.min(self.judged.1) >= FEWEST
    }

    /// Two-sided p of an exact test: of the ranks where p itself is, else of sign flips, for up to twelve
    /// pairs.
    pub fn p_exact(&self) -> Option<f64> {
        if self.test.is_exact() {
            return Some(self.p).filter(|p| !p.is_nan());
        }
        let differences: Vec<f64> =
            self.values.iter().zip(&self.baseline_values).map(|(b, a)| b - a).collect();
        stats::sign_flip(&differences).filter(|_| self.paired())
    }

    /// Simultaneous 95 % interval of the difference (Bonferroni-t over all comparisons): one that leaves
    /// out 0 comes with a verdict. NaN where there is no t test, or no verdict for want of runs.
    pub fn interval(&self) -> (f64, f64) {
        if self.test.is_exact() || !self.enough() {
            return (f64::NAN, f64::NAN);
        }
        self.difference.interval(self.level())
    }

    /// The smallest true difference that as many runs find with a power of 80 %; NaN as above.
    pub fn detectable(&self) -> f64 {
        if self.test.is_exact() || !self.enough() {
            f64::NAN
        } else {
            self.difference.detectable(self.level())
        }
    }

    /// The level of each test by itself.
    fn level(&self) -> f64 {
        ALPHA / self.tests as f64
    }

    /// The difference in percent of the baseline's mean.
    pub fn relative(&self) -> f64 {
        let base = stats::mean(&self.baseline_values).abs();
        if base == 0.0 { f64::NAN } else { 100.0 * self.difference.estimate / base }
    }

    /// Variance of the paired difference, and what it would be with independent seeds: the sum of
    /// both variances. None if unpaired, and where runs broke down.
    pub fn variances(&self) -> Option<(f64, f64)> {
        let differences: Vec<f64> =
            self.values.iter().zip(&self.baseline_values).map(|(b, a)| b - a).collect();
        let independent = stats::variance(&self.baseline_values) + stats::variance(&self.values);
        (self.paired() && !self.broken()).then(|| (stats::variance(&differences), independent))
    }

    /// Smallest p that an exact test of this many runs can give.
    pub fn floor(&self) -> f64 {
        exact_floor(self.design, self.judged.0, self.judged.1)
    }

    /// Whether no exact test of this many runs can reach the level; where p is exact itself, that of all
    /// comparisons together.
    pub fn too_few(&self) -> bool {
        let tests = if self.test.is_exact() { self.tests } else { 1 };
        self.floor() * tests as f64 > ALPHA
    }

    /// What stands beside the verdict: broken and missing runs.
    pub fn remark(&self) -> String {
        let unstable = self.unstable.map(|(broken, of)| format!("unstable: {broken} of {of} broke"));
        let words: Vec<String> =
            unstable.into_iter().chain(Some(self.incomplete.clone()).filter(|w| !w.is_empty())).collect();
        words.join("; ")
    }
}

/// What a reader must know about the runs behind a contrast, if anything.
pub fn caveats(arms: &[Summary], baseline: usize, contrast: &Contrast) -> Vec<String> {
    let (base, arm) = (&arms[baseline], &arms[contrast.arm]);
    let (n, m) = (base.readings.len(), arm.readings.len());
    let mut notes = Vec::new();
    if !contrast.paired() {
        let known = [base, arm].iter().all(|a| a.readings.iter().all(|r| r.seed.is_some()));
        let why = if known {
            "it has fewer than three seeds in common with the baseline"
        } else {
            "seeds are unknown"
        };
        notes.push(format!("{}: {why}, so runs are not paired", arm.label));
    }
    if n != m {
        let pairs = contrast.judged.0 + contrast.incomplete_pairs;
        let used = if contrast.paired() {
            format!("; the {pairs} seeds they share are compared")
        } else {
            String::new()
        };
        notes.push(format!("{}: {m} runs, the baseline has {n}{used}", arm.label));
    }
    if contrast.incomplete_pairs > 0 {
        let all = contrast.judged.0 + contrast.incomplete_pairs;
        let out = contrast.incomplete_pairs;
        notes.push(format!("{}: {out} of {all} seeds are in no pair: a run has no value there", arm.label));
    }
    notes
}

/// A warning where an arm's mean is that of the survivors.
pub fn survivors(arm: &Summary) -> Option<String> {
    let (broken, all) = (arm.broken(), arm.readings.len());
    (broken > 0 && broken < all).then(|| {
        let what = format!("{broken} of {all} runs diverged or collapsed");
        format!(
            "{}: {what}; its mean is that of the survivors, its verdict takes broken runs as the worst",
            arm.label
        )
    })
}

#[cfg(test)]
mod tests {
    use ijepa_registry::rng::Stream;

    use super::*;
    use crate::analysis::{Absence, Images, Reading};

    const BASE: [f64; 8] = [61.2, 60.4, 62.1, 59.8, 61.7, 60.9, 61.1, 60.2];
    const DIVERGED: Result<f64, Absence> = Err(Absence::Diverged);

    /// An arm with one outcome per seed from `first`.
    fn arm_from(first: usize, values: &[Result<f64, Absence>]) -> Summary {
        let reading = |(i, value): (usize, &Result<f64, Absence>)| Reading {
            seed: Some((first + i).to_string()),
            value: *value,
        };
        Summary::new("new", "new", values.iter().enumerate().map(reading).collect())
    }

    fn arm(values: &[Result<f64, Absence>]) -> Summary {
        arm_from(0, values)
    }

    fn sound(values: &[f64]) -> Summary {
        arm(&values.iter().map(|v| Ok(*v)).collect::<Vec<_>>())
    }

    fn question(goal: Direction, margin: Option<f64>) -> Question {
        Question { goal, margin, step: None, unjudged: String::new() }
    }

    fn compared(a: Summary, b: Summary, goal: Direction, margin: Option<f64>) -> Contrast {
        contrasts(&[a, b], 0, &question(goal, margin)).remove(0)
    }

    fn verdict(a: &[f64], b: &[f64], goal: Direction, margin: Option<f64>) -> Contrast {
        compared(sound(a), sound(b), goal, margin)
    }

    #[test]
    fn every_verdict_is_reached() {
        let base = &BASE[..6];
        let up: Vec<f64> = base.iter().map(|x| x + 2.0 + 0.1 * (x - 61.0)).collect();
        let noisy = [61.9, 59.8, 62.5, 60.1, 60.8, 61.9];
        assert_eq!(verdict(base, &up, Direction::Higher, None).verdict, Verdict::Better);
        assert_eq!(verdict(base, &up, Direction::Lower, None).verdict, Verdict::Worse);
        assert_eq!(verdict(base, &up, Direction::Neither, None).verdict, Verdict::Unjudged);
        let open = verdict(base, &noisy, Direction::Higher, None);
        assert_eq!(open.verdict, Verdict::Inconclusive);
        assert!(open.reason.contains("these 6 pairs find a difference of"), "{}", open.reason);
        assert_eq!(verdict(base, &noisy, Direction::Higher, Some(3.0)).verdict, Verdict::Equivalent);
        let few = verdict(&base[..3], &noisy[..3], Direction::Higher, None);
        let sentence =
            "with 3 paired seeds an exact sign-flip test cannot go below p = 0.25; 6 seeds are needed";
        assert_eq!((few.verdict, few.reason.as_str()), (Verdict::Underpowered, sentence));
        let one = verdict(&base[..1], &noisy[..1], Direction::Higher, Some(1.0));
        assert_eq!(one.reason, "one run per arm shows no spread; 6 paired seeds are needed");
    }

    #[test]
    fn a_clear_difference_of_few_seeds_says_what_it_rests_on() {
        let found = verdict(&[60.0, 61.0, 62.0], &[10.0, 11.5, 12.2], Direction::Higher, None);
        assert_eq!(found.verdict, Verdict::Worse);
        assert!(found.reason.contains("rests on normal values"), "{}", found.reason);
    }

    /// Six of eight runs broke, and the two survivors are far above the baseline.
    #[test]
    fn survivors_make_no_arm_better() {
        let mut values = [DIVERGED; 8];
        (values[2], values[5]) = (Ok(75.0), Ok(74.0));
        let found = compared(sound(&BASE), arm(&values), Direction::Higher, Some(0.5));
        assert_eq!((found.test, found.verdict), (Test::SignedRank, Verdict::Worse));
        assert!((found.p - 0.03125).abs() < 1e-12, "{}", found.p);
        assert_eq!(found.remark(), "unstable: 6 of 8 broke");
        assert!(found.difference.estimate.is_nan() && found.interval().0.is_nan());
        assert_eq!((found.p_equivalence, found.p_improve), (None, 0.25));
        // Of a loss the large value is the bad one, and a broken run is worse still.
        let losses = compared(sound(&BASE), arm(&values), Direction::Lower, None);
        assert_eq!((losses.verdict, losses.p_improve), (Verdict::Worse, 0.0));
        // Other seeds: the same by an exact rank sum, 2 of 8 above all others.
        let unpaired = compared(sound(&BASE), arm_from(100, &values), Direction::Higher, None);
        assert_eq!((unpaired.test, unpaired.verdict), (Test::RankSum, Verdict::Inconclusive));
    }

    /// The mirror image: the baseline's runs break.
    #[test]
    fn a_baseline_of_survivors_makes_no_arm_worse() {
        let mut values = [DIVERGED; 8];
        (values[2], values[5]) = (Ok(75.0), Ok(74.0));
        let found = compared(arm(&values), sound(&BASE), Direction::Higher, None);
        assert_eq!((found.verdict, found.unstable), (Verdict::Better, None));
        let half: Vec<_> = (0..8).map(|i| if i % 2 == 0 { DIVERGED } else { Ok(75.0) }).collect();
        let found = compared(arm(&half), sound(&BASE), Direction::Higher, None);
        assert_eq!(found.verdict, Verdict::Inconclusive, "{}", found.reason);
    }

    #[test]
    fn an_arm_that_broke_altogether_goes_by_the_same_test() {
        let gone = |n: usize| compared(sound(&BASE[..n]), arm(&vec![DIVERGED; n]), Direction::Higher, None);
        let three = gone(3);
        assert_eq!(
            (three.verdict, three.remark().as_str()),
            (Verdict::Underpowered, "unstable: 3 of 3 broke")
        );
        assert_eq!(gone(6).verdict, Verdict::Worse);
        let both = compared(arm(&[DIVERGED; 6]), arm(&[DIVERGED; 6]), Direction::Higher, None);
        assert_eq!((both.verdict, both.p, both.unstable), (Verdict::Inconclusive, 1.0, None));
    }

    #[test]
    fn what_failed_is_missing_and_not_worst() {
        let mut values: Vec<_> = BASE.iter().map(|x| Ok(x + 2.0 + 0.1 * (x - 61.0))).collect();
        (values[0], values[3]) = (Err(Absence::Failed), Err(Absence::Failed));
        let found = compared(sound(&BASE), arm(&values), Direction::Higher, None);
        assert_eq!((found.test, found.judged, found.verdict), (Test::PairedT, (6, 6), Verdict::Better));
        assert_eq!(found.remark(), "incomplete: 2 of 8 failed, run them again");
        values[1] = DIVERGED;
        let found = compared(sound(&BASE), arm(&values), Direction::Higher, None);
        assert_eq!(found.remark(), "unstable: 1 of 6 broke; incomplete: 2 of 8 failed, run them again");
    }

    #[test]
    fn equal_differences_prove_nothing_by_themselves() {
        let shifted = |n: usize| {
            let up: Vec<f64> = BASE[..n].iter().map(|x| x + 0.1).collect();
            verdict(&BASE[..n], &up, Direction::Higher, Some(0.2))
        };
        for n in [2, 3] {
            assert_eq!(shifted(n).verdict, Verdict::Underpowered, "{n} pairs: {}", shifted(n).reason);
        }
        let six = verdict(
            &BASE[..6],
            &BASE[..6].iter().map(|x| x + 0.1).collect::<Vec<_>>(),
            Direction::Higher,
            None,
        );
        assert_eq!((six.test, six.verdict), (Test::SignedRank, Verdict::Better));
        assert_eq!((six.p, six.p_exact()), (0.03125, Some(0.03125)));
        assert_eq!(shifted(6).verdict, Verdict::Equivalent);
        let two = verdict(&BASE[..2], &[70.0, 70.0], Direction::Higher, None);
        assert!(two.reason.contains("2 pairs are too few: no verdict below 3 pairs"), "{}", two.reason);
    }

    #[test]
    fn the_step_of_accuracies_widens_what_is_said() {
        let base = [70.3125, 71.09375, 70.3125, 71.09375];
        let up = [71.09375, 71.875, 71.875, 71.875];
        let with = |step| {
            let question = Question { step, ..question(Direction::Higher, None) };
            contrasts(&[sound(&base), sound(&up)], 0, &question).remove(0)
        };
        let (plain, grid) = (with(None), with(Some(0.78125)));
        assert!(plain.p < 0.025 && grid.p > 0.025, "{} and {}", plain.p, grid.p);
        assert!(grid.interval().0 < plain.interval().0);
    }

    #[test]
    fn three_common_seeds_make_pairs() {
        let more = compared(sound(&BASE[..4]), sound(&BASE[..3]), Direction::Higher, None);
        assert_eq!((more.design, more.judged), (Design::Paired, (3, 3)));
        let arms = [sound(&BASE[..4]), sound(&BASE[..3])];
        assert_eq!(
            caveats(&arms, 0, &more),
            ["new: 3 runs, the baseline has 4; the 3 seeds they share are compared"]
        );
        let shifted = arm_from(2, &BASE[..4].iter().map(|v| Ok(*v)).collect::<Vec<_>>());
        let few = compared(sound(&BASE[..4]), shifted, Direction::Higher, None);
        assert_eq!((few.design, few.judged), (Design::Unpaired, (4, 4)));
        // Never by what came out: a seed without a value stays planned.
        let mut values: Vec<_> = BASE[..3].iter().map(|v| Ok(*v)).collect();
        values[0] = Err(Absence::NoValue);
        let left = compared(sound(&BASE[..4]), arm(&values), Direction::Higher, None);
        assert_eq!((left.design, left.judged, left.incomplete_pairs), (Design::Paired, (2, 2), 1));
    }

    #[test]
    fn other_test_data_get_no_verdict() {
        let on = |values: &[f64], data: &str| Summary {
            images: Images { test: data.into(), ..Images::default() },
            ..sound(values)
        };
        let up = BASE.map(|x| x + 5.0 + 0.01 * x);
        let found = compared(on(&BASE, "a"), on(&up, "b"), Direction::Higher, None);
        assert_eq!(found.verdict, Verdict::Unjudged);
        assert!(found.reason.contains("other data") && found.difference.estimate > 5.0);
        assert_eq!(compared(on(&BASE, "a"), on(&up, ""), Direction::Higher, None).verdict, Verdict::Better);
    }

    /// An interval that leaves out 0 comes with a verdict; where Holm finds more, the reason says so.
    #[test]
    fn intervals_and_verdicts_agree() {
        let mut stream = Stream::new(5, "intervals", 0, 0);
        let mut by_step_down = 0;
        for _ in 0..400 {
            let mut values = |shift: f64| -> Vec<f64> { (0..6).map(|_| shift + stream.normal()).collect() };
            let arms = [0.0, 1.2, 2.0, 1.5].map(|shift| sound(&values(shift)));
            for c in contrasts(&arms, 0, &question(Direction::Higher, None)) {
                let (low, high) = c.interval();
                let decided = matches!(c.verdict, Verdict::Better | Verdict::Worse);
                assert!(decided || low <= 0.0 && high >= 0.0, "{c:?}");
                if decided && low <= 0.0 && high >= 0.0 {
                    by_step_down += 1;
                    assert!(c.reason.contains("its interval holds 0"), "{}", c.reason);
                }
            }
        }
        assert!(by_step_down > 0);
    }

    /// Three arms without any effect, paired and unpaired: some arm is called better or worse in
    /// at most 5 % of the experiments (plus three standard errors of the simulation). `benches/verdicts`
    /// looks at thousands of such cells.
    #[test]
    fn false_verdicts_are_as_rare_as_promised() {
        const EXPERIMENTS: usize = 1000;
        for (shared, breaks, step) in
            [(0.0, 0.0, None), (2.0, 0.0, Some(1.0)), (0.0, 0.4, None), (2.0, 0.4, None)]
        {
            let mut stream = Stream::new(3, "false verdicts", shared as u64, (10.0 * breaks) as u64);
            let wrong = (0..EXPERIMENTS).filter(|_| {
                let seeds: Vec<f64> = (0..8).map(|_| shared * stream.normal()).collect();
                let mut values = |arm: usize| {
                    let value = |stream: &mut Stream, seed: f64| {
                        let value = seed + stream.normal();
                        let rounded = step.map_or(value, |step: f64| (value / step).round() * step);
                        if value + stream.normal() < -10.0 + 10.0 * breaks { DIVERGED } else { Ok(rounded) }
                    };
                    let values: Vec<_> = seeds.iter().map(|s| value(&mut stream, *s)).collect();
                    arm_from(if shared > 0.0 { 0 } else { 100 * arm }, &values)
                };
                let arms = [0, 1, 2, 3].map(&mut values);
                let found = judged(&arms, 0, &Question { step, ..question(Direction::Higher, None) });
                found.iter().any(|c| matches!(c.verdict, Verdict::Better | Verdict::Worse))
            });
            let share = wrong.count() as f64 / EXPERIMENTS as f64;
            assert!(share <= 0.05 + 3.0 * (0.05f64 * 0.95 / EXPERIMENTS as f64).sqrt(), "{share}");
        }
    }
}
