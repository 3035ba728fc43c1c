//! The folder of a sweep: its plan, its table of runs, and who may write them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{
    FolderError, State, Status,
    columns::{Column, PLAN, PROBES, RUNS},
    folder::lock,
    write_atomic,
};

/// An open, locked sweep folder. The lock ends with the value.
pub struct SweepFolder {
    path: PathBuf,
    _lock: File,
}

/// One line of `plan.csv`, and the fixed part of one line of `runs.csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Position in the plan.
    pub index: usize,
    /// Name of the run folder.
    pub run_id: String,
    /// Name of the arm.
    pub arm: String,
    /// Seed.
    pub seed: u64,
    /// What the arm changes, such as `masking.targets=4`.
    pub changed: String,
    /// Values of the sweep's parameters, in their order.
    pub parameters: Vec<String>,
}

/// How a run of a sweep stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Last status in the run folder.
    pub status: Option<Status>,
    /// Why the process of this run failed, where it could not say so itself.
    pub failure: Option<String>,
    /// Last value of every metric, as written in `probes.csv`.
    pub metrics: Vec<(String, String)>,
}

impl SweepFolder {
    /// Creates `path` if needed and locks it.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let at = |e| FolderError::Io(path.to_path_buf(), e);
        for folder in ["configs", "logs"] {
            fs::create_dir_all(path.join(folder)).map_err(at)?;
        }
        Ok(SweepFolder { path: path.to_path_buf(), _lock: lock(path)? })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resolved experiment of a run.
    pub fn config(&self, index: usize) -> PathBuf {
        self.path.join(format!("configs/{index}.yaml"))
    }

    /// What the process of a run says on stderr.
    pub fn log(&self, index: usize) -> PathBuf {
        self.path.join(format!("logs/{index}.log"))
    }

    /// Writes `plan.csv`.
    pub fn write_plan(&self, rows: &[RunRow]) -> io::Result<()> {
        let cells = rows.iter().map(|r| {
            vec![r.index.to_string(), r.run_id.clone(), r.arm.clone(), r.seed.to_string(), r.changed.clone()]
        });
        let header = PLAN.columns.iter().map(|c| c.name.to_owned()).collect();
        write_atomic(&self.path.join(PLAN.file), &table(header, cells)?)
    }

    /// Writes `runs.csv`: rows in the order of the plan, whoever finished first.
    pub fn write_runs(&self, parameters: &[String], runs: &[(RunRow, Standing)]) -> io::Result<()> {
        write_atomic(&self.path.join(RUNS.file), &runs_table(parameters, runs)?)
    }
}

impl Standing {
    /// How the run in `folder` stands, from its files.
    pub fn read(folder: &Path) -> Self {
        let status = Status::read(folder);
        let metrics = if status.is_some() { last_metrics(folder) } else { Vec::new() };
        Standing { status, failure: None, metrics }
    }

    /// State in a word.
    pub fn word(&self) -> &'static str {
        match (&self.failure, self.status.as_ref().map(|s| s.state)) {
            (Some(_), _) | (_, Some(State::Failed)) => "failed",
            (_, None) => "pending",
            (_, Some(State::Running)) => "running",
            (_, Some(State::Stopped)) => "stopped",
            (_, Some(State::Done)) => "done",
            (_, Some(State::Diverged)) => "diverged",
        }
    }

    /// Nothing is left to compute.
    pub fn is_over(&self) -> bool {
        matches!(self.word(), "done" | "diverged")
    }

    /// The last value of a metric, as a number.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|(n, _)| n == name)?.1.parse().ok()
    }
}

fn runs_table(parameters: &[String], runs: &[(RunRow, Standing)]) -> io::Result<Vec<u8>> {
    let mut metrics: Vec<&str> = Vec::new();
    for (name, _) in runs.iter().flat_map(|(_, s)| &s.metrics) {
        if !metrics.contains(&name.as_str()) {
            metrics.push(name);
        }
    }
    let fixed = RUNS.columns.iter().map(|c: &Column| c.name).filter(|n| !n.contains('<'));
    let mut header: Vec<String> = fixed.map(str::to_owned).collect();
    header.extend(parameters.iter().map(|p| format!("param.{p}")));
    header.extend(metrics.iter().map(|m| format!("metric.{m}.last")));
    let cells = runs.iter().map(|(row, standing)| {
        let status = standing.status.as_ref();
        let reason = standing.failure.clone().or(status.map(|s| s.reason.clone()));
        let steps = status.map_or(String::new(), |s| s.step.to_string());
        let mut cells = vec![row.run_id.clone(), row.arm.clone(), row.seed.to_string()];
        cells.extend([standing.word().to_owned(), reason.unwrap_or_default(), steps]);
        cells.extend(row.parameters.iter().cloned());
        let values: BTreeMap<&str, &str> =
            standing.metrics.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        cells.extend(metrics.iter().map(|m| values.get(m).copied().unwrap_or_default().to_owned()));
        cells
    });
    table(header, cells)
}

fn table(header: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> io::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(&header)?;
    for row in rows {
        writer.write_record(&row)?;
    }
    writer.into_inner().map_err(|e| io::Error::other(e.to_string()))
}

/// The last value of every metric of a run, in the order of their first rows.
fn last_metrics(folder: &Path) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let Ok(mut reader) = csv::ReaderBuilder::new().flexible(true).from_path(folder.join(PROBES.file)) else {
        return found;
    };
    // A torn last row has fewer cells.
    let whole = |r: &csv::StringRecord| r.len() == PROBES.columns.len();
    for row in reader.records().flatten().filter(whole) {
        let parts: Vec<&str> = [2, 3, 4, 5].into_iter().map(|i| &row[i]).filter(|p| !p.is_empty()).collect();
        let name = parts.join("/");
        match found.iter_mut().find(|(n, _)| *n == name) {
            Some((_, value)) => *value = row[7].to_owned(),
            None => found.push((name, row[7].to_owned())),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(index: usize) -> RunRow {
        let (run_id, arm) = (format!("r{index}"), "a=1,b=2".to_owned());
        RunRow { index, run_id, arm, seed: 0, changed: String::new(), parameters: vec!["1".into()] }
    }

    #[test]
    fn runs_without_a_metric_have_an_empty_cell() {
        let status =
            Status { state: State::Done, reason: String::new(), step: 4, steps: 4, data: String::new() };
        let metrics = vec![("knn/target/class/top1".to_owned(), "50".to_owned())];
        let done = Standing { status: Some(status), failure: None, metrics };
        let crashed = Standing { failure: Some("killed".into()), ..Standing::default() };
        let runs = [(row(0), done), (row(1), crashed), (row(2), Standing::default())];
        let text = String::from_utf8(runs_table(&["a".to_owned()], &runs).unwrap()).unwrap();
        let expected = "run_id,arm,seed,status,reason,steps,param.a,metric.knn/target/class/top1.last\n\
                        r0,\"a=1,b=2\",0,done,,4,1,50\n\
                        r1,\"a=1,b=2\",0,failed,killed,,1,\n\
                        r2,\"a=1,b=2\",0,pending,,,1,\n";
        assert_eq!(text, expected);
    }
}
