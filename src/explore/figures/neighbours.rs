//! Images with those that are nearest to them.

use maud::{Markup, html};

use crate::{
    explore::sample::Sample,
    numerics::Near,
    report::plot::{
        figure::{Figure, fitted, px, text},
        layout::WIDTH,
        numbers::plain,
        picture::thumbnail,
    },
};

/// Neighbours of an image that are shown.
pub(in crate::explore) const SHOWN: usize = 8;

/// Longer side of an image in the page, in pixels of the file.
const PIXELS: u32 = 96;

const LABEL: f64 = 96.0;
const GAP: f64 = 6.0;
const SIDE: f64 = (WIDTH - LABEL - 24.0) / (SHOWN + 1) as f64 - GAP;
const ROW: f64 = SIDE + 34.0;
const TOP: f64 = 22.0;

/// A row: an image of the sample, whose neighbours, and words before it.
pub(in crate::explore) struct Query<'a> {
    pub image: usize,
    pub near: &'a [Near],
    pub words: [String; 2],
}

/// One row per query.
pub(in crate::explore) fn neighbours(name: &str, title: &str, sample: &Sample, queries: &[Query]) -> Figure {
    let label =
        sample.labels.first().map_or(String::new(), |l| format!(" A dashed frame: another `{}`.", l.name));
    Figure {
        name: name.into(),
        title: title.into(),
        description: queries.iter().map(|query| sentence(sample, query)).collect::<Vec<_>>().join(" "),
        caption: format!(
            "Left an image, right of it those of the {} images looked at whose features have the largest cosine with \
             its own, and the cosine.{label}",
            sample.count()
        ),
        size: (WIDTH, TOP + ROW * queries.len() as f64),
        body: html! {
            (text(LABEL, 12.0, "muted small", "start", "image"))
            (text(place(1), 12.0, "muted small", "start", "nearest first →"))
            @for (row, query) in queries.iter().enumerate() { (drawn(sample, query, TOP + row as f64 * ROW)) }
        },
    }
}

/// Left edge of a column.
fn place(column: usize) -> f64 {
    LABEL + column as f64 * (SIDE + GAP) + if column > 0 { 24.0 } else { 0.0 }
}

fn drawn(sample: &Sample, query: &Query, top: f64) -> Markup {
    let own = sample.class(query.image);
    html! {
        (text(0.0, top + 16.0, "strong", "start", &fitted(&query.words[0], LABEL - 6.0, 12.0)))
        (text(0.0, top + 33.0, "muted small", "start", &fitted(&query.words[1], LABEL - 6.0, 11.0)))
        (image(sample, query.image, (place(0), top), "frame", own))
        @for (column, near) in query.near.iter().take(SHOWN).enumerate() {
            @let class = sample.class(near.point);
            @let frame = if class == own { "frame" } else { "differs" };
            (image(sample, near.point, (place(column + 1), top), frame, class))
            (text(place(column + 1) + SIDE / 2.0, top + SIDE + 26.0, "muted small", "middle", &plain_cosine(near.cosine)))
        }
    }
}

fn image(sample: &Sample, i: usize, (left, top): (f64, f64), frame: &str, class: &str) -> Markup {
    let uri = thumbnail(sample.shape, sample.bytes(i), PIXELS);
    html! {
        @if let Some(uri) = uri {
            image href=(uri) x=(px(left)) y=(px(top)) width=(px(SIDE)) height=(px(SIDE)) {
                title { "image " (sample.indices[i]) ", " (class) }
            }
        }
        rect class=(frame) x=(px(left)) y=(px(top)) width=(px(SIDE)) height=(px(SIDE)) {}
        (text(left + SIDE / 2.0, top + SIDE + 13.0, "small", "middle", &fitted(class, SIDE, 11.0)))
    }
}

/// Cosines of trained features are close to 1: three digits tell them apart.
fn plain_cosine(cosine: f64) -> String {
    format!("{cosine:.3}")
}

fn sentence(sample: &Sample, query: &Query) -> String {
    let own = sample.class(query.image);
    let few = &query.near[..query.near.len().min(SHOWN)];
    let same = few.iter().filter(|near| sample.class(near.point) == own).count();
    let nearest = few.first().map_or(f64::NAN, |near| near.cosine);
    let number = sample.indices[query.image];
    match own {
        "" => format!("Image {number}: the nearest has cosine {}.", plain(nearest)),
        own => format!("Image {number}, {own}: {same} of {} neighbours are {own} too.", few.len()),
    }
}
