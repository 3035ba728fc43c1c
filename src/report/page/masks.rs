//! The page of the masks of one experiment.

use maud::{Markup, html};

use super::{document, drawing, prose, tables::head};
use crate::report::{
    figures::masks::{MaskStudy, Masks},
    plot::figure::Figure,
};

/// The whole page.
pub(crate) fn page(name: &str, masks: &Masks, figures: &[Figure]) -> String {
    let title = format!("Masks of {name}");
    let main = html! {
        header { h1 { (title) } }
        @for study in &masks.studies { (facts(study)) }
        @for figure in figures { (drawing(figure)) }
        @for note in &masks.notes { p class="note" { (prose(note)) } }
    };
    document(&title, "", &main)
}

fn facts(study: &MaskStudy) -> Markup {
    html! {
        table {
            (head(&[("masks", "left"), (study.kind.as_str(), "left")]))
            tbody { @for (what, value) in study.facts.sentences(study.grid.len()) { tr { th scope="row" { (what) } td { (value) } } } }
        }
    }
}
