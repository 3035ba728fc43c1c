//! A run folder.

use std::{collections::HashMap, path::Path};

use serde_json::Value;

use super::{super::error::AnalysisError, End, Measured, ProbeSeries, Run, Series};
use crate::{
    analysis::{images::Images, settings::Settings},
    results::{
        CARDS, Care, EXPERIMENT, MetricMeanings, ProbedSplit, RunOverview, RunState, Status,
        columns::{EPOCHS, METRICS, PROBES, ProbeRow, Table},
        meanings::PROGRESS,
        protocols, read,
    },
};

/// Tables with one column per metric; the first one that has a column answers to its bare name.
/// Losses of whole epochs stand in front: they are less noisy than those of the last few steps.
const WIDE: [Table; 2] = [EPOCHS, METRICS];

/// Reads the run folder `path`. Without its configuration nobody knows which run it is, so that is an error;
/// whatever else is damaged is said in the run.
pub(super) fn read(path: &Path, input: usize) -> Result<Run, AnalysisError> {
    let file = path.join(EXPERIMENT);
    let missing = || AnalysisError::at(&file, None, "is gone, and nobody else knows which run this is");
    let text = read::text(&file)?.ok_or_else(missing)?;
    let configuration = configuration(&file, &yaml(&file, &text)?)?;
    let word = |key: &str| configuration[key].as_str().map_or(configuration[key].to_string(), Into::into);
    let linear = linear_probes(&configuration);
    let mut run = Run {
        source: path.into(),
        input,
        name: word("name"),
        seed: Some(word("seed")),
        state: RunState::Pending,
        settings: Settings::of(&configuration),
        images: Images::default(),
        damage: None,
        end: None,
        version: version(path),
        measured: Measured::Folder(Vec::new()),
        meanings: MetricMeanings::default(),
        linear,
    };
    if let Err(damage) = read_results(&mut run, &configuration) {
        (run.state, run.damage) = (RunState::Unreadable, Some(damage.to_string()));
    }
    Ok(run)
}

/// Everything but the configuration.
fn read_results(run: &mut Run, configuration: &Value) -> Result<(), AnalysisError> {
    let path = run.source.clone();
    // Which experiment it was must be what it was.
    read::file(&path, EXPERIMENT)?;
    run.meanings = meanings(&path, configuration)?;
    let standing = standing(&path)?;
    run.state = standing.state();
    let probes = probes(&path, configuration)?;
    if let Some(status) = standing.status {
        if status.state == RunState::Done {
            let log_every = configuration["train"]["log_every"].as_u64().unwrap_or(1);
            run.end = Some(End { steps: status.steps, log_every });
            whole(&path, configuration, &status, &probes)?;
        }
        run.images = Images { all: status.data, test: status.data_test };
    }
    run.measured = Measured::Folder(probes);
    Ok(())
}

/// A run that is done has all its tables, and every series goes to its last step: a table that was cut
/// would pass an earlier measurement off as the last.
fn whole(
    path: &Path,
    configuration: &Value,
    status: &Status,
    probes: &[ProbeSeries],
) -> Result<(), AnalysisError> {
    let planned = configuration["probes"].as_array().is_some_and(|p| !p.is_empty());
    if planned && probes.is_empty() {
        return Err(cut(&path.join(PROBES.file), "holds no measurement, and the run is done".into()));
    }
    for probe in probes {
        let last = probe.series.last().map_or(0, |(step, _)| *step);
        if last < status.steps {
            let Status { steps, .. } = status;
            let message =
                format!("`{}` ends at step {last}, and the run is done at step {steps}", probe.name);
            return Err(cut(&path.join(PROBES.file), message));
        }
    }
    Ok(())
}

fn cut(file: &Path, message: String) -> AnalysisError {
    AnalysisError::at(file, None, format!("{message}: the table was cut"))
}

/// A configuration is a mapping that says which run it is.
fn configuration(file: &Path, value: &Value) -> Result<Value, AnalysisError> {
    let missing = ["name", "seed"].into_iter().find(|key| value.get(*key).is_none_or(Value::is_null));
    match missing {
        None => Ok(value.clone()),
        Some(key) => {
            Err(AnalysisError::at(file, None, format!("is no resolved experiment: it has no `{key}`")))
        }
    }
}

/// Version of the last process that worked on the run, if its card can be read.
fn version(path: &Path) -> String {
    // One word of it: cards of other versions may lack what this one has.
    let text = read::text(&path.join(CARDS)).ok().flatten().unwrap_or_default();
    let cards: Value = serde_json::from_str(&text).unwrap_or_default();
    let last = cards.as_array().and_then(|cards| cards.last());
    last.and_then(|card| card["version"].as_str()).unwrap_or_default().into()
}

