//! Sections about where the features put the images.

use maud::{Markup, html};

use super::tables;
use crate::{
    explore::{
        Material,
        figures::{
            matrix::{Matrix, hundredths, matrix},
            neighbours::{Query, neighbours as grid},
            scatter::{Plane, components, scatter},
        },
        predictions::Confusion,
        sample::spaced,
        space::{Space, VOTERS},
    },
    report::{drawing, plot::numbers::plain},
};

/// Images whose neighbours are shown.
const QUERIES: usize = 10;

/// The same in a page of two runs, each with the neighbours of either.
const OF_TWO: usize = 6;

/// t-SNE and PCA by every label.
pub(super) fn map(material: &Material) -> Markup {
    html! {
        section id="map" {
            h2 { "Map of features" }
            @if material.sample.labels.is_empty() {
                p { "The data set has no labels to colour by." }
                @for (run, space) in material.spaces.iter().enumerate() { (unlabelled(material, run, space)) }
            } @else {
                (tables::scores(material))
                @for label in 0..material.sample.labels.len() {
                    @for (run, space) in material.spaces.iter().enumerate() { (coloured(material, run, space, label)) }
                }
            }
        }
    }
}

fn planes(space: &Space) -> [Plane<'_>; 2] {
    [
        Plane { heading: "t-SNE".into(), points: &space.tsne },
        Plane { heading: components(&space.shares), points: &space.pca },
    ]
}

fn coloured(material: &Material, run: usize, space: &Space, label: usize) -> Markup {
    let labels = &material.sample.labels[label];
    let scores = &space.scores[label];
    let of =
        if material.looks.len() > 1 { format!(" of {}", material.looks[run].name) } else { String::new() };
    let known = |value: Option<f64>| value.map_or("–".into(), plain);
    let description = format!(
        "{} images of {} values of {}: precision@1 {}, by chance {}; silhouette {}.",
        labels.labels.len(),
        labels.values.len(),
        labels.name,
        known(scores.precision[0]),
        plain(scores.chance),
        known(scores.silhouette)
    );
    let title = format!("Features{of} by {}", labels.name);
    html! {
        h3 { (title) }
        (drawing(&scatter(&format!("map-{run}-{label}"), &title, &planes(space), labels, &description)))
    }
}

/// All points alike.
fn unlabelled(material: &Material, run: usize, space: &Space) -> Markup {
    let count = material.sample.count();
    let alike = ijepa_registry::image::Labels {
        name: "none".into(),
        values: vec!["images".into()],
        labels: vec![0; count],
    };
    let title = format!("Features of {}", material.looks[run].name);
    drawing(&scatter(&format!("map-{run}"), &title, &planes(space), &alike, &format!("{count} images.")))
}

/// Images with their nearest ones.
pub(super) fn neighbours(material: &Material) -> Markup {
    let several = material.looks.len() > 1;
    let images = spaced(material.sample.count(), if several { OF_TWO } else { QUERIES });
    let words = |run: usize, image: usize| {
        let own =
            if several { material.looks[run].name.clone() } else { material.sample.class(image).to_owned() };
        [own, format!("image {}", material.sample.indices[image])]
    };
    let queries: Vec<Query> = images
        .iter()
        .flat_map(|&image| (0..material.spaces.len()).map(move |run| (run, image)))
        .map(|(run, image)| Query {
            image,
            near: &material.spaces[run].near[image],
            words: words(run, image),
        })
        .collect();
    html! {
        section id="neighbours" {
            h2 { "Neighbours" }
            (drawing(&grid("neighbour-grid", "Images and their nearest neighbours", &material.sample, &queries)))
        }
    }
}

/// Cosines between classes.
pub(super) fn classes(material: &Material) -> Markup {
    let labels = material.sample.labels.len();
    let places = (0..labels).flat_map(|label| (0..material.looks.len()).map(move |run| (run, label)));
    let all: Vec<Markup> = places
        .flat_map(|(run, label)| [similarity(material, run, label), confusion(material, run, label)])
        .flatten()
        .collect();
    html! {
        section id="classes" {
            h2 { "Classes" }
            @if all.is_empty() { p { "No labelling has 2 to 32 values, whose similarity could be drawn." } }
            @for figure in &all { (figure) }
            @for (run, look) in material.looks.iter().enumerate() {
                @for (place, confusion) in look.confusions.iter().enumerate() {
                    (of_probe(confusion, &look.name, &format!("probe-{run}-{place}")))
                }
            }
        }
    }
}

fn similarity(material: &Material, run: usize, label: usize) -> Option<Markup> {
    let values = material.spaces[run].similarity[label].as_ref()?;
    let labels = &material.sample.labels[label];
    let of =
        if material.looks.len() > 1 { format!(" of {}", material.looks[run].name) } else { String::new() };
    let title = format!("Similarity of the values of {}{of}", labels.name);
    Some(drawing(&matrix(&Matrix {
        name: &format!("similarity-{run}-{label}"),
        description: nearest_pair(values, &labels.values),
        caption: format!(
            "{title}: cosines between the mean features of the values, around the mean of all images. Blue: the means \
             lie in like directions; orange: in opposite ones."
        ),
        title,
        axes: [&labels.name, &labels.name],
        rows: &labels.values,
        columns: &labels.values,
        values,
        full: 1.0,
        written: hundredths,
    })))
}

fn confusion(material: &Material, run: usize, label: usize) -> Option<Markup> {
    let values = material.spaces[run].confusion[label].as_ref()?;
    let labels = &material.sample.labels[label];
    let of =
        if material.looks.len() > 1 { format!(" of {}", material.looks[run].name) } else { String::new() };
    let title = format!("What the neighbours say about {}{of}", labels.name);
    let right = (0..values.len()).map(|i| values[i][i]).sum::<f64>() / values.len() as f64;
    Some(drawing(&matrix(&Matrix {
        name: &format!("confusion-{run}-{label}"),
        description: format!(
            "Mean over the values: {} % of their images are named rightly.",
            plain(100.0 * right)
        ),
        caption: format!(
            "{title}: per cent of the images of a value (row) whose {VOTERS} nearest other images most often have the \
             value of the column."
        ),
        title,
        axes: [&labels.name, "most frequent among the neighbours"],
        rows: &labels.values,
        columns: &labels.values,
        values,
        full: 1.0,
        written: per_cent,
    })))
}

/// What a probe takes the images of every value for.
fn of_probe(confusion: &Confusion, run: &str, name: &str) -> Markup {
    let (images, right) = confusion.images;
    let title = format!("Confusion of {} of {run}", confusion.name);
    drawing(&matrix(&Matrix {
        name,
        description: format!("Of {images} images, {right} are named rightly."),
        caption: format!(
            "{title}, epoch {}: per cent of the images of a value (row) that the probe takes for the value of the column.",
            confusion.epoch
        ),
        title,
        axes: ["label", "prediction"],
        rows: &confusion.values,
        columns: &confusion.values,
        values: &confusion.shares,
        full: 1.0,
        written: per_cent,
    }))
}

/// A share in per cent; empty where it is none.
fn per_cent(share: f64) -> String {
    if share < 0.005 { String::new() } else { format!("{:.0}", 100.0 * share) }
}

/// The two values that are most alike, in words.
fn nearest_pair(values: &[Vec<f64>], names: &[String]) -> String {
    let pairs = (0..names.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    let most = pairs.max_by(|x, y| values[x.0][x.1].total_cmp(&values[y.0][y.1]));
    most.map_or(String::new(), |(a, b)| {
        format!("Most alike: {} and {}, cosine {}.", names[b], names[a], plain(values[a][b]))
    })
}
