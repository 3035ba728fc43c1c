//! A run folder.

use std::{collections::HashMap, fs, path::Path};

use csv::StringRecord;
use serde_json::Value;

use super::{super::error::AnalysisError, Measured, ProbeSeries, Run, Series, sheet::Sheet};
use crate::{
    analysis::settings::Settings,
    results::{
        MetricMeanings, Status,
        columns::{EPOCHS, METRICS, PROBES, Table},
        meanings::{self, PROGRESS},
    },
};

/// The file that makes a folder a run folder.
pub(super) const CONFIGURATION: &str = "experiment.yaml";

/// Tables with one column per metric; the first one that has a column answers to its bare name.
/// Losses of whole epochs stand in front: they are less noisy than those of the last few steps.
const WIDE: [Table; 2] = [EPOCHS, METRICS];

/// Reads the run folder `path`.
pub(super) fn read(path: &Path, input: usize) -> Result<Run, AnalysisError> {
    let file = path.join(CONFIGURATION);
    let text = fs::read_to_string(&file).map_err(|e| AnalysisError::at(&file, None, e))?;
    let configuration = yaml(&file, &text)?;
    let status = status(path)?;
    let word = |key: &str| configuration.get(key).map(|v| v.as_str().map_or(v.to_string(), Into::into));
    Ok(Run {
        source: path.into(),
        input,
        name: word("name").unwrap_or_else(|| "experiment".into()),
        seed: word("seed"),
        state: status.as_ref().map(|s| s.state),
        settings: Settings::of(&configuration),
        data: status.map_or(String::new(), |s| s.data),
        measured: Measured::Folder(probes(path, &linear_probes(&configuration))?),
        meanings: meanings(path, &configuration)?,
    })
}

/// The YAML `text` of `file`.
pub(super) fn yaml(file: &Path, text: &str) -> Result<Value, AnalysisError> {
    serde_yaml::from_str(text).map_err(|e| {
        AnalysisError::at(file, e.location().map(|l| l.line() as u64), format!("is not YAML: {e}"))
    })
}

/// `status.json`; a run that was stopped before its first status has none.
fn status(path: &Path) -> Result<Option<Status>, AnalysisError> {
    let file = path.join("status.json");
    let Ok(text) = fs::read_to_string(&file) else { return Ok(None) };
    let unreadable =
        |e: serde_json::Error| AnalysisError::at(&file, Some(e.line() as u64), format!("is no status: {e}"));
    serde_json::from_str(&text).map(Some).map_err(unreadable)
}

/// What the numbers of the folder mean: as it says itself, else as its configuration declares.
fn meanings(path: &Path, configuration: &Value) -> Result<MetricMeanings, AnalysisError> {
    let wrong = |e| AnalysisError::at(&path.join(meanings::FILE), None, e);
    let stored = MetricMeanings::read(path).map_err(wrong)?;
    Ok(stored.unwrap_or_else(|| MetricMeanings::of_configuration(configuration)))
}

/// Names of the probes of kind `linear`.
fn linear_probes(configuration: &Value) -> Vec<String> {
    let probes = configuration.get("probes").and_then(Value::as_array).into_iter().flatten();
    let linear = probes.filter(|p| p["kind"] == "linear");
    linear.filter_map(|p| p["name"].as_str().or(p["kind"].as_str())).map(Into::into).collect()
}

fn probes(folder: &Path, linear: &[String]) -> Result<Vec<ProbeSeries>, AnalysisError> {
    let Some(sheet) = Sheet::read(&folder.join(PROBES.file), true)? else { return Ok(Vec::new()) };
    let [step, probe, encoder, labels, metric, value] =
        ["step", "probe", "encoder", "labels", "metric", "value"].map(|name| sheet.column(name));
    let (step, value, unit) = (step?, value?, sheet.find("unit"));
    let names = [probe?, encoder?, labels?, metric?];
    let mut all: Vec<ProbeSeries> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in &sheet.rows {
        let name = joined(row, names);
        let place = *places.entry(name).or_insert_with_key(|name| {
            let [probe, encoder, _, metric] = names.map(|c| &row[c]);
            let headline = metric == "top1" && encoder == "target" && linear.iter().any(|l| l == probe);
            let unit = unit.map_or(String::new(), |c| row[c].to_owned());
            all.push(ProbeSeries { name: name.clone(), headline, unit, series: Vec::new() });
            all.len() - 1
        });
        if let Some(number) = sheet.number(row, value)? {
            all[place].series.push((sheet.step(row, step)?, number));
        }
    }
    Ok(all)
}

/// `probe/encoder[/labels]/metric`.
fn joined(row: &StringRecord, columns: [usize; 4]) -> String {
    let parts: Vec<&str> = columns.iter().map(|&c| &row[c]).filter(|part| !part.is_empty()).collect();
    parts.join("/")
}

/// The series of a column of `epochs.csv` or `metrics.csv`: `loss`, or `metrics/loss` for one
/// table's.
pub(super) fn column(folder: &Path, metric: &str) -> Result<Option<Series>, AnalysisError> {
    for table in WIDE {
        let prefix = format!("{}/", stem(&table));
        let name = metric.strip_prefix(&prefix).unwrap_or(metric);
        if name.contains('/') || PROGRESS.contains(&name) {
            continue;
        }
        let Some(sheet) = Sheet::read(&folder.join(table.file), true)? else { continue };
        if let Some(value) = sheet.find(name) {
            return series(&sheet, value).map(Some);
        }
    }
    Ok(None)
}

fn series(sheet: &Sheet, value: usize) -> Result<Series, AnalysisError> {
    let step = sheet.column("step")?;
    let mut series = Vec::with_capacity(sheet.rows.len());
    for row in &sheet.rows {
        if let Some(number) = sheet.number(row, value)? {
            series.push((sheet.step(row, step)?, number));
        }
    }
    Ok(series)
}

/// Names that [`column`] answers to; a bare name where it is not ambiguous.
pub(super) fn columns(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for table in WIDE {
        let sheet = Sheet::read(&folder.join(table.file), true).ok().flatten();
        let header = sheet.map_or(Vec::new(), |s| s.header);
        for name in header.into_iter().filter(|name| !PROGRESS.contains(&name.as_str())) {
            let taken = names.contains(&name);
            names.push(if taken { format!("{}/{name}", stem(&table)) } else { name });
        }
    }
    names
}

fn stem(table: &Table) -> &'static str {
    table.file.trim_end_matches(".csv")
}

/// Whether the tables of two folders are equal byte for byte.
pub(super) fn same_tables(a: &Path, b: &Path) -> bool {
    let bytes = |folder: &Path, table: &Table| fs::read(folder.join(table.file)).ok();
    [METRICS, EPOCHS, PROBES].iter().all(|table| bytes(a, table) == bytes(b, table))
}
