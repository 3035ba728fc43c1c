//! Arms against the baseline: every difference with its interval, and the verdict.

use ijepa_registry::metric::Direction;
use maud::{Markup, html};

use crate::analysis::{Contrast, Report, Verdict};
use crate::report::{
    data::Material,
    plot::{
        chart::range,
        figure::{Figure, cell, fitted, line, px, text, width_of},
        layout::WIDTH,
        numbers::{interval, signed},
        scale::{Axis, Spacing, tick_label},
    },
};

const ROW: f64 = 26.0;
const TOP: f64 = 44.0;
const FOOT: f64 = 34.0;
/// Intervals longer than this many times the range of the differences are cut.
const REACH: f64 = 3.0;
/// Room for the numbers and the verdict on the right.
const WORDS: f64 = 290.0;

/// The forest plot; none without a difference to show.
pub(crate) fn forest(material: &Material) -> Option<Figure> {
    let report = &material.report;
    let shown: Vec<&Contrast> =
        report.contrasts.iter().filter(|c| c.difference.estimate.is_finite()).collect();
    let intervals: Vec<(f64, f64)> = shown.iter().map(|c| c.interval()).collect();
    let mut values: Vec<f64> = shown.iter().map(|c| c.difference.estimate).collect();
    values.push(0.0);
    values.extend(report.margin.iter().flat_map(|m| [-m, *m]));
    let ends = range(&values, &intervals, REACH).filter(|_| !shown.is_empty())?;
    let bottom = TOP + ROW * shown.len() as f64;
    let labels = shown.iter().map(|c| width_of(&material.labels[c.arm], 12.0)).fold(80.0, f64::max);
    let left = labels.min(300.0) + 12.0;
    let x = Axis::new(Spacing::Linear, ends, (left, WIDTH - WORDS), 6);
    let baseline = report.arms[report.baseline].called();
    let body = html! {
        (text(0.0, 12.0, "strong", "start", &heading(report, &material.unit)))
        (text(x.at(0.0) - 8.0, TOP - 12.0, "muted small", "end", directions(report)[0]))
        (text(x.at(0.0) + 8.0, TOP - 12.0, "muted small", "start", directions(report)[1]))
        @if let Some(margin) = report.margin {
            (cell("margin", (x.at(-margin), TOP - 6.0), (x.at(margin) - x.at(-margin), bottom - TOP + 6.0), 0.14))
        }
        @for (at, label) in &x.ticks {
            (line("grid", (*at, TOP - 6.0), (*at, bottom)))
            (text(*at, bottom + 16.0, "muted small", "middle", label))
        }
        (line("zero", (x.at(0.0), TOP - 6.0), (x.at(0.0), bottom)))
        @for (i, contrast) in shown.iter().enumerate() {
            (row(material, contrast, &x, TOP + ROW * (i as f64 + 0.5), left))
        }
    };
    Some(Figure {
        name: "forest".into(),
        title: format!("Difference of every arm from {baseline}"),
        description: shown.iter().map(|c| sentence(report, c)).collect::<Vec<_>>().join(" "),
        caption: caption(report),
        size: (WIDTH, bottom + FOOT),
        body,
    })
}

fn heading(report: &Report, unit: &str) -> String {
    let unit = match unit {
        "" | "1" => String::new(),
        "%" => " in percentage points".into(),
        unit => format!(" in {unit}"),
    };
    format!("{}: difference from {}{unit}", report.metric, report.arms[report.baseline].called())
}

/// What lies left and right of zero.
fn directions(report: &Report) -> [&'static str; 2] {
    match report.goal {
        Direction::Higher => ["worse", "better"],
        Direction::Lower => ["better", "worse"],
        Direction::Neither => ["lower", "higher"],
    }
}

fn row(material: &Material, contrast: &Contrast, x: &Axis, y: f64, left: f64) -> Markup {
    let (estimate, (low, high)) = (contrast.difference.estimate, contrast.interval());
    let label = fitted(&material.labels[contrast.arm], left - 12.0, 12.0);
    let numbers = format!("{} ({})", signed(estimate), interval(low, high));
    let whole = low.is_finite() && high.is_finite();
    html! {
        a href=(format!("#arm-{}", contrast.arm)) {
            title { (sentence(&material.report, contrast)) }
            (text(0.0, y + 4.0, "", "start", &label))
            g class=(class(contrast.verdict)) {
                @if whole {
                    (line("drawn whisker", (x.at(x.held(low)), y), (x.at(x.held(high)), y)))
                    @for end in [low, high].into_iter().filter(|e| x.holds(*e)) {
                        (line("drawn whisker", (x.at(end), y - 4.0), (x.at(end), y + 4.0)))
                    }
                    @if !x.holds(low) { (beyond(x.at(x.held(low)), y, -1.0)) }
                    @if !x.holds(high) { (beyond(x.at(x.held(high)), y, 1.0)) }
                }
                circle class="filled" cx=(px(x.at(estimate))) cy=(px(y)) r="4.5" {}
            }
            (text(WIDTH - WORDS + 12.0, y + 4.0, "small", "start", &numbers))
            g class=(class(contrast.verdict)) {
                (text(WIDTH, y + 4.0, "filled strong small", "end", contrast.verdict.name()))
            }
        }
    }
}

/// An arrow head: the interval goes on.
fn beyond(x: f64, y: f64, direction: f64) -> Markup {
    let points = [(x, y), (x - 7.0 * direction, y - 4.0), (x - 7.0 * direction, y + 4.0)];
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{},{}", px(*x), px(*y))).collect();
    html! { polygon class="filled" points=(points.join(" ")) {} }
}

/// The class that colours a verdict.
pub(crate) fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        _ => "other",
    }
}

fn sentence(report: &Report, contrast: &Contrast) -> String {
    let (low, high) = contrast.interval();
    format!(
        "{}: {}, 95 % interval {}, {}.",
        report.arms[contrast.arm].called(),
        signed(contrast.difference.estimate),
        interval(low, high),
        contrast.verdict.name()
    )
}

fn caption(report: &Report) -> String {
    let margin = report.margin.map_or(String::new(), |m| {
        format!(" The grey band is the margin of ±{}: a difference inside it does not matter.", tick_label(m))
    });
    let missing = report.contrasts.iter().filter(|c| !c.difference.estimate.is_finite()).count();
    let missing = if missing == 0 { String::new() } else { format!(" {missing} arms have no value.") };
    format!(
        "Dots are differences of means, lines their simultaneous 95 % intervals; an arrow head means that the \
         interval goes on. Verdicts hold for all arms together (Holm).{margin}{missing}"
    )
}
