//! Engines that carry out a sweep elsewhere: what they are asked for, and what their tasks call.
//!
//! ```text
//! Job, Job, ... -> tasks (numbers) -> array of an engine -> ijepa-run exec PLAN --index N -> run folders
//! ```
//!
//! A task is so many runs in the order of the plan, numbered by that order, so that its number says what it is to
//! do whoever submits it, and however often.

mod emit;
mod hyperqueue;
mod kubernetes;
mod queue;
mod script;
mod settings;
mod slurm;
mod standing;
mod submissions;

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use super::{Job, tool};
pub use emit::EmitLauncher;
pub use queue::{QueueLauncher, QueueOptions};
pub use settings::{EngineSettings, KubernetesSettings, parse_time};

/// Where a sweep is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// Processes of this machine.
    #[default]
    Local,
    /// Nowhere yet: scripts are written for whatever there is.
    Emit,
    /// Job arrays of Slurm.
    Slurm,
    /// Task arrays of HyperQueue.
    HyperQueue,
}

impl EngineKind {
    /// All, in the order of the help.
    pub const ALL: [EngineKind; 4] =
        [EngineKind::Local, EngineKind::Emit, EngineKind::Slurm, EngineKind::HyperQueue];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Local => "local",
            EngineKind::Emit => "emit",
            EngineKind::Slurm => "slurm",
            EngineKind::HyperQueue => "hyperqueue",
        }
    }

    /// Its queue, if it has one.
    fn queue(self) -> Option<Box<dyn standing::Engine>> {
        match self {
            EngineKind::Local | EngineKind::Emit => None,
            EngineKind::Slurm => Some(Box::new(slurm::Slurm)),
            EngineKind::HyperQueue => Some(Box::new(hyperqueue::HyperQueue)),
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = EngineKind::ALL.map(EngineKind::name);
        let found = EngineKind::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("is `{text}`; allowed: {}", names.join(", ")))
    }
}

/// A sweep as an engine sees it: what its tasks call, and what each of them needs.
#[derive(Clone, Debug)]
pub struct EngineSweep {
    /// Name of the sweep.
    pub name: String,
    /// Its folder, absolute.
    pub folder: PathBuf,
    /// The program, absolute.
    pub program: PathBuf,
    /// Number of runs in the plan.
    pub runs: usize,
    /// Whether its runs compute on a GPU.
    pub gpu: bool,
    /// Epoch to stop at; none: to the end.
    pub until_epoch: Option<u64>,
    /// What a person wants.
    pub settings: EngineSettings,
}

impl EngineSweep {
    /// Folder of everything that an engine leaves or is given.
    pub fn engine_folder(&self) -> PathBuf {
        self.folder.join(ENGINE_FOLDER)
    }

    /// Runs per task.
    pub fn pack(&self) -> usize {
        self.settings.pack.unwrap_or(1).max(1)
    }

    /// Runs of a task at a time.
    pub fn together(&self) -> usize {
        self.settings.together.unwrap_or(1).clamp(1, self.pack())
    }

    /// Threads of a run.
    pub fn threads(&self) -> usize {
        self.settings.threads.unwrap_or(DEFAULT_THREADS)
    }

    /// Processors of a task.
    pub fn cpus(&self) -> usize {
        self.threads() * self.together()
    }

    /// GPUs of a task: one, which its runs share, where they compute on one.
    pub fn gpus(&self) -> usize {
        self.settings.gpus.unwrap_or(usize::from(self.gpu))
    }

    /// Number of tasks that the whole plan has.
    pub fn tasks(&self) -> usize {
        self.runs.div_ceil(self.pack())
    }

    /// The task that carries out a run.
    pub fn task_of(&self, run: usize) -> usize {
        run / self.pack()
    }

    /// The tasks that carry out these jobs.
    pub fn tasks_of(&self, jobs: &[Job]) -> BTreeSet<usize> {
        jobs.iter().map(|job| self.task_of(job.index)).collect()
    }

