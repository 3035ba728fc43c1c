//! The folder of a sweep: its plan, its table of runs, and who may write them.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{
    FolderError, Standing,
    columns::{Column, DECISIONS, PLAN, RUNS, number},
    folder::lock,
    standing::Measured,
    write_atomic,
};
use ijepa_registry::metric::Direction;

use crate::sweep::{Decision, Metric};

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
    /// What the run costs.
    pub sizes: Sizes,
}

/// What a run costs, known before it starts. None: depends on data that are not loaded yet, or on
/// components whose sizes are unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sizes {
    /// Passes over the training images.
    pub epochs: u64,
    /// Optimizer steps.
    pub steps: Option<u64>,
    /// Values that the optimizer updates.
    pub parameters: Option<u64>,
    /// Context and target tokens of all steps.
    pub tokens: Option<f64>,
    /// Useful operations of all steps.
    pub flop: Option<f64>,
    /// Estimate of the resident memory, bytes.
    pub memory: Option<f64>,
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
            let Sizes { epochs, steps, parameters, tokens, flop, memory } = r.sizes;
            let whole = |n: Option<u64>| n.map_or(String::new(), |n| n.to_string());
            let mut cells = vec![r.index.to_string(), r.run_id.clone(), r.arm.clone(), r.seed.to_string()];
            cells.extend([r.changed.clone(), epochs.to_string(), whole(steps), whole(parameters)]);
            let memory = memory.map(|bytes| (bytes / 1048576.0).round());
            cells.extend([tokens, flop.map(|f| f / 1e9), memory].map(|n| n.map_or(String::new(), number)));
            cells
        });
        let header = PLAN.columns.iter().map(|c| c.name.to_owned()).collect();
        write_atomic(&self.path.join(PLAN.file), &table(header, cells)?)
    }

    /// Writes `runs.csv`: rows in the order of the plan, whoever finished first. Of the metric that
    /// the sweep is judged by, the best value is given too.
    pub fn write_runs(
        &self,
        parameters: &[String],
        metric: Option<&Metric>,
        runs: &[(RunRow, Standing)],
    ) -> io::Result<()> {
        write_atomic(&self.path.join(RUNS.file), &runs_table(parameters, metric, runs)?)
    }

    /// Writes `decisions.csv`.
    pub fn write_decisions(&self, metric: &str, decisions: &[Decision]) -> io::Result<()> {
        let value = |v: Option<f64>| v.map_or(String::new(), number);
        let cells = decisions.iter().map(|d| {
            let action = if d.stops { "stop" } else { "continue" };
            let mut cells = vec![d.epoch.to_string(), d.rule.to_owned(), metric.to_owned(), d.arm.clone()];
            cells.extend([value(d.value), value(d.threshold), action.to_owned(), d.reason.clone()]);
            cells
        });
        let header = DECISIONS.columns.iter().map(|c| c.name.to_owned()).collect();
        write_atomic(&self.path.join(DECISIONS.file), &table(header, cells)?)
    }
}

fn runs_table(
    parameters: &[String],
    metric: Option<&Metric>,
    runs: &[(RunRow, Standing)],
) -> io::Result<Vec<u8>> {
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
    // Without a direction there is no best value.
    let metric = metric.filter(|m| m.goal.decides());
    header
        .extend(metric.iter().flat_map(|m| ["best", "best_step"].map(|w| format!("metric.{}.{w}", m.name))));
    let cells = runs.iter().map(|(row, standing)| {
        let steps = standing.status.as_ref().map_or(String::new(), |s| s.step.to_string());
        let mut cells = vec![row.run_id.clone(), row.arm.clone(), row.seed.to_string()];
        cells.extend([standing.word().to_owned(), standing.reason(), steps]);
        cells.extend(row.parameters.iter().cloned());
        let last = |m: &&str| standing.measurements(m).last().map_or(String::new(), |m| m.text.clone());
        cells.extend(metrics.iter().map(last));
        cells.extend(metric.iter().flat_map(|m| best(standing.measurements(&m.name), m.goal)));
        cells
    });
    table(header, cells)
}

/// The best value and its step; empty if nothing was measured.
fn best(measurements: &[Measured], goal: Direction) -> [String; 2] {
    let finite = measurements.iter().filter(|m| m.value().is_finite());
    let best = finite.min_by(|a, b| goal.better_first(a.value(), b.value()));
    best.map_or_else(Default::default, |m| [m.text.clone(), m.step.to_string()])
}

pub(super) fn table(header: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> io::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(&header)?;
    for row in rows {
        writer.write_record(&row)?;
    }
    writer.into_inner().map_err(|e| io::Error::other(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::{State, Status},
        sweep::At,
    };

    fn row(index: usize) -> RunRow {
        let (run_id, arm) = (format!("r{index}"), "a=1,b=2".to_owned());
        RunRow {
            index,
            run_id,
            arm,
            seed: 0,
            changed: String::new(),
            parameters: vec!["1".into()],
            sizes: Sizes::default(),
        }
    }

    #[test]
    fn runs_without_a_metric_have_an_empty_cell() {
        let status =
            Status { state: State::Done, reason: String::new(), step: 4, steps: 4, data: String::new() };
        let name = "knn/target/class/top1";
        let measured = |step, text: &str| Measured { epoch: step, step, text: text.into() };
        let metrics = vec![(name.to_owned(), vec![measured(2, "55.0"), measured(4, "50")])];
        let done = Standing { status: Some(status), metrics, ..Standing::default() };
        let crashed = Standing { failure: Some("killed".into()), ..Standing::default() };
        let runs = [(row(0), done), (row(1), crashed), (row(2), Standing::default())];
        let metric = Metric { name: name.into(), goal: Direction::Higher, at: At::Last };
        let bytes = runs_table(&["a".to_owned()], Some(&metric), &runs).unwrap();
        let expected = "run_id,arm,seed,status,reason,steps,param.a,metric.knn/target/class/top1.last,\
                        metric.knn/target/class/top1.best,metric.knn/target/class/top1.best_step\n\
                        r0,\"a=1,b=2\",0,done,,4,1,50,55.0,2\n\
                        r1,\"a=1,b=2\",0,failed,killed,,1,,,\n\
                        r2,\"a=1,b=2\",0,pending,,,1,,,\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
}
