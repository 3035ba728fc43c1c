//! The result in a sentence, in pieces that a terminal and a page set in their own ways.

use super::{compare::Report, contrast::Contrast, summary::Summary, verdict::Verdict};

/// Arms named in a sentence; the others are counted.
const NAMED: usize = 3;

/// A piece of the sentence.
#[derive(Clone, Debug)]
pub enum Piece<'a> {
    /// Words.
    Words(String),
    /// The name of an arm.
    Arm(&'a Summary),
    /// A value.
    Value(f64),
    /// A difference.
    Difference(f64),
    /// An interval.
    Interval(f64, f64),
}

/// A sentence under way.
#[derive(Default)]
struct Sentence<'a>(Vec<Piece<'a>>);

impl<'a> Sentence<'a> {
    fn words(mut self, words: &str) -> Self {
        self.0.push(Piece::Words(words.into()));
        self
    }

    fn piece(mut self, piece: Piece<'a>) -> Self {
        self.0.push(piece);
        self
    }

    fn then(mut self, other: Sentence<'a>) -> Self {
        self.0.extend(other.0);
        self
    }
}

/// The verdict: the first sentence of a comparison.
pub fn headline(report: &Report) -> Vec<Piece<'_>> {
    let baseline = &report.arms[report.baseline];
    let start = Sentence::default();
    if report.contrasts.is_empty() {
        let only = start.words("There is one arm only, ").piece(Piece::Arm(baseline));
        let value = only.words(&format!(": {} is ", report.metric)).piece(Piece::Value(baseline.mean));
        return value.words(". There is nothing to compare it with.").0;
    }
    if !report.unjudged.is_empty() {
        return start.words(&format!("No verdicts: {}. ", report.unjudged)).then(largest(report)).0;
    }
    let with = |verdict| report.contrasts.iter().filter(|c| c.verdict == verdict).collect::<Vec<_>>();
    let [better, worse, equivalent] = [Verdict::Better, Verdict::Worse, Verdict::Equivalent].map(with);
    if better.is_empty() && worse.is_empty() && equivalent.is_empty() {
        let none = start.words("No arm is shown to differ from ").piece(Piece::Arm(baseline)).words(". ");
        return none.then(largest(report)).0;
    }
    let mut sentence = start.words("Compared with ").piece(Piece::Arm(baseline)).words(": ");
    sentence = match better.as_slice() {
        [] => sentence.words("no arm is shown to be better"),
        better => sentence.words("better ").then(named(report, better, true)),
    };
    for (verdict, arms) in [("worse", &worse), ("equivalent", &equivalent)] {
        if !arms.is_empty() {
            sentence = sentence.words(&format!("; {verdict} ")).then(named(report, arms, true));
        }
    }
    let open = [with(Verdict::Inconclusive), with(Verdict::Underpowered)].concat();
    if !open.is_empty() {
        sentence = sentence.words("; no answer for ").then(named(report, &open, false));
    }
    sentence.words(".").0
}

/// Arms by name, the first few: with their differences, the largest first, or in their order without.
fn named<'a>(report: &'a Report, contrasts: &[&'a Contrast], differences: bool) -> Sentence<'a> {
    let mut sorted = contrasts.to_vec();
    if differences {
        sorted.sort_by(|a, b| size(b).total_cmp(&size(a)));
    }
    let mut sentence = Sentence::default();
    for (i, contrast) in sorted.iter().take(NAMED).enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        sentence = sentence.words(comma).piece(Piece::Arm(&report.arms[contrast.arm]));
        if differences && contrast.difference.estimate.is_finite() {
            sentence = sentence.words(" (").then(with_interval(contrast)).words(")");
        } else if differences {
            sentence = sentence.words(&format!(" ({})", contrast.reason));
        }
    }
    match sorted.len().saturating_sub(NAMED) {
        0 => sentence,
        more => sentence.words(&format!(" and {more} more")),
    }
}

fn size(contrast: &Contrast) -> f64 {
    contrast.difference.estimate.abs()
}

/// The arm furthest from the baseline, where nothing is certain.
fn largest(report: &Report) -> Sentence<'_> {
    let finite = report.contrasts.iter().filter(|c| c.difference.estimate.is_finite());
    let Some(contrast) = finite.max_by(|a, b| size(a).total_cmp(&size(b))) else {
        return Sentence::default().words("No arm has enough values to compare.");
    };
    let start = Sentence::default().words("The largest difference is that of ");
    start.piece(Piece::Arm(&report.arms[contrast.arm])).words(": ").then(with_interval(contrast)).words(".")
}

/// A difference with its interval; with its p where the interval, which holds all comparisons together, contains 0 and
/// the step-down test does not.
fn with_interval<'a>(contrast: &Contrast) -> Sentence<'a> {
    let sentence = Sentence::default().piece(Piece::Difference(contrast.difference.estimate));
    let decided = matches!(contrast.verdict, Verdict::Better | Verdict::Worse);
    match contrast.interval() {
        (low, high) if decided && low <= 0.0 && high >= 0.0 => {
            sentence.words(&format!(", p = {:.3} after Holm", contrast.p_holm))
        }
        (low, high) if low.is_finite() => {
            sentence.words(", 95 % interval ").piece(Piece::Interval(low, high))
        }
        _ => sentence,
    }
}
