//! What the encoder makes of the patches of some images.

use ijepa_registry::{image::ImageShape, mask::Grid};
use maud::{Markup, html};

use crate::{
    explore::{
        look::{Look, SHOWN, shown},
        sample::{Sample, spaced},
    },
    numerics::{Pca, Points},
    report::plot::{
        figure::{Figure, fitted, px, text},
        layout::WIDTH,
        picture::{data_uri, thumbnail},
    },
};

const LABEL: f64 = 96.0;
const GAP: f64 = 6.0;
const SIDE: f64 = (WIDTH - LABEL) / SHOWN as f64 - GAP;
const PIXELS: u32 = 192;

/// Images above, the colours of their patches below: a row per run.
pub(in crate::explore) fn patches(name: &str, looks: &[Look], sample: &Sample) -> Figure {
    let shown = &looks[0].tokens.0;
    let columns = spaced(shown.len(), SHOWN);
    let images: Vec<usize> = columns.iter().map(|&c| shown[c]).collect();
    let tall = SIDE * sample.shape.height as f64 / sample.shape.width as f64;
    let head = |place: usize| place as f64 * (tall + GAP) + 18.0;
    let body = html! {
        (text(0.0, 16.0, "strong", "start", "image"))
        @for (column, &i) in images.iter().enumerate() {
            @let left = LABEL + column as f64 * (SIDE + GAP);
            (text(left, 12.0, "small", "start", &fitted(sample.class(i), SIDE, 11.0)))
            (picture(thumbnail(sample.shape, sample.bytes(i), PIXELS), (left, head(0)), (SIDE, tall)))
        }
        @for (row, look) in looks.iter().enumerate() {
            @let top = head(row + 1);
            @let words = if looks.len() > 1 { look.name.as_str() } else { "patches" };
            (text(0.0, top + 14.0, "strong", "start", &fitted(words, LABEL - 6.0, 12.0)))
            @for (column, uri) in colours(look, &columns).into_iter().enumerate() {
                (picture(uri, (LABEL + column as f64 * (SIDE + GAP), top), (SIDE, tall)))
            }
        }
    };
    Figure {
        name: name.into(),
        title: "Patches of images by the principal components of their tokens".into(),
        description: format!(
            "{} images, each with a map of {} by {} patches.",
            images.len(),
            looks[0].grid.rows,
            looks[0].grid.cols
        ),
        caption: format!(
            "The tokens of {} images were projected on their three principal components, which are red, green and blue: \
             patches of like colour have like tokens. Each component is scaled to its own range.",
            looks[0].tokens.0.len()
        ),
        size: (WIDTH, head(looks.len() + 1)),
        body,
    }
}

fn picture(uri: Option<String>, (left, top): (f64, f64), (width, height): (f64, f64)) -> Markup {
    html! {
        @if let Some(uri) = uri {
            image href=(uri) x=(px(left)) y=(px(top)) width=(px(width)) height=(px(height))
                preserveAspectRatio="none" {}
        }
        rect class="frame" x=(px(left)) y=(px(top)) width=(px(width)) height=(px(height)) {}
    }
}

/// A small image per shown one, a pixel per patch.
fn colours(look: &Look, columns: &[usize]) -> Vec<Option<String>> {
    let tokens = Points::new(&look.tokens.1, look.dim);
    let pca = Pca::fit(tokens, 3);
    let at: Vec<Vec<f64>> = tokens.rows().map(|row| pca.project(row)).collect();
    let ends: Vec<(f64, f64)> = (0..3).map(|j| ends(&at, j)).collect();
    let patches = look.grid.len();
    let level = |point: &Vec<f64>, j: usize| {
        let (low, high) = ends[j];
        let value = point.get(j).copied().unwrap_or(0.0);
        (255.0 * ((value - low) / (high - low)).clamp(0.0, 1.0)).round() as u8
    };
    let shape = ImageShape { channels: 3, height: look.grid.rows, width: look.grid.cols };
    let of = |&column: &usize| {
        let own = &at[column * patches..(column + 1) * patches];
        let bytes: Vec<u8> = (0..3).flat_map(|j| own.iter().map(move |p| level(p, j))).collect();
        data_uri(shape, &bytes)
    };
    columns.iter().map(of).collect()
}

/// Most heads with a row of their own.
const HEADS: usize = 8;

