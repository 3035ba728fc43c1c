//! Which arms ended early, and why: `decisions.csv` as a table.

use std::path::Path;

use maud::{Markup, html};

use super::tables::name;
use crate::results::{
    self, FileError,
    columns::{DECISIONS, DecisionRow, Row},
};

/// The rows of `decisions.csv`; none where no arm can end early.
pub(crate) fn read(sweep: &Path) -> Result<Vec<DecisionRow>, FileError> {
    results::decisions(sweep)
}

/// The section of the page.
pub(crate) fn section(rows: &[DecisionRow]) -> Markup {
    html! {
        @if !rows.is_empty() {
            section id="decisions" {
                h2 { "Early termination" }
                p { "All arms reached a rung before it was decided; whole arms end, by the mean over their seeds." }
                table class="runs" {
                    thead { tr { @for column in DECISIONS.columns { th scope="col" title=(column.meaning) { (column.name) } } } }
                    tbody { @for row in rows { tr {
                        @for (cell, column) in row.cells().iter().zip(DECISIONS.columns) {
                            @if column.name == "arm" { td { (name(cell)) } }
                            @else if !column.unit.is_empty() { td class="number" { (cell) } }
                            @else { td { (cell) } }
                        }
                    } } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_that_ended_arms_early_shows_why() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(section(&read(folder.path()).unwrap()).into_string(), "");
        let head: Vec<&str> = DECISIONS.columns.iter().map(|c| c.name).collect();
        let row = "2,asha,m,\"a=1,b=2\",1.5,2.5,stop,\"rank 3 of 4, 2 go on\"";
        std::fs::write(folder.path().join(DECISIONS.file), format!("{}\n{row}\n", head.join(","))).unwrap();
        let text = section(&read(folder.path()).unwrap()).into_string();
        assert!(
            text.contains("<td>successive_halving</td>"),
            "an earlier version called it otherwise: {text}"
        );
        assert!(
            text.contains("rank 3 of 4, 2 go on") && text.contains("<code>a=1,<wbr>b=2</code>"),
            "{text}"
        );
    }
}
