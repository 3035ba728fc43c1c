//! How far the teacher is from the student, part by part.

use maud::{Markup, html};

use super::colour;
use crate::{
    explore::look::Look,
    report::plot::{
        figure::{Figure, cell, fitted, line, px, text},
        layout::WIDTH,
        numbers::plain,
    },
};

const LABEL: f64 = 130.0;
const VALUE: f64 = 70.0;
const BAR: f64 = 14.0;
const AIR: f64 = 8.0;

/// A bar per part and run; none where no run has a teacher of its own.
pub(in crate::explore) fn lag(looks: &[Look]) -> Option<Figure> {
    let mut parts: Vec<&str> = Vec::new();
    looks.iter().flat_map(|look| &look.lag).for_each(|(part, _)| {
        if !parts.contains(&part.as_str()) {
            parts.push(part);
        }
    });
    let most = looks.iter().flat_map(|look| &look.lag).map(|(_, far)| *far).fold(0.0, f64::max);
    if parts.is_empty() {
        return None;
    }
    let row = looks.len() as f64 * BAR + AIR;
    let of = |look: &Look, part: &str| look.lag.iter().find(|(p, _)| p == part).map(|(_, far)| *far);
    let sentence = |look: &Look| {
        let all: Vec<String> = look.lag.iter().map(|(part, far)| format!("{part} {}", plain(*far))).collect();
        format!("{}: {}.", look.name, all.join(", "))
    };
    let bar = |look: &Look, run: usize, part: &str, y: f64| -> Markup {
        let far = of(look, part);
        let width = far.map_or(0.0, |far| far / most.max(f64::MIN_POSITIVE) * (WIDTH - LABEL - VALUE));
        html! {
            g class=(colour(run)) { (cell("filled", (LABEL, y), (width, BAR - 3.0), 0.85)) }
            (text(LABEL + width + 6.0, y + BAR - 4.0, "small", "start", &far.map_or("–".into(), plain)))
        }
    };
    Some(Figure {
        name: "ema-lag".into(),
        title: "Distance of the teacher's weights from the student's".into(),
        description: looks.iter().map(sentence).collect::<Vec<_>>().join(" "),
        caption: "|teacher - student| / |student| over all parameters of a part: how far the moving average lags behind \
                  the weights that are trained, at the last checkpoint."
            .into(),
        size: (WIDTH, parts.len() as f64 * row + 4.0),
        body: html! {
            @for (place, part) in parts.iter().enumerate() {
                @let top = place as f64 * row;
                (text(0.0, top + looks.len() as f64 * BAR / 2.0 + 4.0, "small", "start", &fitted(part, LABEL - 8.0, 11.0)))
                @for (run, look) in looks.iter().enumerate() { (bar(look, run, part, top + run as f64 * BAR)) }
            }
            (line("axis", (LABEL, 0.0), (LABEL, px(parts.len() as f64 * row).parse().unwrap_or(0.0))))
        },
    })
}
