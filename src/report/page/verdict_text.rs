//! The result in sentences.

use maud::{Markup, html};

use crate::report::{
    data::Material,
    plot::numbers::{interval, plain, signed},
};
use crate::{
    analysis::{At, Contrast, Report, Verdict},
    results::RunState,
};

/// Arms named in a sentence; the others are counted.
const NAMED: usize = 3;

/// The verdict, in the first sentence of a report.
pub(crate) fn verdict(report: &Report) -> Markup {
    let baseline = &report.arms[report.baseline];
    if report.contrasts.is_empty() {
        return html! {
            "There is one arm only, " code { (baseline.label) } ": " (report.metric) " is " (plain(baseline.mean))
            ". There is nothing to compare it with."
        };
    }
    if !report.unjudged.is_empty() {
        return html! { "No verdicts: " (report.unjudged) ". " (largest(report)) };
    }
    let with = |verdict| report.contrasts.iter().filter(|c| c.verdict == verdict).collect::<Vec<_>>();
    let (better, worse) = (with(Verdict::Better), with(Verdict::Worse));
    let equivalent = with(Verdict::Equivalent);
    let open = [with(Verdict::Inconclusive), with(Verdict::Underpowered)].concat();
    html! {
        @if better.is_empty() && worse.is_empty() && equivalent.is_empty() {
            "No arm is shown to differ from " code { (baseline.label) } ". " (largest(report))
        } @else {
            "Compared with " code { (baseline.label) } ": "
            @if better.is_empty() { "no arm is shown to be better" } @else { "better " (named(report, &better)) }
            @if !worse.is_empty() { "; worse " (named(report, &worse)) }
            @if !equivalent.is_empty() { "; equivalent " (named(report, &equivalent)) }
            @if !open.is_empty() { "; no answer for " (open_arms(report, &open)) }
            "."
        }
    }
}

/// Arms with their differences, the largest first.
fn named(report: &Report, contrasts: &[&Contrast]) -> Markup {
    let mut sorted = contrasts.to_vec();
    let size = |c: &Contrast| c.difference.estimate.abs();
    sorted.sort_by(|a, b| size(b).total_cmp(&size(a)));
    let more = sorted.len().saturating_sub(NAMED);
    html! {
        @for (i, contrast) in sorted.iter().take(NAMED).enumerate() {
            @if i > 0 { ", " }
            code { (report.arms[contrast.arm].label) }
            @if contrast.difference.estimate.is_finite() {
                " (" (with_interval(contrast)) ")"
            } @else { " (" (contrast.reason) ")" }
        }
        @if more > 0 { " and " (more) " more" }
    }
}

/// Arms by name, the first few.
fn open_arms(report: &Report, contrasts: &[&Contrast]) -> Markup {
    let more = contrasts.len().saturating_sub(NAMED);
    html! {
        @for (i, contrast) in contrasts.iter().take(NAMED).enumerate() {
            @if i > 0 { ", " }
            code { (report.arms[contrast.arm].label) }
        }
        @if more > 0 { " and " (more) " more" }
    }
}

/// The arm furthest from the baseline, where nothing is certain.
fn largest(report: &Report) -> Markup {
    let finite = report.contrasts.iter().filter(|c| c.difference.estimate.is_finite());
    let size = |c: &Contrast| c.difference.estimate.abs();
    let Some(contrast) = finite.max_by(|a, b| size(a).total_cmp(&size(b))) else {
        return html! { "No arm has enough values to compare." };
    };
    html! {
        "The largest difference is that of " code { (report.arms[contrast.arm].label) } ": "
        (with_interval(contrast)) "."
    }
}

fn with_interval(contrast: &Contrast) -> Markup {
    let (low, high) = contrast.interval();
    html! {
        span class="number" { (signed(contrast.difference.estimate)) }
        @if low.is_finite() { ", 95 % interval " span class="number" { (interval(low, high)) } }
    }
}

/// How many runs stand how.
pub(crate) fn counts(material: &Material) -> [(RunState, usize); RunState::ALL.len()] {
    let states: Vec<RunState> = material.table.runs.iter().map(|run| material.state(run)).collect();
    RunState::ALL.map(|state| (state, states.iter().filter(|s| **s == state).count()))
}

/// Which measurement of a run counts.
pub(crate) fn measurement(at: At) -> String {
    match at {
        At::Last => "last measurement".into(),
        At::Best => "best measurement, chosen with hindsight".into(),
        At::Step(step) => format!("measurement at step {step}"),
    }
}
