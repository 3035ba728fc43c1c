//! What a comparison comes to.

use super::{
    contrast::{Contrast, FEWEST, Question},
    stats::{self, ALPHA},
    summary::Summary,
    tested::Test,
};

/// The verdict on an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Different from the baseline, in the good direction.
    Better,
    /// Different from the baseline, in the bad direction.
    Worse,
    /// Within the margin of the baseline.
    Equivalent,
    /// Enough runs for an answer, but they give none.
    Inconclusive,
    /// Too few runs for any answer.
    Underpowered,
    /// No answer is asked for, or none is fair.
    Unjudged,
}

impl Verdict {
    /// The word in tables.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::Equivalent => "equivalent",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Underpowered => "underpowered",
            Verdict::Unjudged => "no verdict",
        }
    }
}

/// Judges a contrast by its adjusted p-values. Equivalence comes first: a difference shown to be
/// smaller than the margin does not matter, however certain it is.
pub(super) fn judge(c: &Contrast, baseline: &Summary, arm: &Summary, question: &Question) -> Verdict {
    if !question.goal.decides() || !question.unjudged.is_empty() || baseline.images.differ(&arm.images) {
        return Verdict::Unjudged;
    }
    if c.p.is_nan() || !c.enough() {
        return Verdict::Underpowered;
    }
    if c.p_equivalence.is_some_and(|p| p <= ALPHA) {
        return Verdict::Equivalent;
    }
    if c.p_holm <= ALPHA {
        return if c.lean > 0.0 { Verdict::Better } else { Verdict::Worse };
    }
    if c.too_few() { Verdict::Underpowered } else { Verdict::Inconclusive }
}

/// The verdict in a sentence.
pub(super) fn explain(c: &Contrast, baseline: &Summary, arm: &Summary, question: &Question) -> String {
    match c.verdict {
        Verdict::Unjudged if baseline.images.differ(&arm.images) => {
            "it is judged on other data than the baseline".into()
        }
        Verdict::Unjudged => question.unjudged.clone(),
        Verdict::Equivalent => {
            let (margin, p) = (question.margin.unwrap_or_default(), c.p_equivalence.unwrap_or(f64::NAN));
            format!("the difference is within ±{margin} (TOST, p {})", digits(p))
        }
        Verdict::Better | Verdict::Worse => grounds(c),
        Verdict::Underpowered => limits(c),
        Verdict::Inconclusive => lack(c, question.margin),
    }
}

fn grounds(c: &Contrast) -> String {
    let p = format!("{}, p {} after Holm", test(c), digits(c.p_holm));
    let (low, high) = c.interval();
    if c.too_few() {
        format!("{p}; rests on normal values: {}", limits(c))
    } else if low <= 0.0 && high >= 0.0 {
        format!(
            "{p}; its interval holds 0, because Holm counts fewer comparisons once the clearer ones are decided"
        )
    } else {
        p
    }
}

/// The test and what it was applied to.
fn test(c: &Contrast) -> String {
    let name = match c.test {
        Test::PairedT => return "paired t".into(),
        Test::WelchT => return "Welch t".into(),
        Test::SignedRank => "exact signed ranks",
        Test::RankSum => "exact rank sum",
    };
    format!("{name}, {}", if c.broken() { "broken runs are worst" } else { "equal values have no t test" })
}

/// What this many runs cannot show.
fn limits(c: &Contrast) -> String {
    let (n, m) = c.judged;
    if n == 0 || m == 0 {
        return format!("no outcome to compare ({n} of the baseline, {m} of the arm)");
    }
    if n == 1 && m == 1 {
        return "one run per arm shows no spread; 6 paired seeds are needed".into();
    }
    if !c.enough() {
        let there = if c.paired() { format!("{m} pairs are") } else { format!("{n} and {m} runs are") };
        let wanted = if c.paired() { "pairs" } else { "runs in either arm" };
        return format!("{there} too few: no verdict below {FEWEST} {wanted}");
    }
    let tests = if c.test.is_exact() { c.tests } else { 1 };
    let among = if tests > 1 { format!(" in {tests} comparisons") } else { String::new() };
    let floor = digits(c.floor() * tests as f64);
    if c.paired() {
        let needed = stats::pairs_for_exact(tests);
        return format!(
            "with {m} paired seeds an exact sign-flip test{among} cannot go below p {floor}; {needed} seeds are needed"
        );
    }
    let needed = stats::runs_for_exact(tests);
    format!(
        "with {n} and {m} runs an exact permutation test{among} cannot go below p {floor}; {needed} runs per arm are needed"
    )
}

/// What is missing for an answer.
fn lack(c: &Contrast, margin: Option<f64>) -> String {
    let runs = if c.paired() {
        format!("these {} pairs", c.judged.1)
    } else {
        format!("these {} and {} runs", c.judged.0, c.judged.1)
    };
    let detectable = c.detectable();
    let power = if detectable.is_finite() {
        format!("; {runs} find a difference of {} or more with 80 % power", super::render::short(detectable))
    } else {
        String::new()
    };
    let margin = if margin.is_none() && !c.broken() { "; --margin would allow `equivalent`" } else { "" };
    format!("{}, p {} after Holm{power}{margin}", test(c), digits(c.p_holm))
}

/// `= 0.031`: two significant digits, or an upper bound.
fn digits(p: f64) -> String {
    if p < 1e-4 {
        return "< 0.0001".into();
    }
    let rounded: f64 = format!("{:.1e}", p.min(1.0)).parse().unwrap_or(p);
    format!("= {rounded}")
}
