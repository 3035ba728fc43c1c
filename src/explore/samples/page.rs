//! The page of what a model sees.

use maud::{Markup, html};

use super::{
    Moments, Samples, Shown,
    figures::{counted, picture},
};
use crate::report::{document, drawing};

const STYLE: &str = include_str!("samples.css");

/// The whole page.
pub fn page(samples: &Samples) -> String {
    let title = format!("Data of {}", samples.name);
    let main = html! {
        header {
            h1 { (title) }
            dl class="facts" {
                @for (what, value) in &samples.facts { dt { (what) } dd { (value) } }
            }
        }
        h2 id="images" { "Training images" }
        p {
            "On the left the image as it is stored, with its patches; then as the first epochs see it, without \
             normalisation, whose values are in the table below."
        }
        @for shown in &samples.images { (strip(samples, shown)) }
        h2 id="values" { "Values" }
        (channels(samples))
        p class="note" { "The stored training images would be normalised by " code { (samples.normalisation()) } "." }
        @if !samples.counts.is_empty() { h2 id="labels" { "Labels" } }
        @for at in 0..samples.counts.len() { (drawing(&counted(samples, at))) }
    };
    document(&title, STYLE, &main)
}

fn strip(samples: &Samples, shown: &Shown) -> Markup {
    let labels: Vec<String> = shown.labels.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let words =
        format!("image {}{}", shown.index, labels.iter().map(|l| format!(", {l}")).collect::<String>());
    html! {
        section class="strip" aria-label=(words) {
            p class="words" { strong { "image " (shown.index) } @for label in &labels { ", " (label) } }
            div class="pictures" {
                (picture(samples.shape, &shown.stored, Some(samples.patch), &format!("{words}, as stored")))
                @for (epoch, draw) in (1..).zip(&shown.draws) {
                    (picture(samples.shape, draw, None, &format!("{words}, epoch {epoch}")))
                }
            }
        }
    }
}

fn channels(samples: &Samples) -> Markup {
    let cells = |m: &Moments| html! { td class="number" { (format!("{:.4}", m.mean)) } td class="number" { (format!("{:.4}", m.std)) } };
    html! {
        table {
            caption { "Mean and standard deviation of each channel: of all stored training images, values 0 to 1, and of what \
                       the encoder gets in the first epoch (a sample)." }
            thead { tr {
                th scope="col" { "channel" } th scope="col" { "mean" } th scope="col" { "std" }
                th scope="col" { "augmented: mean" } th scope="col" { "std" }
            } }
            tbody {
                @for (i, (stored, seen)) in samples.channels.iter().enumerate() {
                    tr { th scope="row" { (i) } (cells(stored)) (cells(seen)) }
                }
            }
        }
    }
}
