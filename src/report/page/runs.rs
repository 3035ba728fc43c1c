//! The list of runs: what every number comes from, and how to get it again.

use maud::{Markup, html};

use super::{
    prose,
    tables::{name, value},
};
use crate::report::{data::Material, plot::numbers::plain};
use crate::{
    analysis::{Arm, Reading, Run, SweepRun},
    results::columns::RUNS,
};

/// All runs by arm. `#arm-INDEX` and `#RUN_ID` are the anchors that numbers link to.
pub(crate) fn list(material: &Material) -> Markup {
    html! {
        @for (i, arm) in material.study.arms.iter().enumerate() { (of_arm(material, i, arm)) }
    }
}

fn of_arm(material: &Material, index: usize, arm: &Arm) -> Markup {
    let readings = &material.report.arms[index].readings;
    let row = |run: &Run| {
        material.table.runs.iter().find(|r| r.arm == arm.name && Some(&r.seed) == run.seed.as_ref())
    };
    html! {
        section class="arm-runs" id=(format!("arm-{index}")) {
            h3 { (name(&arm.label)) }
            table class="runs" {
                thead { tr { th scope="col" { "run" } th scope="col" { "seed" } th scope="col" { "state" }
                    th scope="col" { "steps" } th scope="col" { (material.report.metric) } } }
                @for (run, reading) in arm.runs.iter().zip(readings) {
                    @if let Some(row) = row(run) { (one(material, row, reading)) }
                }
            }
        }
    }
}

fn one(material: &Material, run: &SweepRun, reading: &Reading) -> Markup {
    let state = material.state(run);
    html! {
        tbody id=(run.id) {
            tr {
                th scope="row" { code { (run.id) } }
                td class="number" { (run.seed) }
                td { (state) @if !run.reason.is_empty() { ": " (prose(&run.reason)) } }
                td class="number" { (run.steps) }
                td class="number" data-run=(run.id) { (reading_cell(reading)) }
            }
            tr class="source" { td colspan="5" {
                details {
                    summary { "command and row" }
                    p { "Again from nothing, with the same bytes:" }
                    pre { code { (again(material, run)) } }
                    p { "Line " (run.line) " of " code { (material.table.folder.join(RUNS.file).display()) } ":" }
                    pre { code { (run.row) } }
                }
            } }
        }
    }
}

fn reading_cell(reading: &Reading) -> Markup {
    match reading.value {
        Ok(x) => value(x, plain(x)),
        Err(why) => html! { span class="absent" { (why.name()) } },
    }
}

/// The command that computes a run anew; without `--output` it finds the run done.
fn again(material: &Material, run: &SweepRun) -> String {
    let config = material.table.config(run);
    format!("ijepa-run {} --output again", quoted(&config.display().to_string()))
}

/// A word of a shell command.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=,:+@%".contains(c);
    if word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quoted("results/sweeps/a-1/configs/0.yaml"), "results/sweeps/a-1/configs/0.yaml");
        assert_eq!(quoted("my results/it's"), r"'my results/it'\''s'");
    }
}
