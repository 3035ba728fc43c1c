//! Carrying out a sweep: stage after stage of jobs, and the decisions between them.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use super::{
    SweepOptions,
    jobs::{Stage, jobs},
    table::Table,
};
use crate::{
    events::{RunState, SweepEvent},
    results::{RunOverview, Status},
    run::{
        early_stopping::EarlyStopping,
        launcher::{Ended, Job, JobEvent, Launcher},
    },
    sweep::{Decision, Plan},
};

/// Time after which progress is told again although nothing has changed: the run lives.
const TELL_EVERY: Duration = Duration::from_secs(20);

/// A sweep under way.
pub(super) struct Sweep<'a> {
    pub plan: &'a Plan,
    pub options: &'a SweepOptions,
    pub launcher: &'a mut dyn Launcher,
    pub stop: &'a AtomicBool,
    pub emit: &'a mut dyn FnMut(&SweepEvent),
    pub table: Table<'a>,
}

/// What is known of the jobs that were handed to the launcher and have not ended.
#[derive(Default)]
struct Unfinished {
    /// Those that have started are watched.
    jobs: BTreeMap<usize, (PathBuf, Option<Watch>)>,
    in_use: Vec<usize>,
}

/// How far a run was when it was last told.
struct Watch {
    step: u64,
    steps: u64,
    told: Instant,
}

