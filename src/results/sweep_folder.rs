//! The folder of a sweep: its plan, its table of runs, and who may write them.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{
    FileError, FolderError, RunOverview,
    columns::{Action, DECISIONS, DecisionRow, PLAN, PlanRow, RUNS, Row, RunsRow, names, number},
    folder::lock,
    overview::Measured,
    read, stored_plan, write_atomic,
};
use ijepa_registry::metric::Direction;

use crate::sweep::{Decision, Metric, rule_of_today};

/// An open, locked sweep folder. The lock ends with the value.
pub struct SweepFolder {
    path: PathBuf,
    _lock: Option<File>,
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
        stored_plan::config(&self.path, index)
    }

    /// What the process of a run says on stderr.
    pub fn log(&self, index: usize) -> PathBuf {
        self.path.join(format!("logs/{index}.log"))
    }

    /// Writes `plan.csv`.
    pub fn write_plan(&self, runs: &[RunRow]) -> io::Result<()> {
        write_atomic(&self.path.join(PLAN.file), &table(runs.iter().map(RunRow::planned))?)
    }

    /// Writes `runs.csv`: rows in the order of the plan, whoever finished first. Of the metric that
    /// the sweep is judged by, the best value is given too.
    pub fn write_runs(
        &self,
        parameters: &[String],
        metric: Option<&Metric>,
        runs: &[(RunRow, RunOverview)],
    ) -> io::Result<()> {
        write_atomic(&self.path.join(RUNS.file), &runs_table(parameters, metric, runs)?)
    }

    /// Writes `decisions.csv`.
    pub fn write_decisions(&self, metric: &str, decisions: &[Decision]) -> io::Result<()> {
        let rows = decisions.iter().map(|d| DecisionRow {
            epoch: d.epoch,
            rule: d.rule.into(),
            metric: metric.into(),
            arm: d.arm.clone(),
            value: d.value,
            threshold: d.threshold,
            action: if d.stops { Action::Stop } else { Action::Continue },
            reason: d.reason.clone(),
        });
        write_atomic(&self.path.join(DECISIONS.file), &table(rows)?)
    }
}

impl RunRow {
    fn planned(&self) -> PlanRow {
        let Sizes { epochs, steps, parameters, tokens, flop, memory } = self.sizes;
        PlanRow {
            index: self.index as u64,
            run_id: self.run_id.clone(),
            arm: self.arm.clone(),
            seed: self.seed,
            changed: self.changed.clone(),
            epochs,
            steps,
            parameters,
            tokens,
            gflop: flop.map(|flop| flop / 1e9),
            memory: memory.map(|bytes| (bytes / 1048576.0).round()),
        }
    }

    fn standing(&self, standing: &RunOverview) -> RunsRow {
        RunsRow {
            run_id: self.run_id.clone(),
            arm: self.arm.clone(),
            seed: self.seed,
            status: standing.state(),
            reason: standing.reason(),
            steps: standing.status.as_ref().map(|s| s.step),
        }
    }
}

fn runs_table(
    parameters: &[String],
    metric: Option<&Metric>,
    runs: &[(RunRow, RunOverview)],
) -> io::Result<Vec<u8>> {
    let mut metrics: Vec<&str> = Vec::new();
    for (name, _) in runs.iter().flat_map(|(_, s)| &s.metrics) {
        if !metrics.contains(&name.as_str()) {
            metrics.push(name);
        }
    }
    let mut header = names::<RunsRow>(&[]);
    header.extend(parameters.iter().map(|p| format!("param.{p}")));
    header.extend(metrics.iter().map(|m| format!("metric.{m}.last")));
    // Without a direction there is no best value.
    let metric = metric.filter(|m| m.goal.decides());
    header
        .extend(metric.iter().flat_map(|m| ["best", "best_step"].map(|w| format!("metric.{}.{w}", m.name))));
    let cells = runs.iter().map(|(row, standing)| {
        let mut cells = row.standing(standing).cells();
        cells.extend(row.parameters.iter().cloned());
        let last = |m: &&str| standing.measurements(m).last().map_or(String::new(), |m| number(m.value));
        cells.extend(metrics.iter().map(last));
        cells.extend(metric.iter().flat_map(|m| best(standing.measurements(&m.name), m.goal)));
        cells
    });
    csv(header, cells)
}

/// The best value and its step; empty if nothing was measured.
fn best(measurements: &[Measured], goal: Direction) -> [String; 2] {
    let finite = measurements.iter().filter(|m| m.value.is_finite());
    let best = finite.min_by(|a, b| goal.better_first(a.value, b.value));
    best.map_or_else(Default::default, |m| [number(m.value), m.step.to_string()])
}

/// The rows of `decisions.csv` in a sweep folder, rules by the names of today; none where no arm can end early.
pub fn decisions(folder: &Path) -> Result<Vec<DecisionRow>, FileError> {
    let mut rows: Vec<DecisionRow> = read::rows(folder, &DECISIONS)?;
    rows.iter_mut().for_each(|row| row.rule = rule_of_today(&row.rule).to_owned());
    Ok(rows)
}

/// Rows under their names, as a CSV file.
pub fn table<R: Row>(rows: impl Iterator<Item = R>) -> io::Result<Vec<u8>> {
    wide_table(rows, &[])
}

/// The same for a table with columns that an experiment decided on.
pub fn wide_table<R: Row>(rows: impl Iterator<Item = R>, further: &[String]) -> io::Result<Vec<u8>> {
    let cells = |row: R| {
        let further = row.further().iter().map(|(_, value)| number(*value));
        row.cells().into_iter().chain(further).collect()
    };
    csv(names::<R>(further), rows.map(cells))
}

fn csv(header: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> io::Result<Vec<u8>> {
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
        results::{RunState, overview::tests::standing},
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
        let name = "knn/target/class/top1";
        let measured = |step, value| Measured { epoch: step, step, value };
        let metrics = vec![(name.to_owned(), vec![measured(2, 55.0), measured(4, 50.0)])];
        let done = standing(RunState::Done, 4, metrics);
        let crashed = RunOverview { failure: Some("killed".into()), ..RunOverview::default() };
        let runs = [(row(0), done), (row(1), crashed), (row(2), RunOverview::default())];
        let metric = Metric { name: name.into(), goal: Direction::Higher, at: At::Last };
        let bytes = runs_table(&["a".to_owned()], Some(&metric), &runs).unwrap();
        let expected = "run_id,arm,seed,status,reason,steps,param.a,metric.knn/target/class/top1.last,\
                        metric.knn/target/class/top1.best,metric.knn/target/class/top1.best_step\n\
                        r0,\"a=1,b=2\",0,done,,4,1,50,55,2\n\
                        r1,\"a=1,b=2\",0,failed,killed,,1,,,\n\
                        r2,\"a=1,b=2\",0,pending,,,1,,,\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
}
