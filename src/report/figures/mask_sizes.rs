//! Histograms of how large contexts and targets are.

use maud::{Markup, html};

use super::{
    mask_facts::Counts,
    masks::{MaskStudy, Masks},
};
use crate::report::plot::{
    figure::{Figure, cell, line, text},
    layout::WIDTH,
};

const PANEL: f64 = (WIDTH - 2.0 * GAP) / 3.0;
const GAP: f64 = 40.0;
const TOP: f64 = 34.0;
const TALL: f64 = 120.0;
const HEIGHT: f64 = TOP + TALL + 24.0;

/// Three histograms per masking; none without masks.
pub(crate) fn sizes(masks: &Masks) -> Option<Figure> {
    let studies = &masks.studies;
    (!studies.is_empty()).then(|| Figure {
        name: "mask-sizes".into(),
        title: "Patches of contexts, of target blocks, and predicted in all".into(),
        description: studies.iter().map(|s| sentence(&masks.label(s), s)).collect::<Vec<_>>().join(" "),
        caption:
            "Share of the views of the first epoch by their number of patches: in the context, in a target \
                  block, and in any of the target blocks, each patch once."
                .into(),
        size: (WIDTH, HEIGHT * studies.len() as f64),
        body: html! {
            @for (row, study) in studies.iter().enumerate() { (of_study(study, row as f64 * HEIGHT)) }
        },
    })
}

fn of_study(study: &MaskStudy, top: f64) -> Markup {
    let facts = &study.facts;
    let panels = [
        ("context", "context", &facts.contexts),
        ("target", "a target block", &facts.blocks),
        ("target", "predicted in all", &facts.predicted),
    ];
    html! {
        @for (i, (class, title, counts)) in panels.into_iter().enumerate() {
            (histogram(class, title, counts, (i as f64 * (PANEL + GAP), top)))
        }
    }
}

fn histogram(class: &str, title: &str, counts: &Counts, (left, top): (f64, f64)) -> Markup {
    let bins = counts.bins();
    let most = bins.iter().map(|bin| bin.share).fold(1e-9, f64::max);
    let (step, base) = (PANEL / bins.len() as f64, top + TOP + TALL);
    let heading = format!("{title}: {:.1} patches", counts.mean());
    html! {
        (text(left, top + 12.0, "strong", "start", &heading))
        @for (i, bin) in bins.iter().enumerate() {
            @let (x, tall) = (left + i as f64 * step, TALL * bin.share / most);
            (cell(class, (x + 1.0, base - tall), ((step - 2.0).max(1.0), tall), 1.0))
            @if bin.share >= 0.005 {
                (text(x + step / 2.0, base - tall - 4.0, "muted small", "middle", &format!("{:.0}", 100.0 * bin.share)))
            }
            @if bins.len() <= 8 || i.is_multiple_of(2) {
                (text(x + step / 2.0, base + 14.0, "muted small", "middle", &bin.label()))
            }
        }
        (line("axis", (left, base), (left + PANEL, base)))
    }
}

fn sentence(label: &str, study: &MaskStudy) -> String {
    let (contexts, predicted) = (&study.facts.contexts, &study.facts.predicted);
    let ends = |counts: &Counts| {
        let (low, high) = counts.ends();
        format!("{:.1} patches, {low} to {high}", counts.mean())
    };
    format!("{label}: contexts of {}; predicted {}.", ends(contexts), ends(predicted))
}
