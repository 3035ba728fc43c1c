//! CSV files of other programs.

use std::{collections::HashMap, path::Path};

use csv::StringRecord;

use super::{
    super::error::AnalysisError,
    Measured, Run, Series,
    sheet::{Sheet, line_of},
};
use crate::{
    analysis::settings::Settings,
    results::{MetricMeanings, RunState},
};

/// Which column of a foreign file is what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnMap {
    /// The value; by default the column named like the metric.
    pub metric: Option<String>,
    /// Seed. Without it, a file (or a group of it) is one run: rows are never taken for replicates.
    pub seed: Option<String>,
    /// Arm; by default the file's name.
    pub group: Option<String>,
    /// Step; by default the number of the row within its run.
    pub step: Option<String>,
}

impl ColumnMap {
    /// Reads `key=COLUMN` words.
    pub fn parse(words: &[String]) -> Result<Self, AnalysisError> {
        let mut map = ColumnMap::default();
        for word in words {
            let (key, column) = word.split_once('=').unwrap_or((word, ""));
            if column.is_empty() {
                return Err(AnalysisError::new(format!("--map: `{word}` is not key=COLUMN")));
            }
            *map.slot(key)? = Some(column.into());
        }
        Ok(map)
    }

    fn slot(&mut self, key: &str) -> Result<&mut Option<String>, AnalysisError> {
        match key {
            "metric" => Ok(&mut self.metric),
            "seed" => Ok(&mut self.seed),
            "group" => Ok(&mut self.group),
            "step" => Ok(&mut self.step),
            _ => {
                let keys = ["metric", "seed", "group", "step"].map(String::from);
                Err(AnalysisError::unknown("key of --map", key, &keys))
            }
        }
    }
}

/// The columns of one file, found.
struct Columns {
    metric: usize,
    seed: Option<usize>,
    group: Option<usize>,
    step: Option<usize>,
}

/// Reads the runs of the file `path`, in order of appearance; `name` is their arm if the file
/// has no group column.
pub(super) fn read(
    path: &Path,
    name: &str,
    input: usize,
    metric: Option<&str>,
    map: &ColumnMap,
) -> Result<Vec<Run>, AnalysisError> {
    let missing = || AnalysisError::at(path, None, "there is no such file");
    let sheet = Sheet::read(path)?.ok_or_else(missing)?;
    let columns = find(&sheet, path, metric, map)?;
    let run = |(group, seed): (Option<String>, Option<String>), series: Series| Run {
        source: path.into(),
        input,
        name: group.unwrap_or_else(|| name.into()),
        seed,
        state: RunState::Done,
        settings: Settings::default(),
        data: String::new(),
        measured: Measured::Column(series),
        meanings: MetricMeanings::default(),
    };
    Ok(runs(&sheet, path, &columns)?.into_iter().map(|(key, series)| run(key, series)).collect())
}

fn find(sheet: &Sheet, path: &Path, metric: Option<&str>, map: &ColumnMap) -> Result<Columns, AnalysisError> {
    let Some(metric) = map.metric.as_deref().or(metric) else {
        let message = "which column is compared? say --metric COLUMN or --map metric=COLUMN";
        let help = format!("there are: {}", sheet.header.join(", "));
        return Err(AnalysisError::at(path, None, message).help(help));
    };
    let optional = |name: &Option<String>| name.as_ref().map(|n| sheet.column(n)).transpose();
    Ok(Columns {
        metric: sheet.column(metric)?,
        seed: optional(&map.seed)?,
        group: optional(&map.group)?,
        step: optional(&map.step)?,
    })
}

type Key = (Option<String>, Option<String>);

/// The series of every (group, seed).
fn runs(sheet: &Sheet, path: &Path, columns: &Columns) -> Result<Vec<(Key, Series)>, AnalysisError> {
    let mut runs: Vec<(Key, Series)> = Vec::new();
    let mut places: HashMap<Key, usize> = HashMap::new();
    for row in &sheet.rows {
        let word = |column: Option<usize>| column.map(|c| row[c].trim().to_string());
        let key = (word(columns.group), word(columns.seed));
        let place = *places.entry(key).or_insert_with_key(|key| {
            runs.push((key.clone(), Series::new()));
            runs.len() - 1
        });
        let (key, series) = &mut runs[place];
        if let Some(value) = sheet.number(row, columns.metric)? {
            let step = match columns.step {
                Some(column) => sheet.step(row, column)?,
                None => series.len() as u64,
            };
            refuse_repeat(path, row, columns, key, series, step)?;
            series.push((step, value));
        }
    }
    Ok(runs)
}

/// A seed has one row, or one row per step.
fn refuse_repeat(
    path: &Path,
    row: &StringRecord,
    columns: &Columns,
    key: &Key,
    series: &Series,
    step: u64,
) -> Result<(), AnalysisError> {
    let seed = key.1.as_deref().unwrap_or("");
    let message = match columns.step {
        None if columns.seed.is_some() && !series.is_empty() => {
            format!("a second row of seed {seed}; if rows are steps, say --map step=COLUMN")
        }
        Some(_) if series.last().is_some_and(|(last, _)| *last >= step) => {
            format!(
                "step {step} follows step {} of the same run; steps must rise",
                series[series.len() - 1].0
            )
        }
        _ => return Ok(()),
    };
    Err(AnalysisError::at(path, line_of(row), message))
}
