//! A few training images with what the context encoder sees and what is predicted.

use ijepa_registry::mask::{Grid, MaskPlan};
use maud::{Markup, html};

use super::masks::{MaskStudy, Masks};
use crate::report::plot::{
    figure::{Figure, fitted, px, text},
    layout::WIDTH,
    picture::data_uri,
};

const SIDE: f64 = 150.0;
const GAP: f64 = 14.0;
const LABEL: f64 = 220.0;
const TOP: f64 = 8.0;
const ROW: f64 = SIDE + GAP;

/// One row of images per masking; none without masks.
pub(crate) fn examples(masks: &Masks) -> Option<Figure> {
    let studies = &masks.studies;
    if studies.iter().all(|s| s.examples.is_empty()) {
        return None;
    }
    Some(Figure {
        name: "mask-examples".into(),
        title: "Masks on training images, by arm".into(),
        description: studies.iter().map(|s| sentence(&masks.label(s), s)).collect::<Vec<_>>().join(" "),
        caption:
            "The first training images of the first epoch, before augmentation. Clear: the context that \
                  the encoder sees. Veiled: hidden. Outlined: the target blocks whose representations are \
                  predicted; blocks may overlap."
                .into(),
        size: (WIDTH, TOP + ROW * studies.len() as f64),
        body: html! {
            @for (row, study) in studies.iter().enumerate() {
                @let top = TOP + row as f64 * ROW;
                (text(0.0, top + 16.0, "strong", "start", &fitted(&masks.label(study), LABEL - 12.0, 12.0)))
                (text(0.0, top + 34.0, "muted small", "start", &study.kind))
                (text(0.0, top + 50.0, "muted small", "start", &counts(study)))
                @for (column, (_, plan, pixels)) in study.examples.iter().enumerate() {
                    (example(study, plan, pixels.as_deref(), (LABEL + column as f64 * (SIDE + GAP), top)))
                }
            }
        },
    })
}

fn example(study: &MaskStudy, plan: &MaskPlan, pixels: Option<&[u8]>, (left, top): (f64, f64)) -> Markup {
    let grid = study.grid;
    let side = SIDE / grid.rows.max(grid.cols) as f64;
    let (width, height) = (side * grid.cols as f64, side * grid.rows as f64);
    let view = &plan.views[0];
    let seen = &view.context;
    let at =
        |patch: usize| (left + (patch % grid.cols) as f64 * side, top + (patch / grid.cols) as f64 * side);
    html! {
        @if let Some(uri) = pixels.and_then(|p| data_uri(study.shape, p)) {
            image href=(uri) x=(px(left)) y=(px(top)) width=(px(width)) height=(px(height))
                preserveAspectRatio="none" {}
        } @else {
            rect class="context" fill-opacity="0.35" x=(px(left)) y=(px(top)) width=(px(width)) height=(px(height)) {}
        }
        @for patch in (0..grid.len()).filter(|p| !seen.contains(&(*p as u32))) {
            @let (x, y) = at(patch);
            rect class="veil" x=(px(x)) y=(px(y)) width=(px(side)) height=(px(side)) {}
        }
        @for target in &view.targets {
            path class="outline" d=(outline(grid, target, (left, top), side)) {}
        }
        rect class="frame" x=(px(left)) y=(px(top)) width=(px(width)) height=(px(height)) {}
    }
}

/// The edges between patches of a set and all others.
fn outline(grid: Grid, patches: &[u32], (left, top): (f64, f64), side: f64) -> String {
    let (rows, cols) = (grid.rows as i64, grid.cols as i64);
    let inside = |row: i64, col: i64| {
        (0..rows).contains(&row) && (0..cols).contains(&col) && patches.contains(&((row * cols + col) as u32))
    };
    let mut edges = String::new();
    for (row, col) in patches.iter().map(|&p| (i64::from(p) / cols, i64::from(p) % cols)) {
        let (x, y) = (left + col as f64 * side, top + row as f64 * side);
        let mut edge = |open: bool, from: (f64, f64), to: (f64, f64)| {
            if open {
                edges += &crate::report::plot::figure::path(&[from, to]);
            }
        };
        edge(!inside(row - 1, col), (x, y), (x + side, y));
        edge(!inside(row + 1, col), (x, y + side), (x + side, y + side));
        edge(!inside(row, col - 1), (x, y), (x, y + side));
        edge(!inside(row, col + 1), (x + side, y), (x + side, y + side));
    }
    edges
}

/// Mean sizes over the images counted.
fn counts(study: &MaskStudy) -> String {
    let patches = |shares: &[f64]| shares.iter().sum::<f64>();
    format!(
        "context {:.1}, targets {:.1} of {}",
        patches(&study.context),
        patches(&study.target),
        study.grid.len()
    )
}

fn sentence(label: &str, study: &MaskStudy) -> String {
    format!("{label}: masking {}, mean patches: {}.", study.kind, counts(study))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_one_outline() {
        let grid = Grid { rows: 3, cols: 3 };
        let edges = outline(grid, &[0, 1, 3, 4], (0.0, 0.0), 10.0);
        assert_eq!(edges.matches('M').count(), 8, "two patches on each of four sides: {edges}");
        assert_eq!(outline(grid, &[8], (0.0, 0.0), 10.0).matches('M').count(), 4);
    }
}