impl Sweep<'_> {
    /// Trains all runs to the end, or from rung to rung where arms can end early. Returns what was decided.
    pub fn carry_out(&mut self) -> io::Result<Vec<Decision>> {
        let mut fresh = self.options.force;
        let until = self.options.until_epoch;
        let mut decisions = Vec::new();
        if let Some(mut early) = EarlyStopping::new(self.plan) {
            while let Some(epoch) = early.next_rung().filter(|rung| until.is_none_or(|end| *rung <= end)) {
                self.stage(Stage { until: Some(epoch), fresh })?;
                fresh = false;
                if self.is_stopped() || self.is_left_to_others() {
                    return Ok(decisions);
                }
                self.decide(&mut early, epoch)?;
                decisions = early.decisions().to_vec();
            }
        }
        self.stage(Stage { until, fresh })?;
        Ok(decisions)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Whoever works on a run elsewhere, or is to start it, has not measured it yet: nothing can be decided.
    fn is_left_to_others(&self) -> bool {
        let running = |(_, overview): &(_, RunOverview)| overview.state() == RunState::Running;
        !self.table.handed_on.is_empty() || self.table.runs.iter().any(running)
    }

    /// Judges a rung that all runs have reached.
    fn decide(&mut self, early: &mut EarlyStopping, epoch: u64) -> io::Result<()> {
        let mut runs: Vec<&mut RunOverview> =
            self.table.runs.iter_mut().map(|(_, overview)| overview).collect();
        for decision in early.decide(epoch, &mut runs) {
            (self.emit)(&SweepEvent::Decided(decision));
        }
        self.table.write_decisions(early.metric(), early.decisions())
    }

    /// Carries out what is left to do in a stage; runs that another process works on are tried again at the
    /// end.
    fn stage(&mut self, stage: Stage) -> io::Result<()> {
        let in_use = self.pass(stage, |_| true)?;
        if !in_use.is_empty() && !self.is_stopped() {
            self.pass(stage, |index| in_use.contains(&index))?;
        }
        Ok(())
    }

    /// One pass over those that `wanted` takes; returns the runs that were in use. A table that cannot be
    /// written is an error once all runs of the pass have ended.
    fn pass(&mut self, stage: Stage, wanted: impl Fn(usize) -> bool) -> io::Result<Vec<usize>> {
        let threads = self.options.threads.unwrap_or_else(|| self.launcher.threads_per_run());
        let mut jobs = jobs(&self.table, self.options, stage, threads);
        jobs.retain(|job| wanted(job.index));
        let to_do: Vec<usize> = jobs.iter().map(|job| job.index).collect();
        let slots = self.launcher.slots();
        (self.emit)(&SweepEvent::StageStarted { until: stage.until, to_do, slots });
        let mut written = Ok(());
        let mut unfinished = self.submit(jobs, &mut written);
        let mut asked = false;
        while !unfinished.jobs.is_empty() {
            if self.is_stopped() && !asked {
                asked = true;
                self.launcher.stop();
                (self.emit)(&SweepEvent::StopRequested { unfinished: unfinished.jobs.len() });
            }
            for event in self.launcher.poll() {
                self.take(event, &mut unfinished, &mut written);
            }
            if !asked {
                self.watch(&mut unfinished);
            }
        }
        (self.emit)(&SweepEvent::StageEnded);
        written.map(|()| unfinished.in_use)
    }

    /// Hands jobs to the launcher, none once the sweep is stopped.
    fn submit(&mut self, jobs: Vec<Job>, written: &mut io::Result<()>) -> Unfinished {
        let mut unfinished = Unfinished::default();
        for job in jobs {
            if self.is_stopped() {
                break;
            }
            let (index, folder) = (job.index, job.folder.clone());
            match self.launcher.submit(job) {
                Ok(()) => drop(unfinished.jobs.insert(index, (folder, None))),
                Err(reason) => self.ended(index, &Ended::Failed(reason), written),
            }
        }
        unfinished
    }

    /// Takes what a launcher reports. What it says of jobs that it does not have is passed over.
    fn take(&mut self, event: JobEvent, unfinished: &mut Unfinished, written: &mut io::Result<()>) {
        let has = |index: &usize| unfinished.jobs.contains_key(index);
        match event {
            JobEvent::Started { index, slot } if has(&index) => {
                let watch = Watch { step: 0, steps: 0, told: Instant::now() };
                unfinished.jobs.entry(index).and_modify(|job| job.1 = Some(watch));
                (self.emit)(&SweepEvent::RunStarted { index, slot });
            }
            JobEvent::Hangs { index, seconds_left } if has(&index) => {
                (self.emit)(&SweepEvent::RunHangs { index, seconds_left });
            }
            JobEvent::Unknown { index, reason } if has(&index) => {
                (self.emit)(&SweepEvent::RunUnknown { index, reason });
            }
            JobEvent::Ended { index, ended } if has(&index) => {
                unfinished.jobs.remove(&index);
                unfinished.in_use.extend((ended == Ended::InUse).then_some(index));
                match ended {
                    Ended::NotStarted if self.is_stopped() => {}
                    Ended::NotStarted => drop(self.table.handed_on.insert(index)),
                    ended => self.ended(index, &ended, written),
                }
            }
            _ => {}
        }
    }

    fn ended(&mut self, index: usize, ended: &Ended, written: &mut io::Result<()>) {
        let end = self.table.take_end(index, ended, self.options);
        *written = std::mem::replace(written, Ok(())).and_then(|()| self.table.write());
        (self.emit)(&SweepEvent::RunEnded(end));
    }

    /// Tells how far the started runs are, by their folders.
    fn watch(&mut self, unfinished: &mut Unfinished) {
        for (index, (folder, watch)) in &mut unfinished.jobs {
            if let Some((step, steps)) = watch.as_mut().and_then(|watch| watch.news(folder)) {
                (self.emit)(&SweepEvent::RunProgress { index: *index, step, steps });
            }
        }
    }
}

impl Watch {
    /// Steps done and in all, if they have changed or were told long ago.
    fn news(&mut self, folder: &Path) -> Option<(u64, u64)> {
        let status = Status::read(folder).ok().flatten();
        let now = status.map_or((self.step, self.steps), |status| (status.step, status.steps));
        if now == (self.step, self.steps) && self.told.elapsed() < TELL_EVERY {
            return None;
        }
        (self.step, self.steps) = now;
        self.told = Instant::now();
        Some(now)
    }
}
