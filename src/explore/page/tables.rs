//! Tables of numbers, a column per run.

use maud::{Markup, html};

use crate::{
    explore::{Material, look::Look, space::AT},
    report::plot::numbers::plain,
};

/// The last measurement of every metric.
pub(super) fn last(looks: &[Look]) -> Markup {
    let mut names: Vec<(&str, &str)> = Vec::new();
    for (name, _, unit) in looks.iter().flat_map(|look| &look.tables.last) {
        if !names.iter().any(|(n, _)| n == name) {
            names.push((name, unit));
        }
    }
    let value = |look: &Look, name: &str| {
        let found = look.tables.last.iter().find(|(n, ..)| n == name);
        found.map_or("–".into(), |(_, value, _)| plain(*value))
    };
    html! {
        @if !names.is_empty() {
            details {
                summary { "Last measurement of every metric (" (names.len()) ")" }
                div class="scroll" {
                    table id="table-last" {
                        caption { "The last rows of " code { "probes.csv" } }
                        thead { tr { th scope="col" { "metric" } (heads(looks)) th scope="col" { "unit" } } }
                        tbody {
                            @for (name, unit) in names {
                                tr {
                                    th scope="row" { code { (name) } }
                                    @for look in looks { td class="number" { (value(look, name)) } }
                                    td class="number" { (unit) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn heads(looks: &[Look]) -> Markup {
    html! {
        @for look in looks { th scope="col" { @if looks.len() > 1 { (look.name) } @else { "value" } } }
    }
}

/// How neighbours and distances agree with the labels.
pub(super) fn scores(material: &Material) -> Markup {
    let known = |value: Option<f64>| value.map_or("–".into(), plain);
    html! {
        div class="scroll" {
            table id="table-scores" {
                caption { "How the features agree with the labels" }
                thead {
                    tr {
                        th scope="col" { "labels" }
                        @if material.looks.len() > 1 { th scope="col" { "run" } }
                        @for k in AT { th scope="col" { "precision@" (k) } }
                        th scope="col" { "by chance" } th scope="col" { "silhouette" }
                    }
                }
                tbody {
                    @for label in 0..material.sample.labels.len() {
                        @for (space, look) in material.spaces.iter().zip(&material.looks) {
                            @let scores = &space.scores[label];
                            tr {
                                th scope="row" { (scores.labels) }
                                @if material.looks.len() > 1 { td class="number" { (look.name) } }
                                @for value in &scores.precision { td class="number" { (known(*value)) } }
                                td class="number" { (plain(scores.chance)) }
                                td class="number" { (known(scores.silhouette)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
