//! Numbers between two lists of names as a grid of coloured squares.

use maud::{Markup, html};

use crate::report::plot::{
    figure::{Figure, cell, fitted, text, width_of},
    layout::WIDTH,
};

const MOST: f64 = 150.0;
const HEAD: f64 = 44.0;

/// From this share of the colour on, text is set in the colour of the paper.
const DARK: f64 = 0.72;

/// Smallest side of a square that has room for its number.
const ROOM: f64 = 26.0;

/// A matrix with its names.
pub(in crate::explore) struct Matrix<'a> {
    pub name: &'a str,
    pub title: String,
    pub caption: String,
    pub description: String,
    /// What the rows and what the columns are.
    pub axes: [&'a str; 2],
    pub rows: &'a [String],
    pub columns: &'a [String],
    /// `values[row][column]`; the colour is the share of `full`, blue above 0 and orange below.
    pub values: &'a [Vec<f64>],
    pub full: f64,
    /// How a number is written.
    pub written: fn(f64) -> String,
}

/// A cosine in two digits with a typographic minus; none of 0.
pub(in crate::explore) fn hundredths(x: f64) -> String {
    let text = format!("{x:.2}");
    if text == "-0.00" { "0.00".into() } else { text.replace('-', "\u{2212}") }
}

/// The figure of a matrix.
pub(in crate::explore) fn matrix(of: &Matrix) -> Figure {
    let heads = of.rows.iter().map(|r| width_of(r, 11.0)).fold(0.0, f64::max).min(MOST) + 20.0;
    let side = ((WIDTH - heads) / of.columns.len().max(1) as f64).min(48.0);
    let tall = side.min(30.0);
    let numbers = side >= ROOM;
    // Names that do not fit over a column stand upright.
    let upright = of.columns.iter().any(|c| width_of(c, 11.0) > side - 2.0);
    let longest = of.columns.iter().map(|c| width_of(c, 11.0)).fold(0.0, f64::max).min(MOST);
    let top = if upright { HEAD - 12.0 + longest } else { HEAD };
    let body = html! {
        (text(0.0, 12.0, "muted small", "start", &format!("{} ↓  {} →", of.axes[0], of.axes[1])))
        @for (c, name) in of.columns.iter().enumerate() {
            (head(heads + (c as f64 + 0.5) * side, top - 8.0, name, upright))
        }
        @for (r, name) in of.rows.iter().enumerate() {
            @let y = top + r as f64 * tall;
            (text(heads - 8.0, y + tall / 2.0 + 4.0, "small", "end", &fitted(name, heads - 8.0, 11.0)))
            @for (c, value) in of.values[r].iter().enumerate() {
                (square(of, *value, (heads + c as f64 * side, y), (side, tall), numbers))
            }
        }
    };
    Figure {
        name: of.name.into(),
        title: of.title.clone(),
        description: of.description.clone(),
        caption: of.caption.clone(),
        size: (WIDTH, top + tall * of.rows.len() as f64 + 6.0),
        body,
    }
}

fn head(x: f64, y: f64, name: &str, upright: bool) -> Markup {
    let words = fitted(name, if upright { MOST } else { 48.0 }, 11.0);
    html! {
        @if upright {
            text class="small" text-anchor="start" transform=(format!("translate({} {}) rotate(-90)", x + 4.0, y)) { (words) }
        } @else {
            (text(x, y, "small", "middle", &words))
        }
    }
}

fn square(of: &Matrix, value: f64, (x, y): (f64, f64), (side, tall): (f64, f64), numbers: bool) -> Markup {
    let share = if value.is_finite() { (value.abs() / of.full).min(1.0) } else { 0.0 };
    let class = if value < 0.0 { "below" } else { "heat" };
    let dark = if share > DARK { " on-dark" } else { "" };
    html! {
        (cell(class, (x, y), (side - 1.0, tall - 1.0), share))
        @if numbers {
            (text(x + side / 2.0 - 0.5, y + tall / 2.0 + 4.0, &format!("small{dark}"), "middle", &(of.written)(value)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hundredths_have_a_minus_and_zero_none() {
        assert_eq!([0.5, -0.254, -0.001].map(hundredths), ["0.50", "\u{2212}0.25", "0.00"]);
    }
}
