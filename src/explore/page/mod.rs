//! The page about one run or two: every section with its figures and tables.

mod comparison;
mod features;
mod tables;

use maud::{Markup, html};

use super::{Material, figures};
use crate::report::{document, drawing, examples, plot::figure::Figure, prose, visibility};

pub(super) const STYLE: &str = include_str!("../explore.css");

/// The whole page.
pub(super) fn page(material: &Material) -> String {
    let title = title(material);
    let main = html! {
        (opening(material, &title))
        @if material.looks.len() > 1 { (comparison::section(material)) }
        (training(material))
        (features::map(material))
        (features::neighbours(material))
        (features::classes(material))
        (patches(material))
        (masks(material))
        (teacher(material))
        (terms(material))
    };
    document(&title, STYLE, &main)
}

fn title(material: &Material) -> String {
    let names: Vec<&str> = material.looks.iter().map(|look| look.name.as_str()).collect();
    if names.len() > 1 { format!("Runs {}", names.join(" and ")) } else { format!("Run {}", names[0]) }
}

fn opening(material: &Material, title: &str) -> Markup {
    let sample = &material.sample;
    html! {
        header {
            h1 { (title) }
            @for look in &material.looks {
                @if material.looks.len() > 1 { h3 { (look.name) } }
                dl class="facts" {
                    @for (key, text) in &look.facts { dt { (key) } dd { (text) } }
                    dt { "Features" }
                    dd {
                        "mean tokens of the " (look.encoder) " encoder, as probes see them: " (look.dim) " numbers of "
                        (sample.count()) " of " (sample.total) " " (sample.split) " images, evenly spaced"
                    }
                }
            }
            nav aria-label="Contents" {
                @if material.looks.len() > 1 { a href="#comparison" { "Comparison" } }
                a href="#training" { "Training" } a href="#map" { "Map of features" }
                a href="#neighbours" { "Neighbours" } a href="#classes" { "Classes" }
                a href="#patches" { "Patches" } a href="#masks" { "Masks" } a href="#teacher" { "Teacher" }
                a href="#terms" { "Terms" }
            }
        }
    }
}

fn training(material: &Material) -> Markup {
    let runs =
        |of: fn(&super::look::Look) -> &[super::curves::Chart]| -> Vec<(&str, &[super::curves::Chart])> {
            material.looks.iter().map(|look| (look.name.as_str(), of(look))).collect()
        };
    let training =
        figures::charts::charts("curves-training", "Training", &runs(|look| &look.tables.training));
    let probes =
        figures::charts::charts("curves-probes", "Measurements of probes", &runs(|look| &look.tables.probes));
    html! {
        section id="training" {
            h2 { "Training" }
            @match &training {
                Some(figure) => (drawing(figure)),
                None => p { "No row of " code { "metrics.csv" } " is written yet." },
            }
            @match &probes {
                Some(figure) => (drawing(figure)),
                None => p { "No probe was measured more than once; " code { "every" } " of a probe says how often." },
            }
            (tables::last(&material.looks))
        }
    }
}

fn patches(material: &Material) -> Markup {
    html! {
        section id="patches" {
            h2 { "Patches" }
            (drawing(&figures::patches::patches("patch-colours", &material.looks, &material.sample)))
            @for (run, look) in material.looks.iter().enumerate() {
                @match figures::patches::attention(&format!("attention-{run}"), look, &material.sample) {
                    Some(figure) => (drawing(&figure)),
                    None => p { "The encoder of " (look.name) " has no attention to show." },
                }
            }
        }
    }
}

fn masks(material: &Material) -> Markup {
    html! {
        section id="masks" {
            h2 { "Masks" }
            @if let Some(figure) = visibility(&material.masks) { (drawing(&Figure { caption: where_masks_fall(), ..figure })) }
            @if let Some(figure) = examples(&material.masks) { (drawing(&figure)) }
        }
    }
}

fn where_masks_fall() -> String {
    "Per cent of images in which a patch is in the context (left) and in a target block (right): the masks that the run \
     draws for its first 1024 training images. Full colour is the largest share."
        .into()
}

fn teacher(material: &Material) -> Markup {
    html! {
        section id="teacher" {
            h2 { "Teacher" }
            @match figures::bars::lag(&material.looks) {
                Some(figure) => (drawing(&figure)),
                None => p { "The targets come from no encoder with weights of its own: there is no lag." },
            }
        }
    }
}

fn terms(material: &Material) -> Markup {
    let mut terms = vec![
        ("cosine", "of the angle between two features, as the probe `knn` compares images"),
        (
            "precision@k",
            "share of the k nearest other images that have the label of the image, mean over the images; by chance: \
             the share of all other images with that label",
        ),
        (
            "silhouette",
            "mean of (b - a) / max(a, b) in cosine distance, where a is the mean distance to the images of the same \
             label and b that to the nearest other label (Rousseeuw 1987): 1 apart, 0 mixed, below 0 nearer to others",
        ),
        (
            "t-SNE",
            "neighbours of the features as neighbours in the plane: perplexity 30, 1000 iterations, Barnes-Hut 0.5, \
             started from two principal components; no random number",
        ),
        ("PCA", "the directions in which the features differ most"),
    ];
    if material.looks.len() > 1 {
        terms.push((
            "CKA",
            "linear centred kernel alignment (Kornblith et al. 2019) of the mean tokens after two blocks: 1 if one is a \
             rotation and a scaling of the other, 0 if they have nothing in common",
        ));
    }
    html! {
        section id="terms" {
            h2 { "Terms" }
            dl class="facts" { @for (term, meaning) in terms { dt { (term) } dd { (prose(meaning)) } } }
        }
    }
}
