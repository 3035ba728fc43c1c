//! An image with its patches, and how many images have each label.

use ijepa_registry::image::ImageShape;
use maud::{Markup, html};

use super::{Counts, Samples};
use crate::report::plot::{
    figure::{Figure, cell, fitted, line, px, text},
    layout::WIDTH,
    picture::data_uri,
};

const LABEL: f64 = 190.0;
const NUMBERS: f64 = 56.0;
const BAR: f64 = 11.0;
const PAD: f64 = 7.0;
const TOP: f64 = 30.0;
/// Values that have a row of their own; more of them are columns side by side.
const ROWS: usize = 30;
const TALL: f64 = 130.0;
/// Colours of the splits.
const COLOURS: [&str; 3] = ["s1", "s3", "s2"];

/// An image as a drawing of its own; with lines between the patches of side `patch` if there is one.
pub(super) fn picture(shape: ImageShape, pixels: &[u8], patch: Option<usize>, words: &str) -> Markup {
    let (width, height) = (shape.width as f64, shape.height as f64);
    let lines = |length: usize| {
        let step = patch.unwrap_or(length).max(1);
        (1..length.div_ceil(step)).map(move |i| (i * step) as f64)
    };
    html! {
        svg class="figure picture" role="img" aria-label=(words) viewBox=(format!("0 0 {width} {height}")) {
            @if let Some(uri) = data_uri(shape, pixels) {
                image href=(uri) width=(px(width)) height=(px(height)) {}
            }
            @for x in lines(shape.width) { (line("patch", (x, 0.0), (x, height))) }
            @for y in lines(shape.height) { (line("patch", (0.0, y), (width, y))) }
        }
    }
}

/// How many images of every split have each value.
pub(super) fn counted(samples: &Samples, at: usize) -> Figure {
    let counts = &samples.counts[at];
    let splits: Vec<String> = counts.splits.iter().map(|(split, of)| sentence(split, of)).collect();
    let few = counts.values.len() <= ROWS;
    let (size, body) = if few { rows(counts) } else { columns(counts) };
    let order = if few { "" } else { " In the order of the labels." };
    Figure {
        name: format!("counts-{at}"),
        title: format!("Images by {}", counts.name),
        description: format!("{} values. {}", counts.values.len(), splits.join(" ")),
        caption: format!("Images by {}, with labels. {}{order}", counts.name, splits.join(" ")),
        size: (WIDTH, size),
        body,
    }
}

fn sentence(split: &str, counts: &[usize]) -> String {
    let (least, most) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
    let each = if least == most { format!("{least} each") } else { format!("{least} to {most} each") };
    format!("{split}: {}, {each}.", counts.iter().sum::<usize>())
}

fn most(counts: &Counts) -> f64 {
    counts.splits.iter().flat_map(|(_, of)| of).copied().max().unwrap_or(0).max(1) as f64
}

fn legend(counts: &Counts, left: f64) -> Markup {
    html! {
        @for (i, (split, _)) in counts.splits.iter().enumerate() {
            @let x = left + i as f64 * 110.0;
            (bar(i, (x, 4.0), (10.0, 10.0)))
            (text(x + 16.0, 13.0, "muted small", "start", split))
        }
    }
}

fn bar(split: usize, at: (f64, f64), size: (f64, f64)) -> Markup {
    html! { g class=(COLOURS[split % COLOURS.len()]) { (cell("filled", at, size, 1.0)) } }
}

fn rows(counts: &Counts) -> (f64, Markup) {
    let (most, each) = (most(counts), counts.splits.len() as f64 * BAR + PAD);
    let wide = WIDTH - LABEL - NUMBERS;
    let body = html! {
        (legend(counts, LABEL))
        @for (value, name) in counts.values.iter().enumerate() {
            @let top = TOP + value as f64 * each;
            @let middle = top + (each - PAD) / 2.0 + 4.0;
            (text(LABEL - 10.0, middle, "", "end", &fitted(name, LABEL - 14.0, 12.0)))
            @for (i, (_, of)) in counts.splits.iter().enumerate() {
                @let (y, long) = (top + i as f64 * BAR, wide * of[value] as f64 / most);
                (bar(i, (LABEL, y), (long, BAR - 1.0)))
                (text(LABEL + long + 5.0, y + 9.0, "muted small", "start", &of[value].to_string()))
            }
        }
    };
    (TOP + counts.values.len() as f64 * each, body)
}

fn columns(counts: &Counts) -> (f64, Markup) {
    let (most, step) = (most(counts), WIDTH / counts.values.len() as f64);
    let base = |split: usize| TOP + (split + 1) as f64 * (TALL + 24.0) - 24.0;
    let body = html! {
        @for (i, (split, of)) in counts.splits.iter().enumerate() {
            (text(0.0, base(i) - TALL - 8.0, "strong", "start", split))
            @for (value, &count) in of.iter().enumerate() {
                @let tall = TALL * count as f64 / most;
                (bar(i, (value as f64 * step, base(i) - tall), ((step - 1.0).max(0.6), tall)))
            }
            (line("axis", (0.0, base(i)), (WIDTH, base(i))))
        }
    };
    (base(counts.splits.len().saturating_sub(1)) + 8.0, body)
}
