//! Two parameters at once: the mean of every cell of a grid.

use maud::{Markup, html};

use crate::report::{
    data::Material,
    plot::{
        figure::{Figure, cell, fitted, text, width_of},
        layout::WIDTH,
        levels::Levels,
        numbers::plain,
    },
};

const ROW: f64 = 38.0;
const TOP: f64 = 56.0;

/// The least colour of a cell with a value.
const PALE: f64 = 0.08;

/// From this share of the colour on, text is set in the colour of the paper.
const DARK: f64 = 0.72;

/// The heat map of a sweep whose arms fill at least half a grid of two parameters.
pub(crate) fn heat_map(material: &Material) -> Option<Figure> {
    let [down, across] = material.parameters.as_slice() else { return None };
    let [rows, columns] = [down, across].map(|p| Levels::of(p.values.iter().map(String::as_str)));
    let arms = material.report.arms.len();
    let grid = rows.count() > 1 && columns.count() > 1 && 2 * arms >= rows.count() * columns.count();
    let at = |row: usize, column: usize| {
        let here = |a: &usize| {
            rows.index(&down.values[*a]) == Some(row) && columns.index(&across.values[*a]) == Some(column)
        };
        (0..arms).find(here)
    };
    let means: Vec<f64> = material.report.arms.iter().map(|a| a.mean).filter(|m| m.is_finite()).collect();
    let (low, high) = (means.iter().copied().reduce(f64::min)?, means.iter().copied().reduce(f64::max)?);
    if !grid {
        return None;
    }
    let (rows_shown, columns_shown) = (rows.labels(), columns.labels());
    let heads =
        rows_shown.iter().map(|r| width_of(r, 12.0)).fold(width_of(&down.path, 12.0) + 12.0, f64::max);
    let left = heads.min(260.0) + 12.0;
    let side = ((WIDTH - left) / columns.count() as f64).min(120.0);
    let body = html! {
        (text(0.0, 12.0, "strong", "start", &format!("{}{}", material.report.metric, material.unit_suffix())))
        (text(left, TOP - 24.0, "muted small", "start", &format!("{} →", across.path)))
        (text(0.0, TOP - 8.0, "muted small", "start", &fitted(&format!("{} ↓", down.path), left - 8.0, 11.0)))
        @for (c, name) in columns_shown.iter().enumerate() {
            (text(left + (c as f64 + 0.5) * side, TOP - 8.0, "small", "middle", &fitted(name, side, 11.0)))
        }
        @for (r, row) in rows_shown.iter().enumerate() {
            @let y = TOP + r as f64 * ROW;
            (text(left - 8.0, y + ROW / 2.0 + 4.0, "small", "end", &fitted(row, left - 8.0, 11.0)))
            @for c in 0..columns.count() {
                (mean_cell(material, at(r, c), (left + c as f64 * side, y), side, (low, high)))
            }
        }
    };
    Some(Figure {
        name: "heat-map".into(),
        title: format!("{} by {} and {}", material.report.metric, down.path, across.path),
        description: format!("Means over seeds, from {} to {}.", plain(low), plain(high)),
        caption: "Means over seeds; below each, the half width of its 95 % interval. Full colour is the \
                  largest mean, a dash a cell without a value."
            .into(),
        size: (WIDTH, TOP + ROW * rows.count() as f64 + 6.0),
        body,
    })
}

fn mean_cell(
    material: &Material,
    arm: Option<usize>,
    (x, y): (f64, f64),
    side: f64,
    (low, high): (f64, f64),
) -> Markup {
    let size = (side - 2.0, ROW - 2.0);
    let middle = x + side / 2.0 - 1.0;
    let Some((arm, summary)) = arm.map(|a| (a, &material.report.arms[a])).filter(|(_, s)| s.mean.is_finite())
    else {
        return html! {
            (cell("frame", (x, y), size, 0.0))
            (text(middle, y + ROW / 2.0 + 3.0, "muted", "middle", "–"))
        };
    };
    let share = if high > low { (summary.mean - low) / (high - low) } else { 0.5 };
    let shade = PALE + (1.0 - PALE) * share;
    let class = if shade > DARK { " on-dark" } else { "" };
    let half = summary.interval(material.report.step).map(|i| format!("±{}", plain((i.high - i.low) / 2.0)));
    html! {
        a href=(format!("#arm-{arm}")) {
            title { (format!("{}: {}", summary.label, plain(summary.mean))) }
            (cell("heat", (x, y), size, shade))
            (text(middle, y + 16.0, &format!("strong{class}"), "middle", &plain(summary.mean)))
            @if let Some(half) = half { (text(middle, y + 30.0, &format!("small{class}"), "middle", &half)) }
        }
    }
}