/// The YAML `text` of `file`.
pub(super) fn yaml(file: &Path, text: &str) -> Result<Value, AnalysisError> {
    serde_yaml::from_str(text).map_err(|e| {
        AnalysisError::at(file, e.location().map(|l| l.line() as u64), format!("is not YAML: {e}"))
    })
}

/// How the run stands; an error if its files cannot be read.
fn standing(path: &Path) -> Result<RunOverview, AnalysisError> {
    let standing = RunOverview::without_metrics(path, Care::Words);
    standing.problem.clone().map_or(Ok(standing), |problem| Err(AnalysisError::new(problem)))
}

/// What the numbers of the folder mean: as it says itself, else as its configuration declares.
fn meanings(path: &Path, configuration: &Value) -> Result<MetricMeanings, AnalysisError> {
    let Some(mut stored) = MetricMeanings::read(path)? else {
        return Ok(MetricMeanings::of_configuration(configuration));
    };
    // A probe that was measured on the finished run is in the configuration only.
    let probes = configuration["probes"].as_array().into_iter().flatten();
    let mut names = probes.filter_map(|p| p["name"].as_str().or(p["kind"].as_str()));
    let known = |name: &str| stored.metrics.iter().any(|m| m.name.split('/').next() == Some(name));
    if names.all(known) {
        return Ok(stored);
    }
    let declared = MetricMeanings::of_configuration(configuration).metrics;
    let added: Vec<_> = declared.into_iter().filter(|m| stored.find(&m.name).is_none()).collect();
    stored.metrics.extend(added);
    Ok(stored)
}

/// Names of the probes of kind `linear`.
fn linear_probes(configuration: &Value) -> Vec<String> {
    let probes = configuration.get("probes").and_then(Value::as_array).into_iter().flatten();
    let linear = probes.filter(|p| p["kind"] == "linear");
    linear.filter_map(|p| p["name"].as_str().or(p["kind"].as_str())).map(Into::into).collect()
}

fn probes(folder: &Path, configuration: &Value) -> Result<Vec<ProbeSeries>, AnalysisError> {
    let linear = linear_probes(configuration);
    let mut rows = read::rows::<ProbeRow>(folder, &PROBES)?;
    protocols::fill_in(&mut rows, configuration);
    let mut all: Vec<ProbeSeries> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in rows {
        let place = *places.entry(row.name()).or_insert_with_key(|name| {
            let headline = row.metric == "top1"
                && row.split == ProbedSplit::Test
                && row.encoder == "target"
                && linear.contains(&row.probe);
            all.push(ProbeSeries {
                name: name.clone(),
                headline,
                unit: row.unit.clone(),
                protocols: Vec::new(),
                series: Vec::new(),
            });
            all.len() - 1
        });
        if !row.protocol.is_empty() && !all[place].protocols.contains(&row.protocol) {
            all[place].protocols.push(row.protocol);
        }
        all[place].series.push((row.step, row.value));
    }
    Ok(all)
}

/// The series of a column of `epochs.csv` or `metrics.csv`: `loss`, or `metrics/loss` for one
/// table's. A bare name is that of the first table that has such a column by declaration, whether the file
/// holds it or not: another table's numbers are other numbers.
pub(super) fn column(folder: &Path, metric: &str, end: Option<End>) -> Result<Option<Series>, AnalysisError> {
    for table in WIDE {
        let prefix = format!("{}/", stem(&table));
        let name = metric.strip_prefix(&prefix).unwrap_or(metric);
        if name.contains('/') || PROGRESS.contains(&name) {
            continue;
        }
        let declared = table.columns.iter().any(|c| c.name == name);
        let file = read::table(folder, &table)?;
        if let Some(file) = &file
            && let Some(value) = file.find(name)
        {
            return uncut(file.pairs("step", value)?, &folder.join(table.file), &table, end).map(Some);
        }
        if declared {
            let missing =
                || cut(&folder.join(table.file), format!("has no column `{name}`, and the run is done"));
            return if end.is_some() { Err(missing()) } else { Ok(None) };
        }
    }
    Ok(None)
}

/// Whether [`column()`] may answer to this name: other metrics are those of probes.
pub(super) fn is_column(metric: &str) -> bool {
    let plain =
        |table: Table| !metric.strip_prefix(&format!("{}/", stem(&table))).unwrap_or(metric).contains('/');
    WIDE.into_iter().any(plain)
}

/// The series, if it goes to the end of the run: `epochs.csv` to the last step, `metrics.csv` to the last row
/// that is due.
fn uncut(series: Series, file: &Path, table: &Table, end: Option<End>) -> Result<Series, AnalysisError> {
    let Some(End { steps, log_every }) = end else { return Ok(series) };
    let last = series.last().map_or(0, |(step, _)| *step);
    let due =
        if table.file == METRICS.file { steps.saturating_sub(log_every.saturating_sub(1)) } else { steps };
    if last >= due {
        return Ok(series);
    }
    Err(cut(file, format!("ends at step {last}, and the run is done at step {steps}")))
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
