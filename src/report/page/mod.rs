//! The page: everything in one HTML file, without script and network.

pub(crate) mod decisions;
pub(crate) mod header;
pub(crate) mod masks;
pub(crate) mod runs;
pub(crate) mod single;
pub(crate) mod tables;
pub(crate) mod verdict_text;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    Figures,
    data::Material,
    plot::figure::{Figure, STYLE},
};
use crate::results::RunState;

const PAGE_STYLE: &str = include_str!("page.css");

/// The whole page.
pub(crate) fn page(material: &Material, figures: &Figures) -> String {
    let title = format!("Sweep {}", material.name);
    let main = html! {
        (opening(material, &title))
        (results(material, figures))
        (training(material, figures))
        (pairing(material))
        (masking(material, figures))
        (decisions::section(&material.decisions))
        (notes(material))
        (all_runs(material))
        (explanations())
    };
    document(&title, "", &main)
}

/// A page in one file; `style` is added to the style of all pages.
pub(crate) fn document(title: &str, style: &str, main: &Markup) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content=(format!("ijepa-run {}", env!("CARGO_PKG_VERSION")));
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(PAGE_STYLE)) (PreEscaped(style)) }
            }
            body { main { (main) } }
        }
    };
    markup.into_string()
}

/// A figure with its caption.
pub(crate) fn drawing(figure: &Figure) -> Markup {
    html! {
        figure id=(figure.name) {
            div class="scroll" { (figure.inline()) }
            figcaption { (prose(&figure.caption)) }
        }
    }
}

/// Sentences, of which what stands between two backticks is code; one that nothing closes stands as it is.
pub(crate) fn prose(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    html! {
        @for (i, part) in parts.iter().enumerate() {
            @if i % 2 == 0 { (part) } @else if i + 1 < parts.len() { code { (part) } } @else { "`" (part) }
        }
    }
}

fn opening(material: &Material, title: &str) -> Markup {
    html! {
        header {
            h1 { (title) }
            p class="verdict-line" { (verdict_text::verdict(&material.report)) }
            @if let Some(question) = material.header.field("Question") {
                p class="question" { strong { "Question: " } (prose(question)) }
            }
            (what_ran(material))
            nav aria-label="Contents" {
                a href="#results" { "Results" } a href="#training" { "Training" } a href="#pairing" { "Pairing" }
                a href="#masks" { "Masks" } a href="#notes" { "Notes" } a href="#runs" { "Runs" }
                a href="#terms" { "Terms" }
            }
        }
    }
}

fn what_ran(material: &Material) -> Markup {
    let report = &material.report;
    let counts = verdict_text::counts(material);
    let changed = !material.header.overrides.is_empty();
    let others = material.header.fields.iter().filter(|(key, _)| key != "Question");
    html! {
        dl class="facts" {
            dt { "Metric" }
            dd { code { (report.metric) } (material.unit_suffix()) ", " (verdict_text::measurement(report.at)) "; " (report.goal.clause()) @if report.primary.is_some() { "; exploratory" } }
            dt { "Baseline" }
            dd { code { (report.arms[report.baseline].called()) } }
            dt { "Varied" }
            dd {
                @for (i, parameter) in material.parameters.iter().enumerate() {
                    @if i > 0 { ", " } code { (parameter.path) }
                }
                @if material.parameters.is_empty() { "nothing but the seed" }
            }
            dt { "Runs" }
            dd {
                (material.table.runs.len()) " in " (report.arms.len()) " arms: "
                @for (i, (state, n)) in counts.iter().filter(|(s, n)| *n > 0 || is_outcome(*s)).enumerate() {
                    @if i > 0 { ", " } span data-count=(state) { (n) } " " (state)
                }
            }
            @if changed {
                dt { "Base changed" }
                dd {
                    @for (i, change) in material.header.overrides.iter().enumerate() {
                        @if i > 0 { ", " } code { (change) }
                    }
                }
            }
            @for (key, text) in others { dt { (key) } dd { (prose(text)) @if changed && is_measured(key) { " (of the file as it is, without what was changed)" } } }
        }
    }
}

