//! Where the runs of a sweep are carried out.
//!
//! A launcher is a queue: it takes jobs, starts them when there is room, and reports what becomes of them. It
//! knows command lines and processes, and nothing of experiments: how far a run is and what it measured stands
//! in its run folder, whoever launched it.

mod engine;
mod local;
mod tool;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
};

pub use engine::{
    EmitLauncher, EngineKind, EngineSettings, EngineSweep, KubernetesSettings, QueueLauncher, QueueOptions,
    cancel, parse_time, queue_launcher,
};
pub use local::LocalLauncher;

/// A queue that starts runs. Calls return at once but for [`Launcher::poll`], which may wait a moment.
pub trait Launcher {
    /// Runs at a time, for displays and for sharing a machine; a queue of a cluster says how many it may hold.
    fn slots(&self) -> usize;

    /// Compute threads of a run where nobody says how many.
    fn threads_per_run(&self) -> usize;

    /// Takes a job up, to be started after those before it. An error says why it cannot be taken: the run
    /// has failed then, and no event of it follows.
    fn submit(&mut self, job: Job) -> Result<(), String>;

    /// What has happened since the last call. Nothing yet: waits a moment, so that asking again and again
    /// costs nothing.
    fn poll(&mut self) -> Vec<JobEvent>;

    /// Asks all jobs under way to write a checkpoint and end. Those that have not started never do. Each ends
    /// with [`JobEvent::Ended`] in a later `poll`.
    fn stop(&mut self);
}

/// A run to be started: one command line, and what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Number of the run in its plan. A launcher holds one job of a number at a time.
    pub index: usize,
    /// Program.
    pub program: PathBuf,
    /// The experiment with nothing left to default.
    pub experiment: PathBuf,
    /// Folder of the run folders.
    pub results: PathBuf,
    /// Folder of this run.
    pub folder: PathBuf,
    /// Receives what the run says on stderr.
    pub log: PathBuf,
    /// What it computes with.
    pub resources: Resources,
    /// Start over; files of an earlier attempt are kept.
    pub force: bool,
    /// Stop with a checkpoint when this epoch is over; none: train to the end.
    pub until_epoch: Option<u64>,
    /// Take over from a process of another machine that is gone.
    pub steal: bool,
}

/// What a run computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Compute threads.
    pub threads: usize,
    /// Whether the launcher chooses a GPU for it. Otherwise the experiment says what device it wants.
    pub gpu: bool,
}

impl Job {
    /// Arguments of the program. A launcher adds the device it has chosen and how it asks for a stop.
    pub fn arguments(&self) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut all = vec![text(&self.experiment), "--quiet".into()];
        all.extend(["--results".into(), text(&self.results)]);
        all.extend(["--threads".into(), self.resources.threads.to_string()]);
        all.extend(self.force.then(|| "--force".to_owned()));
        all.extend(self.steal.then(|| "--steal".to_owned()));
        all.extend(self.until_epoch.iter().flat_map(|epoch| ["--until-epoch".into(), epoch.to_string()]));
        all
    }
}

/// What a launcher reports of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// It has started.
    Started {
        /// The job's number.
        index: usize,
        /// Its place among those at a time, from 0.
        slot: usize,
    },
    /// It was asked to stop some time ago, and goes on.
    Hangs {
        /// The job's number.
        index: usize,
        /// Seconds until it is killed.
        seconds_left: u64,
    },
    /// Nobody can say how it stands: the queue does not answer. It may be told again, and is no end.
    Unknown {
        /// The job's number.
        index: usize,
        /// What stands in the way.
        reason: String,
    },
    /// It has ended; nothing more is told of it.
    Ended {
        /// The job's number.
        index: usize,
        /// How.
        ended: Ended,
    },
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It did its work; the run folder says what came of it.
    Itself,
    /// It stopped on request, or at the epoch it was to stop at.
    Stopped,
    /// Another process works on the run.
    InUse,
    /// It failed, and why.
    Failed(String),
    /// Its experiment or command line was refused: trying again would change nothing.
    Refused(String),
    /// It was not started: a stop came first, or this launcher only writes down what others are to start.
    NotStarted,
}

impl Ended {
    /// What the end of a process says that left `log`; the exit codes are those of the command line.
    pub fn of(status: ExitStatus, log: &Path) -> Self {
        match status.code() {
            Some(0 | 3) => Ended::Itself,
            Some(75) => Ended::Stopped,
            Some(5) => Ended::InUse,
            Some(2) => Ended::Refused(last_words(log).unwrap_or_else(|| "refused".into())),
            Some(code) => Ended::Failed(last_words(log).unwrap_or_else(|| format!("exit code {code}"))),
            // "signal: 9 (SIGKILL)" on Unix.
            None => Ended::Failed(format!("killed: {status}")),
        }
    }
}

/// Why a process failed, in its own words: its error with what helps, its panic, or what it said last.
fn last_words(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).ok()?;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let after = |at: Option<usize>| at.and_then(|at| lines.get(at + 1).copied());
    let error = lines.iter().position(|l| l.starts_with("error: "));
    let help = after(error).and_then(|line| line.strip_prefix("help: "));
    let help = help.map_or(String::new(), |help| format!("; {help}"));
    let error = error.map(|at| lines[at].trim_start_matches("error: ").to_owned() + &help);
    let panic = || after(lines.iter().position(|l| l.contains("panicked at"))).map(str::to_owned);
    error.or_else(panic).or(lines.last().map(|line| (*line).to_owned()))
}

/// Queues the task of Slurm that this process is once more, and says its name. Of an array only this task: the number
/// of its job alone would mean all of them.
pub fn requeue(variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let of = |name: &str| variable(name).ok_or_else(|| format!("{name} is not set"));
    let task = format!("{}_{}", of("SLURM_ARRAY_JOB_ID")?, of("SLURM_ARRAY_TASK_ID")?);
    tool::call(&tool::words(&["scontrol", "requeue", &task]))?;
    Ok(task)
}

/// Threads of this machine.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Threads of each run where so many share this machine.
pub fn share_of_cores(slots: usize) -> usize {
    (cores() / slots.max(1)).max(1)
}
