//! The page of one run.

use maud::{Markup, html};

use super::{
    document, drawing, prose,
    tables::{head, value},
};
use crate::report::{
    plot::{figure::Figure, numbers::plain},
    run_data::{LastValue, RunMaterial},
};

/// The whole page.
pub(crate) fn page(material: &RunMaterial) -> String {
    let title = format!("Run {}", material.name);
    let main = html! {
        (opening(material, &title))
        section id="results" {
            h2 { "Results" }
            (last_values("table-results", "Last results", material, true))
            (panels(&material.probes))
            (last_values("table-diagnostics", "Chosen by the probes, and diagnostics", material, false))
            @if material.last.is_empty() { p { "No probe has been measured yet." } }
        }
        section id="training" {
            h2 { "Training" }
            (panels(&material.training))
            @if material.training.is_empty() { p { "No step has been logged yet." } }
        }
        section id="masks" {
            h2 { "Masks" }
            @if let Some(visibility) = &material.visibility { (drawing(visibility)) }
            @if let Some(examples) = &material.examples { (drawing(examples)) }
            @for note in &material.masks.notes { p class="note" { (prose(note)) } }
        }
        (settings(material))
    };
    document(&title, "", &main)
}

fn opening(material: &RunMaterial, title: &str) -> Markup {
    html! {
        header {
            h1 { (title) }
            p class="verdict-line" { (headline(material)) }
            (facts(material))
            nav aria-label="Contents" {
                a href="#results" { "Results" } a href="#training" { "Training" } a href="#masks" { "Masks" }
                a href="#settings" { "Settings" }
            }
        }
    }
}

/// How the run stands, and its first result.
fn headline(material: &RunMaterial) -> Markup {
    let at = material.standing.status.as_ref().map(|s| format!(", step {} of {}", s.step, s.steps));
    let target = |l: &&LastValue| l.is_result && l.name.split('/').nth(1) == Some("target");
    let first = material.last.iter().find(target).or(material.last.iter().find(|l| l.is_result));
    html! {
        "The run is " (material.standing.state()) (at.unwrap_or_default()) "."
        @if let Some(last) = first {
            " " code { (last.name) } " is " span class="number" { (plain(last.value)) (suffix(&last.unit)) }
            " at step " (last.step) "."
        }
    }
}

fn suffix(unit: &str) -> String {
    if matches!(unit, "" | "1") { String::new() } else { format!(" {unit}") }
}

fn facts(material: &RunMaterial) -> Markup {
    let reason = material.standing.reason();
    html! {
        dl class="facts" {
            dt { "Folder" } dd { code { (material.folder.display()) } }
            @if !reason.is_empty() { dt { "State" } dd { (prose(&reason)) } }
            @if let Some(seed) = &material.run.seed { dt { "Seed" } dd { (seed) } }
            @if let Some(card) = material.cards.last() {
                @if !card.images.is_empty() { dt { "Images" } dd { (card.images) } }
                dt { "Device" } dd { (card.device) ", " (card.threads) " threads, " (card.cpu) }
                dt { "Version" } dd { (card.version) @if !card.git.is_empty() { ", commit " (card.git) } }
            }
        }
    }
}

fn last_values(id: &str, caption: &str, material: &RunMaterial, results: bool) -> Markup {
    let rows: Vec<&LastValue> = material.last.iter().filter(|l| l.is_result == results).collect();
    let columns = [
        ("metric", "probe/encoder/labels/metric"),
        ("value", "last measurement"),
        ("unit", ""),
        ("step", ""),
    ];
    html! {
        @if !rows.is_empty() {
            div class="scroll" {
                table id=(id) {
                    caption { (caption) }
                    (head(&columns))
                    tbody { @for row in rows { tr {
                        th scope="row" title=(row.meaning) { code { (row.name) } }
                        td class="number" { (value(row.value, plain(row.value))) }
                        td class="number" { (row.unit) }
                        td class="number" { (row.step) }
                    } } }
                }
            }
        }
    }
}

fn panels(figures: &[Figure]) -> Markup {
    html! {
        @if !figures.is_empty() {
            div class="panels" {
                @for figure in figures {
                    figure id=(figure.name) { (figure.inline()) figcaption { (prose(&figure.caption)) } }
                }
            }
        }
    }
}

fn settings(material: &RunMaterial) -> Markup {
    html! {
        section id="settings" {
            h2 { "Settings" }
            details {
                summary { "All settings that can change a result" }
                dl class="facts" {
                    @for (path, value) in &material.run.settings.0 { dt { code { (path) } } dd { code { (value) } } }
                }
            }
            p { "Everything else about this run: " code { "ijepa-run show " (material.folder.display()) } }
        }
    }
}
