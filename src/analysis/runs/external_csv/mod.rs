//! CSV files of other programs: one row per run, one row per step, one column per run (charts of W&B), one
//! file per run (TensorBoard, Lightning).

mod columns;
mod names;
mod states;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use csv::StringRecord;

use super::{
    Measured, Run, Series,
    csv_table::{Sheet, line_of},
};
use crate::analysis::error::AnalysisError;
use crate::{
    analysis::{images::Images, settings::Settings},
    results::{MetricMeanings, RunState, escape::one_line},
};
use columns::{Columns, Layout, find};
use names::FileName;

pub use columns::ColumnMap;

/// The runs of the files, in order of appearance, and how they were understood.
pub(super) fn read(
    files: &[(usize, PathBuf)],
    metric: Option<&str>,
    map: &ColumnMap,
) -> Result<(Vec<Run>, Vec<String>), AnalysisError> {
    let paths: Vec<&Path> = files.iter().map(|(_, path)| path.as_path()).collect();
    let (names, mut notes) = names::of_files(&paths, map.seed.is_some());
    let mut runs = Vec::new();
    for ((input, path), name) in files.iter().zip(names) {
        let sheet = Sheet::read_foreign(path)?;
        if sheet.separator != ',' {
            let what = if sheet.separator == ';' { "semicolons" } else { "tabs" };
            let file = path.display();
            notes.push(format!(
                "{file}: {what} separate its cells, and a comma in a number is a decimal comma"
            ));
        }
        let (found, said) = of_sheet(&sheet, metric, map)?;
        notes.extend(said);
        runs.extend(found.into_iter().map(|run| run.named(path, *input, &name)));
    }
    Ok((runs, notes))
}

/// A run as its file tells it.
struct Read {
    group: Option<String>,
    seed: Option<String>,
    state: RunState,
    series: Series,
}

impl Read {
    fn named(self, path: &Path, input: usize, file: &FileName) -> Run {
        Run {
            source: path.into(),
            input,
            name: one_line(&self.group.unwrap_or_else(|| file.arm.clone())),
            seed: self.seed.or_else(|| file.seed.clone()).map(|seed| one_line(&seed)),
            state: self.state,
            settings: Settings::default(),
            images: Images::default(),
            damage: None,
            end: None,
            version: String::new(),
            measured: Measured::Column(self.series),
            meanings: MetricMeanings::default(),
            linear: Vec::new(),
        }
    }
}

fn of_sheet(
    sheet: &Sheet,
    metric: Option<&str>,
    map: &ColumnMap,
) -> Result<(Vec<Read>, Vec<String>), AnalysisError> {
    match find(sheet, metric, map)? {
        Layout::Rows(columns) => rows(sheet, &columns),
        Layout::Chart { step, runs } => chart(sheet, step, runs),
    }
}

/// A chart of W&B: a column per run.
fn chart(
    sheet: &Sheet,
    step: usize,
    runs: Vec<(String, usize)>,
) -> Result<(Vec<Read>, Vec<String>), AnalysisError> {
    let series = |column: usize| -> Result<Series, AnalysisError> {
        let cell = |row: &StringRecord| {
            let value = sheet.number(row, column)?;
            value.map(|value| Ok((sheet.step(row, step)?, value))).transpose()
        };
        sheet.rows.iter().filter_map(|row| cell(row).transpose()).collect()
    };
    let read = |(name, column): (String, usize)| {
        let FileName { arm, seed } = names::split(&name);
        Ok(Read { group: Some(arm), seed, state: RunState::Done, series: series(column)? })
    };
    let note = format!("{}: read as a chart, with a column per run", sheet.path().display());
    Ok((runs.into_iter().map(read).collect::<Result<_, AnalysisError>>()?, vec![note]))
}

type Key = (Option<String>, Option<String>);

/// The series of every (group, seed).
fn rows(sheet: &Sheet, columns: &Columns) -> Result<(Vec<Read>, Vec<String>), AnalysisError> {
    let mut runs: Vec<Read> = Vec::new();
    let mut places: HashMap<Key, usize> = HashMap::new();
    let mut notes: Vec<String> = columns.state.iter().map(|c| states::note(sheet, *c)).collect();
    for row in &sheet.rows {
        let word = |column: Option<usize>| column.map(|c| row[c].trim().to_string());
        let key = (word(columns.group), word(columns.seed).map(|seed| plain_seed(&seed)));
        let place = *places.entry(key).or_insert_with_key(|(group, seed)| {
            let (group, seed) = (group.clone(), seed.clone());
            runs.push(Read { group, seed, state: RunState::Done, series: Series::new() });
            runs.len() - 1
        });
        let run = &mut runs[place];
        if let Some(column) = columns.state {
            run.state = states::state(sheet, row, column)?;
        }
        if let Some(value) = sheet.number(row, columns.metric)? {
            let step = match columns.step {
                Some(column) => sheet.step(row, column)?,
                None => run.series.len() as u64,
            };
            notes.extend(resumed(sheet, row, columns, run, step)?);
            run.series.push((step, value));
        }
    }
    Ok((runs, notes))
}

/// A seed in one spelling: a column with a gap makes `0.0` of `0`.
fn plain_seed(word: &str) -> String {
    match word.parse::<f64>() {
        Ok(seed) if seed.fract() == 0.0 && (0.0..9e15).contains(&seed) => (seed as u64).to_string(),
        _ => word.into(),
    }
}

/// A seed has one row, or one row per step. Steps that go back are those of a resume: what was written
/// before counts up to there.
fn resumed(
    sheet: &Sheet,
    row: &StringRecord,
    columns: &Columns,
    run: &mut Read,
    step: u64,
) -> Result<Option<String>, AnalysisError> {
    let refuse = |message: String| Err(AnalysisError::at(sheet.path(), line_of(row), message));
    let seed = run.seed.as_deref().unwrap_or("");
    let Some((last, _)) = run.series.last().copied() else { return Ok(None) };
    if columns.step.is_none() {
        return match columns.seed {
            Some(_) => {
                refuse(format!("a second row of seed {seed}; if rows are steps, say --map step=COLUMN"))
            }
            None => Ok(None),
        };
    }
    let first = run.series.first().map_or(0, |(step, _)| *step);
    if last < step {
        return Ok(None);
    }
    if last == step || step <= first {
        return refuse(format!(
            "step {step} follows step {last} of the same run; if rows are of several runs, say --map seed=COLUMN"
        ));
    }
    run.series.retain(|(earlier, _)| *earlier < step);
    let line = line_of(row).unwrap_or(0);
    Ok(Some(format!(
        "{}:{line}: step {step} follows step {last}: read as a resume, the later rows count",
        sheet.path().display()
    )))
}
