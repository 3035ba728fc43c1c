//! One task of an engine: carries out some runs of a sweep's plan on this machine.
//!
//! Every run is a process of its own, so that its end says of which class it was. What is done is left alone, what
//! was stopped goes on, what crashed is tried once more with half the threads. Nothing is asked of the engine: which
//! runs have something left to do stands in their folders, and any number of equal tasks does no harm.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use super::launcher::{Ended, Job, JobEvent, Launcher, Resources};
use crate::{
    events::RunState,
    results::{Attempt, Attempts, EngineTask, OpenAttempt, RunOverview, StoredPlan},
};

/// Attempts at a run that crashes, in one task.
const ATTEMPTS: usize = 2;

/// What a task is to do.
#[derive(Clone, Debug)]
pub struct Task {
    /// The plan.
    pub plan: StoredPlan,
    /// Runs to carry out, by their numbers in the plan.
    pub indices: Vec<usize>,
    /// Compute threads of each run.
    pub threads: usize,
    /// Stop every run with a checkpoint when this epoch is over; none: train to the end.
    pub until_epoch: Option<u64>,
    /// Take over from processes of other machines that are gone.
    pub steal: bool,
    /// The program that carries out a run.
    pub program: PathBuf,
    /// The engine's task that this is, if an engine started it.
    pub engine: Option<EngineTask>,
    /// Name of this machine.
    pub host: String,
    /// The time now (RFC 3339, UTC).
    pub now: fn() -> String,
}

/// How a run of a task ended; the worst counts for the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEnd {
    /// It is done; true: it was done before.
    Done(bool),
    /// It diverged or collapsed, now or before.
    Broken(RunState),
    /// Another process works on it.
    InUse,
    /// Its experiment was refused.
    Refused(String),
    /// It failed as often as it was tried.
    Failed(String),
    /// It was stopped with a checkpoint, or before it began.
    Stopped,
}

/// One thing that a person may want to read of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    /// An attempt began.
    Began {
        /// The run.
        index: usize,
        /// Number of the attempt at it, in all tasks.
        attempt: usize,
        /// Steps that are there already.
        step: u64,
    },
    /// It crashed and is tried again with so many threads.
    TriedAgain {
        /// The run.
        index: usize,
        /// Why it failed.
        reason: String,
        /// Threads of the next attempt.
        threads: usize,
    },
    /// It is over as far as this task is concerned.
    Ended {
        /// The run.
        index: usize,
        /// How.
        end: TaskEnd,
    },
}

/// What is known of runs that were handed to the launcher.
struct UnderWay {
    attempt: OpenAttempt,
    tries: usize,
    threads: usize,
    log: PathBuf,
}

/// Carries out the runs of a task; setting `stop` makes those under way write a checkpoint and end.
pub fn exec_task(
    task: &Task,
    launcher: &mut dyn Launcher,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(&TaskEvent),
) -> io::Result<Vec<(usize, TaskEnd)>> {
    let mut ends = Vec::new();
    let mut under_way = BTreeMap::new();
    let mut ended = |index: usize, end: TaskEnd, tell: &mut dyn FnMut(&TaskEvent)| {
        tell(&TaskEvent::Ended { index, end: end.clone() });
        ends.push((index, end));
    };
    for index in task.indices.iter().copied() {
        match task.before(index) {
            Some(end) => ended(index, end, tell),
            None if stop.load(Ordering::SeqCst) => ended(index, TaskEnd::Stopped, tell),
            None => drop(under_way.insert(index, task.start(index, 1, task.threads, launcher, tell)?)),
        }
    }
    let mut asked = false;
    while !under_way.is_empty() {
        if stop.load(Ordering::SeqCst) && !asked {
            asked = true;
            launcher.stop();
        }
        for event in launcher.poll() {
            let JobEvent::Ended { index, ended: how } = event else { continue };
            let Some(run) = under_way.remove(&index) else { continue };
            let (tries, threads) = (run.tries, run.threads);
            let end = task.take(index, run, how)?;
            match end {
                TaskEnd::Failed(reason) if tries < ATTEMPTS && !asked => {
                    let threads = (threads / 2).max(1);
                    tell(&TaskEvent::TriedAgain { index, reason, threads });
                    under_way.insert(index, task.start(index, tries + 1, threads, launcher, tell)?);
                }
                end => ended(index, end, tell),
            }
        }
    }
    ends.sort_by_key(|(index, _)| *index);
    Ok(ends)
}

