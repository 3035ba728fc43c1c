//! A run folder.

use std::{collections::HashMap, path::Path};

use serde_json::Value;

use super::{super::error::AnalysisError, Measured, ProbeSeries, Run, Series};
use crate::{
    analysis::settings::Settings,
    results::{
        EXPERIMENT, MetricMeanings, Standing,
        columns::{EPOCHS, METRICS, PROBES, ProbeRow, Table},
        meanings::PROGRESS,
        read,
    },
};

/// Tables with one column per metric; the first one that has a column answers to its bare name.
/// Losses of whole epochs stand in front: they are less noisy than those of the last few steps.
const WIDE: [Table; 2] = [EPOCHS, METRICS];

/// Reads the run folder `path`.
pub(super) fn read(path: &Path, input: usize) -> Result<Run, AnalysisError> {
    let file = path.join(EXPERIMENT);
    let missing = || AnalysisError::at(&file, None, "there is no such file");
    let text = read::text(&file)?.ok_or_else(missing)?;
    let configuration = yaml(&file, &text)?;
    let standing = standing(path)?;
    let word = |key: &str| configuration.get(key).map(|v| v.as_str().map_or(v.to_string(), Into::into));
    Ok(Run {
        source: path.into(),
        input,
        name: word("name").unwrap_or_else(|| "experiment".into()),
        seed: word("seed"),
        state: standing.state(),
        settings: Settings::of(&configuration),
        data: standing.status.map_or(String::new(), |s| s.data),
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

/// How the run stands; an error if its files cannot be read.
fn standing(path: &Path) -> Result<Standing, AnalysisError> {
    let standing = Standing::without_metrics(path);
    standing.problem.clone().map_or(Ok(standing), |problem| Err(AnalysisError::new(problem)))
}

/// What the numbers of the folder mean: as it says itself, else as its configuration declares.
fn meanings(path: &Path, configuration: &Value) -> Result<MetricMeanings, AnalysisError> {
    let stored = MetricMeanings::read(path)?;
    Ok(stored.unwrap_or_else(|| MetricMeanings::of_configuration(configuration)))
}

/// Names of the probes of kind `linear`.
fn linear_probes(configuration: &Value) -> Vec<String> {
    let probes = configuration.get("probes").and_then(Value::as_array).into_iter().flatten();
    let linear = probes.filter(|p| p["kind"] == "linear");
    linear.filter_map(|p| p["name"].as_str().or(p["kind"].as_str())).map(Into::into).collect()
}

fn probes(folder: &Path, linear: &[String]) -> Result<Vec<ProbeSeries>, AnalysisError> {
    let mut all: Vec<ProbeSeries> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in read::rows::<ProbeRow>(folder, &PROBES)? {
        let place = *places.entry(row.name()).or_insert_with_key(|name| {
            let headline = row.metric == "top1" && row.encoder == "target" && linear.contains(&row.probe);
            all.push(ProbeSeries {
                name: name.clone(),
                headline,
                unit: row.unit.clone(),
                series: Vec::new(),
            });
            all.len() - 1
        });
        all[place].series.push((row.step, row.value));
    }
    Ok(all)
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
        let Some(file) = read::table(folder, &table)? else { continue };
        if let Some(value) = file.find(name) {
            return Ok(Some(file.pairs("step", value)?));
        }
    }
    Ok(None)
}

/// Names that [`column`] answers to; a bare name where it is not ambiguous.
pub(super) fn columns(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for table in WIDE {
        let file = read::table(folder, &table).ok().flatten();
        let header = file.map_or(Vec::new(), |file| file.header);
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
    let bytes = |folder: &Path, table: &Table| read::bytes(&folder.join(table.file)).ok().flatten();
    [METRICS, EPOCHS, PROBES].iter().all(|table| bytes(a, table) == bytes(b, table))
}
