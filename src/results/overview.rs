//! How a run stands, from its files.

use std::path::Path;

use super::{
    Care, FileError, RunState, Status,
    columns::{PROBES, ProbeRow},
    folder::is_held,
    read,
};

/// State and measurements of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunOverview {
    /// State by the run folder alone.
    pub(super) found: RunState,
    /// Last status in the run folder.
    pub status: Option<Status>,
    /// What is wrong with its files.
    pub problem: Option<String>,
    /// Why the process of this run failed, where it could not say so itself.
    pub failure: Option<String>,
    /// Why the sweep does not carry the run further, if so.
    pub ended_early: Option<String>,
    /// Every metric in the order of their first rows.
    pub metrics: Vec<(String, Vec<Measured>)>,
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Epochs completed.
    pub epoch: u64,
    /// Optimizer steps done.
    pub step: u64,
    /// The value.
    pub value: f64,
}

impl RunOverview {
    /// How the run in `folder` stands, from its files; every file that says something must hold what it held.
    pub fn read(folder: &Path) -> Self {
        RunOverview::measured(folder, Care::Words)
    }

    /// The same before what is there counts as done: the weights must be what they were too.
    pub fn before_reuse(folder: &Path) -> Self {
        RunOverview::measured(folder, Care::Weights)
    }

    fn measured(folder: &Path, care: Care) -> Self {
        let standing = RunOverview::without_metrics(folder, care);
        if standing.status.is_none() || standing.problem.is_some() {
            return standing;
        }
        let table = read::known_table(folder, &PROBES, standing.status.as_ref());
        match table.and_then(|table| table.map_or(Ok(Vec::new()), |table| table.typed())) {
            Ok(rows) => RunOverview { metrics: metrics(rows), ..standing },
            Err(error) => RunOverview { status: standing.status, ..unreadable(&error) },
        }
    }

    /// How it stands by `status.json`, the lock, and its files as far as they are looked at.
    pub fn without_metrics(folder: &Path, care: Care) -> Self {
        let status = match Status::expected(folder) {
            Ok(status) => status,
            Err(error) => return unreadable(&error),
        };
        let damage = status.as_ref().and_then(|status| status.damages(folder, care).into_iter().next());
        if let Some(error) = damage {
            return RunOverview { status, ..unreadable(&error) };
        }
        let found = match status.as_ref().map_or(RunState::Pending, |s| s.state) {
            RunState::Pending if is_held(folder) => RunState::Running,
            RunState::Running if !is_held(folder) => RunState::Interrupted,
            state => state,
        };
        RunOverview { found, status, ..RunOverview::default() }
    }

    /// How it stands.
    pub fn state(&self) -> RunState {
        if self.failure.is_some() { RunState::Failed } else { self.found }
    }

    /// Why it stands like that; empty for `done`.
    pub fn reason(&self) -> String {
        let said = [&self.failure, &self.ended_early, &self.problem].into_iter().flatten().next();
        let status = || self.status.as_ref().map(|s| s.reason.clone());
        said.cloned().or_else(status).unwrap_or_default()
    }

    /// Whether it came to its end without seals, as version 0.1.0 left it.
    pub fn is_unsealed(&self) -> bool {
        self.status.as_ref().is_some_and(Status::is_unsealed)
    }

    /// Nothing is left to compute.
    pub fn is_over(&self) -> bool {
        self.ended_early.is_some() || self.state().is_over()
    }

    /// Whether it has been trained for `epoch` of its `epochs`.
    pub fn has_reached(&self, epoch: u64, epochs: u64) -> bool {
        let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
        let reached = |s: &Status| s.steps > 0 && product(s.step, epochs) >= product(epoch, s.steps);
        self.failure.is_none() && self.problem.is_none() && self.status.as_ref().is_some_and(reached)
    }

    /// All measurements of a metric, oldest first.
    pub fn measurements(&self, metric: &str) -> &[Measured] {
        self.metrics.iter().find(|(name, _)| name == metric).map_or(&[], |(_, all)| all)
    }
}

fn unreadable(error: &FileError) -> RunOverview {
    RunOverview { found: RunState::Unreadable, problem: Some(error.to_string()), ..RunOverview::default() }
}

fn metrics(rows: Vec<ProbeRow>) -> Vec<(String, Vec<Measured>)> {
    let mut found: Vec<(String, Vec<Measured>)> = Vec::new();
    for row in rows {
        let (name, measured) = (row.name(), Measured { epoch: row.epoch, step: row.step, value: row.value });
        match found.iter_mut().find(|(n, _)| *n == name) {
            Some((_, all)) => all.push(measured),
            None => found.push((name, vec![measured])),
        }
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::results::{LOCK, STATUS};

    /// A standing that was not read from files.
    pub fn standing(state: RunState, step: u64, metrics: Vec<(String, Vec<Measured>)>) -> RunOverview {
        let status = Status::new(state, "", [step, step], "");
        RunOverview { found: state, status: Some(status), metrics, ..RunOverview::default() }
    }

    fn write(folder: &Path, name: &str, text: &str) {
        std::fs::write(folder.join(name), text).unwrap();
    }

    #[test]
    fn measurements_are_read_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let head = PROBES.columns.iter().map(|c| c.name).collect::<Vec<_>>().join(",");
        let rows = "1,4,knn,target,class,test,top1,%,50,p\n1,4,rankme,target,,test,rankme,1,7.5,p\n\
                    1,4,knn,target,class,validation,top1,%,40,p\n2,8,knn,target,class,test,top1,%,60,p\n";
        write(folder.path(), PROBES.file, &format!("{head}\n{rows}"));
        write(folder.path(), STATUS, r#"{"state": "stopped", "step": 8, "steps": 12}"#);
        let standing = RunOverview::read(folder.path());
        let values =
            |m: &str| standing.measurements(m).iter().map(|m| (m.epoch, m.value)).collect::<Vec<_>>();
        assert_eq!(values("knn/target/class/top1"), [(1, 50.0), (2, 60.0)]);
        assert_eq!(values("rankme/target/rankme"), [(1, 7.5)]);
        assert_eq!(values("knn/target/class/top1@validation"), [(1, 40.0)]);
        assert!(standing.has_reached(2, 3) && !standing.has_reached(3, 3) && !standing.is_over());
    }

    #[test]
    fn a_run_whose_process_is_gone_is_interrupted() {
        let folder = tempfile::tempdir().unwrap();
        let state = || RunOverview::read(folder.path()).state();
        assert_eq!(state(), RunState::Pending);
        let lock = std::fs::File::create(folder.path().join(LOCK)).unwrap();
        lock.lock().unwrap();
        assert_eq!(state(), RunState::Running, "it has not come to its first status yet");
        write(folder.path(), STATUS, r#"{"state": "running", "step": 8, "steps": 12}"#);
        assert_eq!(state(), RunState::Running);
        drop(lock);
        assert_eq!(state(), RunState::Interrupted);
        write(folder.path(), STATUS, "{");
        let standing = RunOverview::read(folder.path());
        assert_eq!(standing.state(), RunState::Unreadable);
        assert!(standing.reason().contains("status.json:1: is no status"), "{}", standing.reason());
    }
}
