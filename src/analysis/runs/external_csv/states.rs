//! How the runs of other programs ended.

use csv::StringRecord;

use crate::analysis::{
    error::AnalysisError,
    runs::csv_table::{Sheet, line_of},
};
use crate::results::RunState;

/// Words of W&B, MLflow, Slurm and this program.
const WORDS: [(&str, RunState); 28] = [
    ("finished", RunState::Done),
    ("done", RunState::Done),
    ("completed", RunState::Done),
    ("complete", RunState::Done),
    ("success", RunState::Done),
    ("succeeded", RunState::Done),
    ("ok", RunState::Done),
    ("diverged", RunState::Diverged),
    ("collapsed", RunState::Collapsed),
    ("crashed", RunState::Failed),
    ("crash", RunState::Failed),
    ("failed", RunState::Failed),
    ("failure", RunState::Failed),
    ("error", RunState::Failed),
    ("killed", RunState::Failed),
    ("timeout", RunState::Failed),
    ("cancelled", RunState::Failed),
    ("canceled", RunState::Failed),
    ("out_of_memory", RunState::Failed),
    ("node_fail", RunState::Failed),
    ("running", RunState::Running),
    ("pending", RunState::Running),
    ("queued", RunState::Running),
    ("scheduled", RunState::Running),
    ("preempted", RunState::Stopped),
    ("preempting", RunState::Stopped),
    ("stopped", RunState::Stopped),
    ("interrupted", RunState::Stopped),
];

fn known(word: &str) -> Option<RunState> {
    let word = word.trim().to_lowercase();
    WORDS.iter().find(|(known, _)| *known == word).map(|(_, state)| *state)
}

/// A column that tells how runs ended: called so, and holding only such words.
pub(super) fn column(sheet: &Sheet) -> Option<usize> {
    let called = |h: &String| ["state", "status"].contains(&h.to_lowercase().as_str());
    let place = sheet.header.iter().position(called)?;
    sheet.rows.iter().all(|row| known(&row[place]).is_some()).then_some(place)
}

/// The state in a cell.
pub(super) fn state(sheet: &Sheet, row: &StringRecord, column: usize) -> Result<RunState, AnalysisError> {
    known(&row[column]).ok_or_else(|| {
        let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
        let message = format!("column `{}`: `{}` is no state of a run", sheet.header[column], &row[column]);
        AnalysisError::at(sheet.path(), line_of(row), message)
            .help(format!("there are: {}", words.join(", ")))
    })
}

pub(super) fn note(sheet: &Sheet, column: usize) -> String {
    let file = sheet.path().display();
    format!("{file}: column `{}` says how runs ended: crashed ones have no value", sheet.header[column])
}
