//! What a comparison comes to.

use ijepa_registry::metric::Direction;

use super::{
    contrast::Contrast,
    stats::{self, ALPHA},
    summary::Summary,
};

/// The verdict on an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Different from the baseline, in the good direction.
    Better,
    /// Different from the baseline, in the bad direction; or every run diverged or collapsed.
    Worse,
    /// Within the margin of the baseline.
    Equivalent,
    /// Enough runs for an answer, but they give none.
    Inconclusive,
    /// Too few runs for any answer.
    Underpowered,
    /// No answer is asked for: nothing says what would be better.
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
pub(super) fn judge(c: &Contrast, arm: &Summary, goal: Direction, margin: Option<f64>) -> (Verdict, String) {
    if !goal.decides() {
        return (Verdict::Unjudged, "no direction is good".into());
    }
    if all_broken(c, arm) {
        let why = format!("every run diverged or collapsed ({} of {0})", arm.readings.len());
        return (Verdict::Worse, why);
    }
    if let Some((margin, p)) = margin.zip(c.p_equivalence).filter(|(_, p)| *p <= ALPHA) {
        return (Verdict::Equivalent, format!("the difference is within ±{margin} (TOST p {})", digits(p)));
    }
    if c.p_holm <= ALPHA {
        let better = goal.oriented(c.difference.estimate) > 0.0;
        return (if better { Verdict::Better } else { Verdict::Worse }, grounds(c));
    }
    if c.p.is_nan() || c.too_few() {
        return (Verdict::Underpowered, limits(c));
    }
    (Verdict::Inconclusive, lack(c, margin))
}

/// A run that broke down is worse than any value; this needs no spread.
fn all_broken(c: &Contrast, arm: &Summary) -> bool {
    arm.broken() == arm.readings.len() && !c.baseline_values.is_empty()
}

fn grounds(c: &Contrast) -> String {
    let test = if c.paired() { "paired t" } else { "Welch t" };
    let p = digits(c.p_holm);
    if c.too_few() {
        format!("{test}, p {p}; rests on normal values: {}", limits(c))
    } else {
        format!("{test}, p {p} after Holm")
    }
}

/// What this many runs cannot show.
fn limits(c: &Contrast) -> String {
    let (n, m) = (c.baseline_values.len(), c.values.len());
    if n == 0 || m == 0 {
        return format!("no values to compare ({n} of the baseline, {m} of the arm)");
    }
    if c.paired() {
        let needed = stats::pairs_for_exact();
        let floor = digits(c.floor());
        return format!(
            "with {m} paired seeds an exact sign-flip test cannot go below p {floor}; {needed} seeds are needed"
        );
    }
    if n == 1 && m == 1 {
        return "one run per arm shows no spread; 6 paired seeds are needed".into();
    }
    format!(
        "with {n} and {m} runs an exact permutation test cannot go below p {}; 4 runs per arm are needed",
        digits(c.floor())
    )
}

/// What is missing for an answer.
fn lack(c: &Contrast, margin: Option<f64>) -> String {
    let unit = if c.paired() { "paired seeds" } else { "runs per arm" };
    let needed = match c.seeds_needed {
        Some(n) => format!("if the effect is real, {n} {unit} give 80 % power"),
        None => "no effect to plan for".into(),
    };
    let margin = if margin.is_none() { "; --margin would allow `equivalent`" } else { "" };
    format!("p {} after Holm; {needed}{margin}", digits(c.p_holm))
}

/// `= 0.031`: two significant digits, or an upper bound.
fn digits(p: f64) -> String {
    if p < 1e-4 {
        return "< 0.0001".into();
    }
    let rounded: f64 = format!("{p:.1e}").parse().unwrap_or(p);
    format!("= {rounded}")
}
