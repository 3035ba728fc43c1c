//! The folder of a sweep: which runs belong to it, by arm, and what its file asks for.

use std::path::{Path, PathBuf};

use csv::StringRecord;
use ijepa_registry::metric::Direction;
use rayon::prelude::*;
use serde_json::Value;

use super::{super::error::AnalysisError, Measured, Run, csv_table::Sheet, folder};
use crate::{
    analysis::{images::Images, metric::At, settings::Settings},
    results::{
        EXPERIMENT, MetricMeanings, RunState, SWEEP, above,
        columns::{PLAN, RUNS},
        is_run_folder, read,
    },
    sweep::baseline_of,
};

/// What stands around the path of a setting and the name of a metric in the header of `runs.csv`.
const PARAMETER: &str = "param.";
const METRIC: (&str, &str) = ("metric.", ".last");

/// A row of `runs.csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepRun {
    /// Position in the plan.
    pub index: usize,
    /// Name of the run folder.
    pub id: String,
    /// Name of the arm.
    pub arm: String,
    /// Seed.
    pub seed: String,
    /// How it stood when the table was written.
    pub status: RunState,
    /// Why it ended as it did.
    pub reason: String,
    /// Steps done.
    pub steps: String,
    /// Values of [`SweepTable::parameters`].
    pub parameters: Vec<String>,
    /// Last value of each metric that was measured.
    pub metrics: Vec<(String, f64)>,
    /// The row as it stands in the file.
    pub row: String,
    /// Its line.
    pub line: u64,
}

/// `runs.csv` of a sweep folder.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepTable {
    /// The sweep folder.
    pub folder: PathBuf,
    /// Paths of the settings that the sweep varies.
    pub parameters: Vec<String>,
    /// One per run, in the order of the plan.
    pub runs: Vec<SweepRun>,
}

/// What a sweep folder suggests where nothing was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hints {
    /// The sweep's metric.
    pub metric: Option<String>,
    /// Its goal.
    pub goal: Option<Direction>,
    /// Which measurement of it counts.
    pub at: Option<At>,
    /// Arm that changes nothing.
    pub baseline: Option<String>,
    /// The sweep file that says so.
    pub source: Option<PathBuf>,
}

/// Whether `path` is the folder of a sweep.
pub fn is_sweep(path: &Path) -> bool {
    path.join(RUNS.file).is_file() && !path.join(EXPERIMENT).exists()
}

impl SweepTable {
    /// Reads the table of the sweep folder `folder`.
    pub fn read(folder: &Path) -> Result<Self, AnalysisError> {
        Self::of_file(&folder.join(RUNS.file))
    }

    /// Reads a table, wherever it lies.
    pub(super) fn of_file(path: &Path) -> Result<Self, AnalysisError> {
        let missing = || AnalysisError::at(path, None, "there is no such file");
        let sheet = Sheet::read(path)?.ok_or_else(missing)?;
        let part = |start: &'static str, end: &'static str| {
            let inner = move |h: &String| Some(h.strip_prefix(start)?.strip_suffix(end)?.to_owned());
            sheet.header.iter().enumerate().filter_map(|(i, h)| Some((i, inner(h)?))).collect::<Vec<_>>()
        };
        let columns = Columns {
            id: sheet.column("run_id")?,
            arm: sheet.column("arm")?,
            seed: sheet.column("seed")?,
            status: sheet.column("status")?,
            reason: sheet.find("reason"),
            steps: sheet.find("steps"),
            parameters: part(PARAMETER, ""),
            metrics: part(METRIC.0, METRIC.1),
        };
        let read = |(index, row)| columns.run(&sheet, index, row);
        let runs = sheet.rows.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        let parameters = columns.parameters.into_iter().map(|(_, name)| name).collect();
        Ok(SweepTable { folder: path.parent().unwrap_or(Path::new("")).into(), parameters, runs })
    }

    /// Where the run folders are, beside `sweeps`.
    pub fn run_folder(&self, run: &SweepRun) -> PathBuf {
        above(&self.folder).join(&run.id)
    }

    /// The experiment of a run with nothing left to default.
    pub fn config(&self, run: &SweepRun) -> PathBuf {
        self.folder.join(format!("configs/{}.yaml", run.index))
    }

    /// Paths that the sweep walks together with others, under the name of a group that is a parameter too.
    pub fn grouped_paths(&self) -> Vec<String> {
        let file: Value = serde_yaml::from_str(&self.source()).unwrap_or_default();
        let groups = file["parameters"].as_object().into_iter().flatten();
        let groups = groups.filter(|(name, _)| self.parameters.contains(name));
        groups.filter_map(|(_, form)| form["zip"].as_object()).flat_map(|zip| zip.keys().cloned()).collect()
    }

    /// The text of the sweep file; empty if it is gone.
    pub fn source(&self) -> String {
        read::text(&self.folder.join(SWEEP)).ok().flatten().unwrap_or_default()
    }
}

/// Where what stands in `runs.csv`.
struct Columns {
    id: usize,
    arm: usize,
    seed: usize,
    status: usize,
    reason: Option<usize>,
    steps: Option<usize>,
    parameters: Vec<(usize, String)>,
    metrics: Vec<(usize, String)>,
}