    /// The command of a task but for its number.
    pub fn command(&self) -> Vec<String> {
        self.command_of(&self.program.to_string_lossy(), &self.folder)
    }

    /// The same for a program and a folder that have other names where it runs.
    pub fn command_of(&self, program: &str, folder: &Path) -> Vec<String> {
        let mut words = tool::words(&[program, "exec", &folder.to_string_lossy()]);
        let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
        if self.pack() > 1 {
            option("--count", self.pack().to_string());
        }
        if self.together() > 1 {
            option("--jobs", self.together().to_string());
        }
        option("--threads", self.threads().to_string());
        if let Some(limit) = self.settings.time_limit {
            option("--time-limit", format!("{}s", limit.as_secs()));
        }
        if let Some(epoch) = self.until_epoch {
            option("--until-epoch", epoch.to_string());
        }
        words
    }
}

/// The launcher that hands a sweep to the queue of an engine; none for an engine without one.
pub fn queue_launcher(kind: EngineKind, sweep: &EngineSweep, how: QueueOptions) -> Option<QueueLauncher> {
    Some(QueueLauncher::new(kind.queue()?, sweep.clone(), how))
}

/// Takes everything of the sweep in `folder` out of the queues it is in. Returns every job, and what stood in the way.
pub fn cancel(folder: &Path) -> Result<standing::Cancelled<String>, String> {
    let engine = |name: &str| name.parse::<EngineKind>().ok()?.queue();
    let all = standing::cancel(&folder.join(ENGINE_FOLDER), &engine)?;
    Ok(all.into_iter().map(|(s, result)| (format!("{} job {}", s.engine, s.job), result)).collect())
}

/// Folder of everything that an engine leaves or is given, in a sweep folder.
const ENGINE_FOLDER: &str = "engine";

/// Threads of a run where nobody says how many.
const DEFAULT_THREADS: usize = 4;

/// `0,3,7-9`, as every engine writes lists of numbers.
pub fn ranges(numbers: &BTreeSet<usize>) -> String {
    let mut all: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match all.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => all.push((number, number)),
        }
    }
    let one = |&(first, last): &(usize, usize)| match last - first {
        0 => first.to_string(),
        _ => format!("{first}-{last}"),
    };
    all.iter().map(one).collect::<Vec<_>>().join(",")
}

/// Whole minutes that hold a time.
pub(super) fn minutes(time: Duration) -> u64 {
    time.as_secs().div_ceil(60).max(1)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A sweep of so many runs, packed.
    pub fn sweep(runs: usize, pack: usize) -> EngineSweep {
        let settings = EngineSettings { pack: Some(pack), threads: Some(2), ..EngineSettings::default() };
        EngineSweep {
            name: "tiny".into(),
            folder: "/shared/results/sweeps/tiny-1".into(),
            program: "/shared/bin/ijepa-run".into(),
            runs,
            gpu: false,
            until_epoch: None,
            settings,
        }
    }

    #[test]
    fn numbers_are_written_as_ranges() {
        let text = |all: &[usize]| ranges(&all.iter().copied().collect());
        assert_eq!(text(&[]), "");
        assert_eq!(text(&[0, 3, 7, 8, 9]), "0,3,7-9");
        assert_eq!(text(&[2, 1, 0]), "0-2");
    }

    #[test]
    fn a_task_asks_for_what_its_runs_need() {
        let mut sweep = sweep(10, 4);
        sweep.settings.together = Some(2);
        sweep.settings.time_limit = Some(Duration::from_secs(90));
        assert_eq!((sweep.tasks(), sweep.cpus(), sweep.gpus(), sweep.task_of(7)), (3, 4, 0, 1));
        let command = sweep.command().join(" ");
        let expected = "/shared/bin/ijepa-run exec /shared/results/sweeps/tiny-1 --count 4 --jobs 2 --threads 2 \
                        --time-limit 90s";
        assert_eq!(command, expected);
        sweep.gpu = true;
        assert_eq!(sweep.gpus(), 1);
    }
}
