//! The runs that are watched, and what their files said at the last look.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use rayon::prelude::*;

use super::super::{resolve, results_table::LastProbes, show};
use crate::{
    analysis::SweepTable,
    results::{
        LiveRun, RunState,
        columns::{PLAN, PlanRow},
        is_run_folder, read,
    },
};

/// One watched run.
pub(super) struct WatchedRun {
    /// What it is called in the list.
    pub name: String,
    folder: PathBuf,
    /// What its files say.
    pub live: LiveRun,
    /// Steps of the whole run by the plan, where the run has not begun.
    planned: Option<u64>,
    /// Its first result, in words.
    pub result: String,
    /// When it was at which step, while this program looked.
    seen: Option<(Instant, u64)>,
    own_pace: Option<f64>,
}

/// What is watched.
pub(super) struct Watched {
    /// The folder that was asked for.
    pub title: String,
    /// The runs, in their order.
    pub runs: Vec<WatchedRun>,
    /// Folder whose new runs join the list.
    growing: Option<PathBuf>,
}

impl Watched {
    /// A sweep, a run, or all runs of the results folder.
    pub fn find(wanted: Option<&Path>, results: &Path) -> Result<Self, String> {
        let Some(wanted) = wanted else { return all(results) };
        if wanted.is_dir() && !is_run_folder(wanted) && resolve::sweep(wanted, results).is_err() {
            return all(wanted);
        }
        let of_run = |folder: PathBuf| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let title = folder.display().to_string();
            Watched { title, runs: vec![WatchedRun::new(name, folder, None)], growing: None }
        };
        if is_run_folder(wanted) {
            return Ok(of_run(wanted.into()));
        }
        match resolve::sweep(wanted, results) {
            Ok(folder) => of_sweep(&folder),
            Err(no_sweep) => match show::find(wanted, results) {
                Ok(run) => Ok(of_run(run)),
                Err(no_run) => Err(if no_sweep.contains("` means ") { no_sweep } else { no_run }),
            },
        }
    }

    /// Looks at the files again; of a run that is over they no longer change.
    pub fn look(&mut self) {
        if let Some(folder) = &self.growing {
            for name in resolve::folders(folder, is_run_folder) {
                if !self.runs.iter().any(|run| run.name == name) {
                    let path = folder.join(&name);
                    self.runs.push(WatchedRun::new(name, path, None));
                }
            }
        }
        self.runs.par_iter_mut().filter(|run| !run.live.standing.is_over()).for_each(WatchedRun::look);
    }

    /// Seconds until all is done at the pace of the runs under way; none where nothing runs or nobody knows.
    pub fn seconds_left(&self) -> Option<f64> {
        let running = self.runs.iter().filter(|run| run.state() == RunState::Running);
        let pace: f64 = running.filter_map(WatchedRun::pace).sum();
        let known = self.runs.iter().all(|run| run.live.standing.is_over() || run.steps() > 0);
        let left: u64 = self.runs.iter().filter(|run| run.goes_on()).map(WatchedRun::left).sum();
        (known && pace > 0.0).then(|| left as f64 / pace)
    }
}

impl WatchedRun {
    fn new(name: String, folder: PathBuf, planned: Option<u64>) -> Self {
        let (live, result) = (LiveRun::default(), String::new());
        WatchedRun { name, folder, live, planned, result, seen: None, own_pace: None }
    }

    fn look(&mut self) {
        let before = self.live.step;
        self.live = LiveRun::read(&self.folder);
        self.result =
            LastProbes::read(&self.folder).ok().and_then(|last| last.headline()).unwrap_or_default();
        let now = Instant::now();
        if let Some((then, step)) = self.seen.filter(|_| self.live.step > before) {
            let seconds = now.duration_since(then).as_secs_f64();
            self.own_pace = (seconds > 0.0).then(|| self.live.step.saturating_sub(step) as f64 / seconds);
        }
        if self.seen.is_none() || self.live.step > before {
            self.seen = Some((now, self.live.step));
        }
    }

    /// How it stands.
    pub fn state(&self) -> RunState {
        self.live.standing.state()
    }

    /// Steps of the whole run; 0 where nobody knows.
    pub fn steps(&self) -> u64 {
        if self.live.steps > 0 { self.live.steps } else { self.planned.unwrap_or(0) }
    }

    /// Steps that are left.
    pub fn left(&self) -> u64 {
        if self.live.standing.is_over() { 0 } else { self.steps().saturating_sub(self.live.step) }
    }

    /// Whether somebody works on it or is going to.
    fn goes_on(&self) -> bool {
        matches!(self.state(), RunState::Running | RunState::Pending)
    }

    /// Steps per second: by its table, else as seen from here; none of a run that nobody works on.
    pub fn pace(&self) -> Option<f64> {
        let pace = self.live.pace.or(self.own_pace);
        pace.filter(|_| self.state() == RunState::Running)
    }
}

fn all(folder: &Path) -> Result<Watched, String> {
    if !folder.is_dir() {
        let first = "the first command that runs one makes it, such as ijepa-run experiments/quickstart.yaml";
        return Err(format!("no runs yet: there is no folder {}\n  help: {first}", folder.display()));
    }
    Ok(Watched { title: folder.display().to_string(), runs: Vec::new(), growing: Some(folder.into()) })
}

fn of_sweep(folder: &Path) -> Result<Watched, String> {
    let table = SweepTable::read(folder).map_err(|e| e.to_string())?;
    let plan: Vec<PlanRow> = read::rows(folder, &PLAN).map_err(|e| e.to_string())?;
    let steps = |id: &str| plan.iter().find(|row| row.run_id == id).and_then(|row| row.steps);
    let run = |run: &crate::analysis::SweepRun| {
        let name = format!("{}, seed {}", run.arm, run.seed);
        WatchedRun::new(name, table.run_folder(run), steps(&run.id))
    };
    let runs = table.runs.iter().map(run).collect();
    Ok(Watched { title: folder.display().to_string(), runs, growing: None })
}
