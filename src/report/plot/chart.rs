//! What plots have in common: the field with its grid, axes and titles, and the range of values.

use maud::{Markup, html};

use super::{
    figure::{line, text},
    scale::Axis,
};

/// The field of a plot in pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

/// Horizontal grid lines with the labels of the vertical axis, if wanted.
pub(crate) fn levels(field: Field, y: &Axis, labels: bool) -> Markup {
    html! {
        @for (at, label) in &y.ticks {
            (line("grid", (field.left, *at), (field.right, *at)))
            @if labels { (text(field.left - 6.0, at + 4.0, "muted small", "end", label)) }
        }
    }
}

/// The horizontal axis with its labels, if wanted.
pub(crate) fn base_line(field: Field, x: &Axis, labels: bool) -> Markup {
    html! {
        (line("axis", (field.left, field.bottom), (field.right, field.bottom)))
        @for (at, label) in &x.ticks {
            (line("axis", (*at, field.bottom), (*at, field.bottom + 4.0)))
            @if labels { (text(*at, field.bottom + 17.0, "muted small", "middle", label)) }
        }
    }
}

/// A vertical whisker from `low` to `high` with caps, cut at the ends of the axis.
pub(crate) fn whisker(x: f64, y: &Axis, (low, high): (f64, f64)) -> Markup {
    let (bottom, top) = (y.at(y.held(low)), y.at(y.held(high)));
    html! {
        (line("drawn whisker", (x, bottom), (x, top)))
        @if y.holds(low) { (line("drawn whisker", (x - 4.0, bottom), (x + 4.0, bottom))) }
        @if y.holds(high) { (line("drawn whisker", (x - 4.0, top), (x + 4.0, top))) }
    }
}

/// The range that a plot shows: all values with some air, and of the intervals as much as reaches at
/// most `reach` times the range of the values beyond them. None without a finite value.
pub(crate) fn range(values: &[f64], intervals: &[(f64, f64)], reach: f64) -> Option<(f64, f64)> {
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    let (low, high) = (finite().reduce(f64::min)?, finite().reduce(f64::max)?);
    let spread = if high > low { high - low } else { low.abs().max(1e-9) * 0.05 };
    let ends = || intervals.iter().filter(|(a, b)| a.is_finite() && b.is_finite());
    let below = ends().map(|i| i.0).fold(low, f64::min).max(low - reach * spread);
    let above = ends().map(|i| i.1).fold(high, f64::max).min(high + reach * spread);
    let air = 0.06 * (above - below).max(spread * 0.5);
    Some((below - air, above + air))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_interval_does_not_squash_the_values() {
        let (low, high) = range(&[10.0, 20.0, f64::NAN], &[(-1e6, 1e6)], 1.0).expect("values");
        assert!(low > -5.0 && high < 35.0, "{low} {high}");
        assert_eq!(range(&[f64::NAN], &[], 1.0), None);
    }
}