/// Fields of a head that hold for the settings with which they were measured.
fn is_measured(key: &str) -> bool {
    matches!(key, "Time" | "Numbers")
}

/// Outcomes that are counted even if there are none.
fn is_outcome(state: RunState) -> bool {
    matches!(
        state,
        RunState::Done | RunState::Diverged | RunState::Collapsed | RunState::Failed | RunState::Stopped
    )
}

fn results(material: &Material, figures: &Figures) -> Markup {
    html! {
        section id="results" {
            h2 { "Results" }
            @if let Some(forest) = &figures.forest { (drawing(forest)) }
            @if !material.report.contrasts.is_empty() { (tables::comparisons(material)) }
            (tables::arms(material))
            (tables::differences(material))
            @for response in &figures.responses { (drawing(response)) }
            @if let Some(heat) = &figures.heat { (drawing(heat)) }
        }
    }
}

fn training(material: &Material, figures: &Figures) -> Markup {
    html! {
        section id="training" {
            h2 { "Training" }
            @for curves in &figures.curves { (drawing(curves)) }
            @if figures.curves.is_empty() {
                p { "No run has a series of " code { (material.report.metric) } " or of the loss." }
            }
        }
    }
}

fn pairing(material: &Material) -> Markup {
    html! {
        section id="pairing" {
            h2 { "What equal seeds saved" }
            p {
                "Arms share initial values, data order and probe seeds (common random numbers). What a seed \
                 adds to both arms cancels in their difference: the variance of the paired difference is \
                 compared with the sum of both variances."
            }
            (tables::variance(material))
        }
    }
}

fn masking(material: &Material, figures: &Figures) -> Markup {
    html! {
        section id="masks" {
            h2 { "Masks" }
            @if let Some(visibility) = &figures.visibility { (drawing(visibility)) }
            @if let Some(examples) = &figures.examples { (drawing(examples)) }
            @for note in &material.masks.notes { p class="note" { (prose(note)) } }
        }
    }
}

fn notes(material: &Material) -> Markup {
    html! {
        section id="notes" {
            h2 { "Notes" }
            @if material.report.notes.is_empty() { p { "Nothing to add." } }
            ul { @for note in &material.report.notes { li { (prose(note)) } } }
        }
    }
}

fn all_runs(material: &Material) -> Markup {
    html! {
        section id="runs" {
            h2 { "Runs" }
            p {
                "Every number above links to the runs it comes from. The whole comparison again: "
                code { "ijepa-run compare " (material.table.folder.display()) }
            }
            (runs::list(material))
        }
    }
}

fn explanations() -> Markup {
    let terms = [
        ("arm", "runs that differ in the seed only"),
        ("95 % interval of a mean", "Student's t; none where runs broke down"),
        (
            "difference",
            "mean of the arm minus mean of the baseline: paired by seed, else Welch; its interval holds \
             together with those of all other arms (Bonferroni-t)",
        ),
        (
            "p Holm",
            "p of the test, adjusted so that all verdicts together are wrong about equal arms in at most 5 % of sweeps",
        ),
        (
            "better, worse",
            "p Holm is at most 0.05, with at least 3 pairs or 3 runs in either arm; a run that diverged or \
             collapsed counts as worse than any value, and exact rank tests judge then",
        ),
        ("unstable, incomplete", "runs that broke down more often than the baseline's; runs to be run again"),
        ("equivalent", "within the margin, by two one-sided tests"),
        ("detectable", "smallest true difference that as many runs find with 80 % power"),
        ("inconclusive", "enough runs for an answer, but they give none"),
        ("underpowered", "too few runs for any answer"),
    ];
    html! {
        section id="terms" {
            h2 { "Terms" }
            dl class="facts" { @for (term, meaning) in terms { dt { (term) } dd { (meaning) } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_closed_is_code() {
        let marked = |text| prose(text).into_string();
        assert_eq!(marked("set `a` to <b>"), "set <code>a</code> to &lt;b&gt;");
        assert_eq!(marked("one ` alone"), "one ` alone");
        assert_eq!(marked("`a`, then `b"), "<code>a</code>, then `b");
    }
}
