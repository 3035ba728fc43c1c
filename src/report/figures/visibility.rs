//! Maps of how often each patch is seen and predicted.

use maud::{Markup, html};

use super::masks::{MaskStudy, Masks};
use crate::report::plot::{
    figure::{Figure, cell, fitted, px, text},
    layout::WIDTH,
};

const MAP: f64 = 132.0;
const GAP: f64 = 12.0;
const BLOCK: f64 = 2.0 * MAP + GAP + 20.0;
const COLUMNS: usize = 3;
const HEAD: f64 = 40.0;
const HEIGHT: f64 = HEAD + MAP + 28.0;

/// A cell smaller than this has no room for its number.
const ROOM: f64 = 18.0;

/// From this share of the colour on, text is set in the colour of the paper.
const DARK: f64 = 0.72;

/// Two maps per masking; none without masks.
pub(crate) fn visibility(masks: &Masks) -> Option<Figure> {
    let studies = &masks.studies;
    let most = |of: fn(&MaskStudy) -> &Vec<f64>| studies.iter().flat_map(of).copied().fold(1e-9, f64::max);
    let (context, target) = (most(|s| &s.context), most(|s| &s.target));
    let first = studies.first()?;
    let rows = studies.len().div_ceil(COLUMNS) as f64;
    Some(Figure {
        name: "mask-visibility".into(),
        title: "How often each patch is context and target, by arm".into(),
        description: studies.iter().map(|s| sentence(&masks.label(s), s)).collect::<Vec<_>>().join(" "),
        caption: format!(
            "Per cent of images in which a patch is in the context (left) and in a target block (right): \
             the masks that the first run of the arm draws for its first {} training images. Full colour \
             is the largest share in any arm: context {:.0} %, target {:.0} %.",
            first.images,
            100.0 * context,
            100.0 * target
        ),
        size: (WIDTH, rows * HEIGHT - 12.0),
        body: html! {
            @for (i, study) in studies.iter().enumerate() {
                (block(&masks.label(study), study, (i % COLUMNS) as f64 * BLOCK, (i / COLUMNS) as f64 * HEIGHT, (context, target)))
            }
        },
    })
}

fn block(label: &str, study: &MaskStudy, left: f64, top: f64, (context, target): (f64, f64)) -> Markup {
    let second = left + MAP + GAP;
    html! {
        (text(left, top + 12.0, "strong", "start", &fitted(label, BLOCK - 20.0, 12.0)))
        (text(left, top + 30.0, "context small", "start", "context"))
        (text(second, top + 30.0, "target small", "start", "target"))
        (map(study, "context", &study.context, (left, top + HEAD), context))
        (map(study, "target", &study.target, (second, top + HEAD), target))
    }
}

fn map(study: &MaskStudy, class: &str, shares: &[f64], (left, top): (f64, f64), most: f64) -> Markup {
    let grid = study.grid;
    let side = MAP / grid.rows.max(grid.cols) as f64;
    html! {
        @for (patch, share) in shares.iter().enumerate() {
            @let (x, y) = (left + (patch % grid.cols) as f64 * side, top + (patch / grid.cols) as f64 * side);
            (cell(class, (x, y), (side, side), share / most))
            @if side >= ROOM {
                @let shade = if share / most > DARK { "small on-dark" } else { "small" };
                (text(x + side / 2.0, y + side / 2.0 + 4.0, shade, "middle", &format!("{:.0}", 100.0 * share)))
            }
        }
        rect class="frame" x=(px(left)) y=(px(top)) width=(px(side * grid.cols as f64))
            height=(px(side * grid.rows as f64)) {}
    }
}

fn sentence(label: &str, study: &MaskStudy) -> String {
    let ends = |shares: &[f64]| {
        let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
        let most = shares.iter().copied().fold(0.0, f64::max);
        format!("{:.0} to {:.0} %", 100.0 * least, 100.0 * most)
    };
    format!("{label}: context {}, target {}.", ends(&study.context), ends(&study.target))
}