impl Task {
    fn standing(&self, index: usize) -> RunOverview {
        RunOverview::before_reuse(&self.plan.run_folder(&self.plan.runs[index]))
    }

    /// How a run stands that has nothing left to do.
    fn before(&self, index: usize) -> Option<TaskEnd> {
        let standing = self.standing(index);
        let state = standing.state();
        let epochs = self.plan.runs[index].epochs;
        let there = self.until_epoch.is_some_and(|epoch| standing.has_reached(epoch, epochs));
        match state {
            RunState::Done => Some(TaskEnd::Done(true)),
            state if state.is_broken() => Some(TaskEnd::Broken(state)),
            _ => there.then_some(TaskEnd::Done(true)),
        }
    }

    /// Hands a run to the launcher.
    fn start(
        &self,
        index: usize,
        tries: usize,
        threads: usize,
        launcher: &mut dyn Launcher,
        tell: &mut dyn FnMut(&TaskEvent),
    ) -> io::Result<UnderWay> {
        let folder = self.plan.run_folder(&self.plan.runs[index]);
        let step = self.standing(index).status.map_or(0, |status| status.step);
        let attempt = Attempts::of(&self.plan.folder, index).begin(Attempt {
            started_at: (self.now)(),
            host: self.host.clone(),
            task: self.engine.as_ref().map_or(String::new(), EngineTask::name),
            threads,
            ..Attempt::default()
        })?;
        tell(&TaskEvent::Began { index, attempt: attempt.number, step });
        let log = self.plan.folder.join(format!("logs/{index}-{}.log", attempt.number));
        let job = Job {
            index,
            program: self.program.clone(),
            experiment: self.plan.config(index),
            results: self.plan.results(),
            folder,
            log: log.clone(),
            resources: Resources { threads, gpu: false },
            force: false,
            until_epoch: self.until_epoch,
            steal: self.steal,
        };
        launcher.submit(job).map_err(io::Error::other)?;
        Ok(UnderWay { attempt, tries, threads, log })
    }

    /// What the end of a process means for its run, noted as the end of the attempt.
    fn take(&self, index: usize, run: UnderWay, how: Ended) -> io::Result<TaskEnd> {
        let end = match how {
            Ended::Itself => match self.standing(index).state() {
                state if state.is_broken() => TaskEnd::Broken(state),
                _ => TaskEnd::Done(false),
            },
            // As far as it was to go.
            Ended::Stopped if self.until_epoch.is_some() && self.before(index).is_some() => {
                TaskEnd::Done(false)
            }
            Ended::Stopped | Ended::NotStarted => TaskEnd::Stopped,
            Ended::InUse => TaskEnd::InUse,
            Ended::Refused(reason) => TaskEnd::Refused(format!("{reason} ({})", run.log.display())),
            Ended::Failed(reason) => TaskEnd::Failed(format!("{reason} ({})", run.log.display())),
        };
        let reason = match &end {
            TaskEnd::Refused(reason) | TaskEnd::Failed(reason) => reason.as_str(),
            _ => "",
        };
        run.attempt.end((self.now)(), end.exit(), reason)?;
        Ok(end)
    }
}

impl TaskEnd {
    /// The exit code that says so.
    pub fn exit(&self) -> u8 {
        match self {
            TaskEnd::Done(_) => 0,
            TaskEnd::Broken(_) => 3,
            TaskEnd::InUse => 5,
            TaskEnd::Refused(_) => 2,
            TaskEnd::Failed(_) => 1,
            TaskEnd::Stopped => 75,
        }
    }

    /// The exit code of a task whose runs ended like that: what is to be continued comes first, then what is to be
    /// looked at.
    pub fn of_all(ends: &[(usize, TaskEnd)]) -> u8 {
        let has = |exit: u8| ends.iter().any(|(_, end)| end.exit() == exit);
        [75, 1, 2, 5, 3].into_iter().find(|exit| has(*exit)).unwrap_or(0)
    }
}