/// Images above, the attention that their patches receive below: the mean over the heads, then every head. None where
/// the encoder has no attention.
pub(in crate::explore) fn attention(name: &str, look: &Look, sample: &Sample) -> Option<Figure> {
    let (heads, maps) = look.attention.as_ref()?;
    let images = shown(&look.tokens.0);
    let patches = look.grid.len();
    let tall = SIDE * sample.shape.height as f64 / sample.shape.width as f64;
    let top = |place: usize| place as f64 * (tall + GAP) + 18.0;
    let mut rows: Vec<(String, Vec<Vec<f32>>)> = Vec::new();
    let of = |image: usize, head: usize| &maps[(image * heads + head) * patches..][..patches];
    let mean = |image: usize| -> Vec<f32> {
        (0..patches)
            .map(|p| (0..*heads).map(|head| of(image, head)[p]).sum::<f32>() / *heads as f32)
            .collect()
    };
    rows.push(("all heads".into(), (0..images.len()).map(mean).collect()));
    for head in (0..*heads).take(HEADS).filter(|_| *heads > 1) {
        rows.push((format!("head {}", head + 1), (0..images.len()).map(|i| of(i, head).to_vec()).collect()));
    }
    let most = maps.iter().copied().fold(0.0, f32::max) * patches as f32;
    let body = html! {
        (text(0.0, 16.0, "strong", "start", "image"))
        @for (column, &i) in images.iter().enumerate() {
            @let left = LABEL + column as f64 * (SIDE + GAP);
            (text(left, 12.0, "small", "start", &fitted(sample.class(i), SIDE, 11.0)))
            (picture(thumbnail(sample.shape, sample.bytes(i), PIXELS), (left, top(0)), (SIDE, tall)))
        }
        @for (row, (words, maps)) in rows.iter().enumerate() {
            (text(0.0, top(row + 1) + 14.0, "strong", "start", words))
            @for (column, map) in maps.iter().enumerate() {
                (picture(warmth(look.grid, map), (LABEL + column as f64 * (SIDE + GAP), top(row + 1)), (SIDE, tall)))
            }
        }
    };
    Some(Figure {
        name: name.into(),
        title: format!("Attention that patches receive in the last block of {}", look.name),
        description: format!(
            "{} images and {heads} heads. The patch that receives most gets {most:.1} times its equal share.",
            images.len()
        ),
        caption: "The share of attention that a patch receives from all patches of its image in the last block, mean over \
                  the patches that attend. Every map has its own range: dark is its least, bright its most."
            .into(),
        size: (WIDTH, top(rows.len() + 1)),
        body,
    })
}

/// A map as a picture, a pixel per patch: dark blue, red, yellow over its own range.
fn warmth(grid: Grid, map: &[f32]) -> Option<String> {
    let low = map.iter().copied().fold(f32::INFINITY, f32::min);
    let high = map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let share = |v: &f32| if high > low { (v - low) / (high - low) } else { 0.5 };
    let shape = ImageShape { channels: 3, height: grid.rows, width: grid.cols };
    let shares: Vec<f32> = map.iter().map(share).collect();
    let bytes: Vec<u8> = (0..3).flat_map(|c| shares.iter().map(move |v| between(*v, c))).collect();
    data_uri(shape, &bytes)
}

/// Colours at equal distances of the range.
const STOPS: [[f32; 3]; 4] =
    [[12.0, 12.0, 60.0], [130.0, 30.0, 110.0], [240.0, 110.0, 50.0], [255.0, 240.0, 150.0]];

fn between(share: f32, channel: usize) -> u8 {
    let at = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
    let stop = (at as usize).min(STOPS.len() - 2);
    let (from, to) = (STOPS[stop][channel], STOPS[stop + 1][channel]);
    (from + (to - from) * (at - stop as f32)).round() as u8
}

/// Range of a component without its outermost hundredths.
fn ends(at: &[Vec<f64>], j: usize) -> (f64, f64) {
    let mut values: Vec<f64> = at.iter().map(|p| p.get(j).copied().unwrap_or(0.0)).collect();
    values.sort_by(f64::total_cmp);
    let cut = values.len() / 100;
    let (low, high) = (values[cut], values[values.len() - 1 - cut]);
    if high > low { (low, high) } else { (low - 0.5, low + 0.5) }
}