impl Columns {
    fn run(&self, sheet: &Sheet, index: usize, row: &StringRecord) -> Result<SweepRun, AnalysisError> {
        let cell = |column: usize| row[column].to_owned();
        let optional = |column: Option<usize>| column.map_or(String::new(), cell);
        let mut metrics = Vec::new();
        for (column, name) in &self.metrics {
            metrics.extend(sheet.number(row, *column)?.map(|value| (name.clone(), value)));
        }
        Ok(SweepRun {
            index,
            id: cell(self.id),
            arm: cell(self.arm),
            seed: cell(self.seed),
            status: sheet.state(row, self.status)?,
            reason: optional(self.reason),
            steps: optional(self.steps),
            parameters: self.parameters.iter().map(|(column, _)| cell(*column)).collect(),
            metrics,
            row: super::csv_table::text_of(row),
            line: super::csv_table::line_of(row).unwrap_or(0),
        })
    }
}

/// Reads the runs of the sweep folder `path`: their own folders where there are such, else what the table
/// says.
pub(super) fn read(path: &Path, input: usize) -> Result<Vec<Run>, AnalysisError> {
    let table = SweepTable::read(path)?;
    table.runs.par_iter().map(|row| of_row(&table, row, input)).collect()
}

fn of_row(table: &SweepTable, row: &SweepRun, input: usize) -> Result<Run, AnalysisError> {
    let own = table.run_folder(row);
    if !is_run_folder(&own) {
        return Ok(Run { source: own, settings: configured(table, row)?, ..listed(table, row, input) });
    }
    let run = match folder::read(&own, input) {
        Ok(run) => run,
        // The table knows which run it is; its numbers count no more than those of the folder.
        Err(damage) => {
            let (state, damage) = (RunState::Unreadable, Some(damage.to_string()));
            let measured = Measured::Last { step: 0, values: Vec::new() };
            let settings = configured(table, row)?;
            return Ok(Run { source: own, state, settings, damage, measured, ..listed(table, row, input) });
        }
    };
    // A process that died leaves `running` behind; the sweep has seen it end.
    let left = matches!(run.state, RunState::Pending | RunState::Running | RunState::Interrupted);
    let state = if left && row.status == RunState::Failed { row.status } else { run.state };
    Ok(Run { name: row.arm.clone(), state, ..run })
}

/// Settings of a run that has no folder yet.
fn configured(table: &SweepTable, row: &SweepRun) -> Result<Settings, AnalysisError> {
    let file = table.config(row);
    let Some(text) = read::text(&file)? else { return Ok(parameters(table, row)) };
    folder::yaml(&file, &text).map(|value| Settings::of(&value))
}

fn parameters(table: &SweepTable, row: &SweepRun) -> Settings {
    let given = table.parameters.iter().zip(&row.parameters).filter(|(_, value)| !value.is_empty());
    Settings(given.map(|(path, value)| (path.clone(), value.clone())).collect())
}

/// A run by its row alone.
fn listed(table: &SweepTable, row: &SweepRun, input: usize) -> Run {
    Run {
        source: table.folder.join(RUNS.file),
        input,
        name: row.arm.clone(),
        seed: Some(row.seed.clone()),
        state: row.status,
        settings: parameters(table, row),
        images: Images::default(),
        damage: None,
        end: None,
        version: String::new(),
        measured: Measured::Last { step: row.steps.parse().unwrap_or(0), values: row.metrics.clone() },
        meanings: MetricMeanings::default(),
        linear: Vec::new(),
    }
}

/// Whether a CSV file is the table of a sweep.
pub(super) fn is_table(path: &Path) -> bool {
    let header = Sheet::read(path).ok().flatten().map_or(Vec::new(), |s| s.header);
    ["run_id", "arm", "seed", "status"].iter().all(|name| header.iter().any(|h| h == name))
}

/// The runs of a table, without their folders.
pub(super) fn read_table(path: &Path, input: usize) -> Result<Vec<Run>, AnalysisError> {
    let table = SweepTable::of_file(path)?;
    Ok(table.runs.iter().map(|row| listed(&table, row, input)).collect())
}

/// What the sweep behind the only input suggests. A sweep file that cannot be read is an error: without it
/// another metric would be compared.
pub fn hints(inputs: &[PathBuf]) -> Result<Hints, AnalysisError> {
    let [input] = inputs else { return Ok(Hints::default()) };
    let folder = if input.is_dir() { input.as_path() } else { input.parent().unwrap_or(Path::new("")) };
    if !is_sweep(folder) {
        return Ok(Hints::default());
    }
    let path = folder.join(SWEEP);
    // `runs.csv` alone is a table like any other.
    let text = read::text(&path)?.unwrap_or_default();
    let file: Value = folder::yaml(&path, &text)?;
    let goal = file["metric"]["goal"].as_str().and_then(|word| word.parse().ok());
    let at = &file["metric"]["at"];
    let at = at.as_str().map_or_else(|| at.as_u64().map(At::Step), |word| word.parse().ok());
    let metric = file["metric"]["name"].as_str().map(Into::into);
    Ok(Hints { metric, goal, at, baseline: baseline_arm(folder), source: Some(path) })
}

/// The arm that the others are compared with: the rule of the plan, read from its table.
fn baseline_arm(folder: &Path) -> Option<String> {
    let sheet = Sheet::read(&folder.join(PLAN.file)).ok().flatten()?;
    let (arm, changed) = (sheet.find("arm")?, sheet.find("changed")?);
    let arms: Vec<(&str, bool)> = sheet.rows.iter().map(|row| (&row[arm], row[changed].is_empty())).collect();
    baseline_of(&arms).map(Into::into)
}
