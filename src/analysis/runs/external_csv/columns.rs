//! Which column of a foreign file is what.

use super::states;
use crate::analysis::{error::AnalysisError, runs::csv_table::Sheet};

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
    /// How the run ended; by default a column called `state` or `status` that holds such words.
    pub state: Option<String>,
}

/// Keys of `--map`.
const KEYS: [&str; 5] = ["metric", "seed", "group", "step", "state"];

impl ColumnMap {
    /// Reads `key=COLUMN` words.
    pub fn parse(words: &[String]) -> Result<Self, AnalysisError> {
        let mut map = ColumnMap::default();
        for word in words {
            let (key, column) = word.split_once('=').unwrap_or((word, ""));
            if column.is_empty() {
                return Err(AnalysisError::new(format!("--map: `{word}` is not key=COLUMN")));
            }
            let slot = map.slot(key)?;
            if slot.replace(column.into()).is_some() {
                return Err(AnalysisError::new(format!("--map: `{key}` is given twice")));
            }
        }
        Ok(map)
    }

    fn slot(&mut self, key: &str) -> Result<&mut Option<String>, AnalysisError> {
        match key {
            "metric" => Ok(&mut self.metric),
            "seed" => Ok(&mut self.seed),
            "group" => Ok(&mut self.group),
            "step" => Ok(&mut self.step),
            "state" => Ok(&mut self.state),
            _ => Err(AnalysisError::unknown("key of --map", key, &KEYS.map(String::from))),
        }
    }
}

/// The columns of one file, found.
pub(super) struct Columns {
    pub metric: usize,
    pub seed: Option<usize>,
    pub group: Option<usize>,
    pub step: Option<usize>,
    pub state: Option<usize>,
}

/// How a file is laid out.
pub(super) enum Layout {
    /// A row per run, or per run and step.
    Rows(Columns),
    /// A column per run, named `RUN - METRIC`, and one of steps.
    Chart { step: usize, runs: Vec<(String, usize)> },
}

pub(super) fn find(sheet: &Sheet, metric: Option<&str>, map: &ColumnMap) -> Result<Layout, AnalysisError> {
    let Some(metric) = map.metric.as_deref().or(metric) else {
        let message = "which column is compared? say --metric COLUMN or --map metric=COLUMN";
        let help = format!("there are: {}", sheet.header.join(", "));
        return Err(AnalysisError::at(sheet.path(), None, message).help(help));
    };
    let optional = |name: &Option<String>| name.as_ref().map(|n| sheet.column(n)).transpose();
    let step = optional(&map.step)?;
    if let Some(layout) = chart(sheet, metric, step) {
        return Ok(layout);
    }
    let state = match &map.state {
        Some(name) => Some(sheet.column(name)?),
        None => states::column(sheet),
    };
    let (metric, seed, group) = (sheet.column(metric)?, optional(&map.seed)?, optional(&map.group)?);
    Ok(Layout::Rows(Columns { metric, seed, group, step, state }))
}

/// A chart, where no column is the metric but some are of runs. Their smoothed ends are no runs.
fn chart(sheet: &Sheet, metric: &str, step: Option<usize>) -> Option<Layout> {
    let ending = format!(" - {metric}");
    let run = |(place, name): (usize, &String)| Some((name.strip_suffix(&ending)?.to_owned(), place));
    let runs: Vec<(String, usize)> = sheet.header.iter().enumerate().filter_map(run).collect();
    if runs.is_empty() || sheet.find(metric).is_some() {
        return None;
    }
    let is_step = |h: &String| {
        ["step", "global_step", "trainer/global_step", "epoch"].contains(&h.to_lowercase().as_str())
    };
    let step = step.or_else(|| sheet.header.iter().position(is_step))?;
    Some(Layout::Chart { step, runs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_names_each_column_once() {
        let words =
            |words: &[&str]| ColumnMap::parse(&words.iter().map(|w| w.to_string()).collect::<Vec<_>>());
        assert_eq!(words(&["metric=a=b", "state=State"]).unwrap().metric.as_deref(), Some("a=b"));
        assert!(words(&["seed=a", "seed=b"]).unwrap_err().to_string().contains("given twice"));
    }
}
