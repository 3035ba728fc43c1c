//! What a sweep tells the outside while it is carried out.

use std::path::PathBuf;

use super::RunState;
use crate::sweep::Decision;

/// One thing that happened in a sweep. Runs are named by their position in the plan.
#[derive(Clone, Debug, PartialEq)]
pub enum SweepEvent {
    /// The sweep folder is open and holds the plan; nothing has been started yet.
    Opened {
        /// The sweep folder.
        folder: PathBuf,
        /// How every run stands, in the order of the plan.
        runs: Vec<RunAhead>,
    },
    /// Runs go to the launcher. Where arms can end early there is a stage for every rung and a last one; runs
    /// that another process was working on are tried again in one more.
    StageStarted {
        /// The epoch at which runs stop to be judged; none: they go on to their end.
        until: Option<u64>,
        /// The runs that have something left to do in it.
        to_do: Vec<usize>,
        /// Runs at a time.
        slots: usize,
    },
    /// A run has been started.
    RunStarted {
        /// The run.
        index: usize,
        /// Its place among those at a time, from 0.
        slot: usize,
    },
    /// How far a run is, as of its last checkpoint. Told now and then even if nothing has changed: the run
    /// lives.
    RunProgress {
        /// The run.
        index: usize,
        /// Steps done.
        step: u64,
        /// Steps of the whole run; 0 until it has read its data.
        steps: u64,
    },
    /// A run was asked to stop some time ago, and goes on.
    RunHangs {
        /// The run.
        index: usize,
        /// Seconds until it is killed.
        seconds_left: u64,
    },
    /// The launcher cannot say what has become of a run; it goes on asking.
    RunUnknown {
        /// The run.
        index: usize,
        /// What stands in the way.
        reason: String,
    },
    /// A run has ended, or has come to where the stage ends.
    RunEnded(RunEnd),
    /// No run of the stage is under way any more.
    StageEnded,
    /// What early termination decided about an arm at a rung.
    Decided(Decision),
    /// The runs under way were asked to write a checkpoint and end; no other is started.
    StopRequested {
        /// How many are under way or wait for their turn.
        unfinished: usize,
    },
    /// The sweep is over as far as this process is concerned; its tables are written.
    Ended(SweepEnd),
}

/// How a run stands before a sweep starts anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAhead {
    /// Position in the plan.
    pub index: usize,
    /// Name of its folder.
    pub run_id: String,
    /// Name of its arm.
    pub arm: String,
    /// Its seed.
    pub seed: u64,
    /// State of what is there.
    pub state: RunState,
    /// Steps done so far.
    pub step: u64,
    /// Steps to do; none if that depends on data that nobody has read yet.
    pub steps_left: Option<u64>,
    /// What is to be done with it.
    pub ahead: Ahead,
}

/// What is to be done with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// Nothing of it exists: it starts.
    New,
    /// It goes on from its last checkpoint.
    Continues,
    /// It starts over; files of an earlier attempt are kept.
    StartsOver,
    /// Another process works on it.
    Elsewhere,
    /// Nothing: it came to its end before.
    Finished,
}

/// How a run of a sweep ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunEnd {
    /// Position in the plan.
    pub index: usize,
    /// Its state; `stopped` at a rung of early termination means that it waits to be judged.
    pub state: RunState,
    /// Why it failed, where the run could not say so itself.
    pub failure: Option<String>,
    /// Steps done.
    pub step: u64,
    /// The last value of every metric that was measured.
    pub metrics: Vec<(String, f64)>,
}

/// How a sweep ended: the first of these that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepEnd {
    /// It was stopped on request or at the epoch that was asked for, or its runs were left to others to start:
    /// there are runs to continue.
    Stopped,
    /// Runs failed, or cannot be read.
    Failed,
    /// Other processes work on runs that are not over.
    InUse,
    /// Runs diverged or collapsed; all are over.
    Broken,
    /// All runs are over.
    Done,
}
