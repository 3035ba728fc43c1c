//! Two runs side by side.

use maud::{Markup, html};

use crate::{
    explore::{
        Material,
        figures::{
            matrix::{Matrix, matrix},
            neighbours::{Query, neighbours},
        },
        look::Look,
        sample::spaced,
        space::AT,
    },
    numerics::{Kernel, Points, shared_neighbours},
    report::{drawing, plot::numbers::plain},
};

/// Images from which CKA is computed, at most.
const CKA_IMAGES: usize = 1000;

/// Neighbours that are compared.
const NEIGHBOURS: usize = 8;

/// Images whose neighbours differ that are shown.
const SHOWN: usize = 5;

/// What the runs have in common and what not.
pub(super) fn section(material: &Material) -> Markup {
    let [a, b] = [&material.spaces[0].near, &material.spaces[1].near];
    let shared = |k: usize| shared_neighbours(k, a, b).map_or("–".into(), |share| plain(100.0 * share));
    html! {
        section id="comparison" {
            h2 { "Comparison" }
            p class="verdict-line" {
                "Of the nearest " (AT[1]) " neighbours of an image, " (shared(AT[1])) " % are the same in both runs; of the \
                 nearest " (AT[2]) ", " (shared(AT[2])) " %."
            }
            h3 { "Blocks" }
            (drawing(&layers(&material.looks)))
            h3 { "Images whose neighbours differ most" }
            (drawing(&differing(material)))
        }
    }
}

/// CKA between all pairs of blocks of the two encoders.
fn layers(looks: &[Look]) -> crate::report::plot::figure::Figure {
    let [rows, columns] = [&looks[0], &looks[1]].map(kernels);
    let values: Vec<Vec<f64>> =
        rows.iter().map(|a| columns.iter().map(|b| a.cka(b).unwrap_or(f64::NAN)).collect()).collect();
    let names =
        |look: &Look| -> Vec<String> { (1..=look.depth).map(|block| format!("block {block}")).collect() };
    let (last_row, last) = (values.len() - 1, values[0].len() - 1);
    matrix(&Matrix {
        name: "cka",
        title: format!("CKA between the blocks of {} and {}", looks[0].name, looks[1].name),
        caption: format!(
            "Linear CKA between the mean tokens after every block of {} (rows) and {} (columns): full colour is 1.",
            looks[0].name, looks[1].name
        ),
        description: format!("The last blocks have CKA {}.", plain(values[last_row][last])),
        axes: [&looks[0].name, &looks[1].name],
        rows: &names(&looks[0]),
        columns: &names(&looks[1]),
        values: &values,
        full: 1.0,
        written: |cka| if cka.is_finite() { format!("{cka:.2}") } else { "–".into() },
    })
}

fn kernels(look: &Look) -> Vec<Kernel> {
    let images = spaced(look.layers.len() / (look.depth * look.dim), CKA_IMAGES);
    let of = |block: usize| {
        let all = look.layer(block);
        let some: Vec<f32> =
            images.iter().flat_map(|&i| all[i * look.dim..(i + 1) * look.dim].to_vec()).collect();
        Kernel::of(Points::new(&some, look.dim))
    };
    (0..look.depth).map(of).collect()
}

/// The images whose neighbours the runs agree on least.
fn differing(material: &Material) -> crate::report::plot::figure::Figure {
    let near = |run: usize, image: usize| &material.spaces[run].near[image];
    let common = |image: usize| {
        let few = |run| near(run, image).iter().take(NEIGHBOURS).map(|n| n.point).collect::<Vec<usize>>();
        let other = few(1);
        few(0).into_iter().filter(|point| other.contains(point)).count()
    };
    let mut images: Vec<usize> = (0..material.sample.count()).collect();
    images.sort_by_cached_key(|&image| (common(image), image));
    // Of all that differ as much, evenly spaced ones: neighbours in the list may be of one class.
    let least = images.first().map_or(0, |&image| common(image));
    let as_much = images.iter().take_while(|&&image| common(image) == least).count();
    let chosen: Vec<usize> =
        spaced(as_much.max(SHOWN.min(images.len())), SHOWN).into_iter().map(|i| images[i]).collect();
    let queries: Vec<Query> = chosen
        .into_iter()
        .flat_map(|image| (0..2).map(move |run| (run, image)))
        .map(|(run, image)| Query {
            image,
            near: near(run, image),
            words: [material.looks[run].name.clone(), format!("{} in common", common(image))],
        })
        .collect();
    neighbours("neighbours-differ", "Images whose neighbours differ most", &material.sample, &queries)
}
