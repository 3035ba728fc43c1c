//! Handing jobs to the queue of an engine, and finding out what becomes of them.
//!
//! What a run has come to stands in files: its folder, and the attempts that its tasks note. The engine is only asked
//! whether a task still lives, and whatever it does not say is unknown, never gone: a task that is believed to be
//! gone would be submitted again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io, thread,
    time::{Duration, Instant},
};

use super::{
    EngineSweep, script,
    standing::{Engine, Standing, end, standing},
    submissions::{self, Submission},
};
use crate::{
    results::{Attempt, Attempts, write_atomic},
    run::launcher::{Ended, Job, JobEvent, Launcher},
};

/// Time between two questions to the engine, and between two looks at files.
const ASK_EVERY: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Runs at a time that a display has room for.
const MOST_SLOTS: usize = 32;

/// Hands jobs to an engine; waits for them if it is to.
pub struct QueueLauncher {
    engine: Box<dyn Engine>,
    sweep: EngineSweep,
    how: QueueOptions,
    queue: Vec<Job>,
    held: BTreeMap<usize, Held>,
    told: Vec<String>,
    stopped: bool,
    asked: Option<Instant>,
}

/// How jobs are handed over.
#[derive(Clone, Copy, Debug)]
pub struct QueueOptions {
    /// Wait until all have ended, instead of leaving them to the engine.
    pub wait: bool,
    /// Submit runs again that may still be in the queue.
    pub again: bool,
    /// The time now (RFC 3339, UTC).
    pub now: fn() -> String,
}

/// A run in the queue.
struct Held {
    submission: Submission,
    slot: Option<usize>,
}

impl QueueLauncher {
    /// For a sweep.
    pub fn new(engine: Box<dyn Engine>, sweep: EngineSweep, how: QueueOptions) -> Self {
        QueueLauncher {
            engine,
            sweep,
            how,
            queue: Vec::new(),
            held: BTreeMap::new(),
            told: Vec::new(),
            stopped: false,
            asked: None,
        }
    }

    /// What a person should know, a line each.
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// Hands over what has been submitted to this launcher.
    fn hand_over(&mut self) -> Vec<JobEvent> {
        let jobs = std::mem::take(&mut self.queue);
        let known = match submissions::read_all(&self.sweep.engine_folder()) {
            Ok(known) => known,
            Err(error) => return jobs.iter().map(|job| ended(job.index, failed(&error))).collect(),
        };
        let (mut events, mut new) = (Vec::new(), Vec::new());
        let mut queued: BTreeMap<String, usize> = BTreeMap::new();
        let mut standings = BTreeMap::new();
        for job in jobs {
            let latest = known.iter().rev().find(|s| s.engine == self.engine.name() && s.has_run(job.index));
            let Some((submission, how)) = latest
                .filter(|_| !self.how.again)
                .and_then(|s| Some((s, self.in_queue(s, job.index, &mut standings)?)))
            else {
                new.push(job);
                continue;
            };
            *queued.entry(format!("as job {}{how}", submission.job)).or_default() += 1;
            events.extend(self.keep(job.index, submission.clone()));
        }
        for (how, runs) in queued {
            self.told.push(format!("{runs} runs are in the queue {how}"));
        }
        events.extend(self.submit_all(&new));
        events
    }

    /// A run that is in the queue: held, or left to the engine.
    fn keep(&mut self, index: usize, submission: Submission) -> Option<JobEvent> {
        if self.how.wait {
            self.held.insert(index, Held { submission, slot: None });
            return None;
        }
        Some(ended(index, Ended::NotStarted))
    }

    /// Whether a submission may still carry out a run, and how sure that is.
    fn in_queue(
        &self,
        submission: &Submission,
        run: usize,
        cache: &mut BTreeMap<String, Result<BTreeMap<usize, Standing>, Standing>>,
    ) -> Option<String> {
        let attempt = self.last_attempt(submission, run);
        if attempt.and_then(|a| a.exit).is_some_and(|exit| exit != 75) {
            return None;
        }
        let job = submission.job.clone();
        let all = cache.entry(job).or_insert_with_key(|job| self.engine.standings(job));
        match standing(all, submission, run) {
            Standing::Alive(_) => Some(String::new()),
            Standing::Gone(_) => None,
            Standing::Unknown(reason) => {
                Some(format!(", or have been ({reason}); --again submits them in any case"))
            }
        }
    }

    /// The last attempt that a task of the submission made at a run.
    fn last_attempt(&self, submission: &Submission, run: usize) -> Option<Attempt> {
        let number = (run / submission.pack.max(1)).checked_sub(submission.offset)?;
        let task = format!("{} {}_{number}", submission.engine, submission.job);
        let all = Attempts::of(&self.sweep.folder, run).read().unwrap_or_default();
        all.into_iter().rev().find(|attempt| attempt.task == task)
    }

    /// Submits the tasks of these jobs, array by array, as far as the engine takes them.
    fn submit_all(&mut self, jobs: &[Job]) -> Vec<JobEvent> {
        let Some(first) = jobs.first() else { return Vec::new() };
        self.sweep.until_epoch = first.until_epoch;
        let tasks = self.sweep.tasks_of(jobs);
        let script = self.sweep.engine_folder().join("slurm.sh");
        let written = fs::create_dir_all(self.sweep.engine_folder())
            .and_then(|()| write_atomic(&script, script::slurm(&self.sweep).as_bytes()));
        let mut refused = written.err().map(|error| error.to_string());
        let mut taken: Vec<Submission> = Vec::new();
        for (offset, tasks) in self.engine.arrays(&tasks) {
            if refused.is_some() {
                break;
            }
            match self.engine.submit(&self.sweep, &script, offset, &tasks) {
                Ok(job) => match self.note(job, offset, tasks) {
                    Ok(submission) => taken.push(submission),
                    Err(error) => refused = Some(error.to_string()),
                },
                Err(reason) => refused = Some(reason),
            }
        }
        self.tell(&tasks, &taken, refused.as_deref());
        let none = taken.is_empty();
        let mut events = Vec::new();
        for job in jobs {
            match taken.iter().find(|submission| submission.has_run(job.index)) {
                Some(submission) => events.extend(self.keep(job.index, submission.clone())),
                None if none => {
                    let reason = refused.clone().unwrap_or_default();
                    events.push(ended(job.index, Ended::Failed(reason)));
                }
                // What does not fit now is submitted by the same command later.
                None => events.push(ended(job.index, Ended::NotStarted)),
            }
        }
        events
    }

    /// Writes down an array that the engine took.
    fn note(&self, job: String, offset: usize, tasks: BTreeSet<usize>) -> io::Result<Submission> {
        let (engine, pack) = (self.engine.name().to_owned(), self.sweep.pack());
        let submission = Submission { engine, job, tasks, offset, pack, submitted_at: (self.how.now)() };
        submissions::add(&self.sweep.engine_folder(), std::slice::from_ref(&submission))?;
        Ok(submission)
    }

    fn tell(&mut self, tasks: &BTreeSet<usize>, taken: &[Submission], refused: Option<&str>) {
        for Submission { job, tasks, .. } in taken {
            let (count, pack) = (tasks.len(), self.sweep.pack());
            let runs = if pack > 1 { format!(" of up to {pack} runs") } else { String::new() };
            let name = self.engine.name();
            let line = format!(
                "submitted to {name} as job {job}: {count} tasks{runs}, {} processors",
                self.sweep.cpus()
            );
            let gpus = self.sweep.gpus();
            self.told.push(if gpus > 0 { format!("{line}, {gpus} GPU") } else { line });
        }
        let left = tasks.len() - taken.iter().map(|s| s.tasks.len()).sum::<usize>();
        if let (Some(reason), false) = (refused, taken.is_empty()) {
            self.told.push(format!(
                "{left} tasks are left ({reason}): the same command submits them when the queue has shrunk"
            ));
        }
    }

    /// What files, and now and then the engine, say of the runs that are held.
    fn look(&mut self) -> Vec<JobEvent> {
        let ask = self.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY);
        if ask {
            self.asked = Some(Instant::now());
        }
        let mut standings = BTreeMap::new();
        let mut events = Vec::new();
        let slots = self.slots();
        let held: Vec<usize> = self.held.keys().copied().collect();
        for run in held {
            let attempt = self.last_attempt(&self.held[&run].submission, run);
            events.extend(self.started(run, attempt.as_ref(), slots));
            let submission = &self.held[&run].submission;
            let engine = &self.engine;
            let standing = ask.then(|| {
                let job = submission.job.clone();
                let all = standings.entry(job).or_insert_with_key(|job| engine.standings(job));
                standing(all, submission, run)
            });
            match end(attempt.as_ref(), standing.as_ref()) {
                Some(how) => {
                    self.held.remove(&run);
                    events.push(ended(run, how));
                }
                None => {
                    if let Some(Standing::Unknown(reason)) = standing {
                        events.push(JobEvent::Unknown { index: run, reason });
                    }
                }
            }
        }
        events
    }

    /// The event of a run's first attempt, which takes a free slot.
    fn started(&mut self, run: usize, attempt: Option<&Attempt>, slots: usize) -> Option<JobEvent> {
        if attempt.is_none() || self.held[&run].slot.is_some() {
            return None;
        }
        let used: Vec<usize> = self.held.values().filter_map(|held| held.slot).collect();
        let slot = (0..).find(|slot| !used.contains(slot)).unwrap_or(slots);
        self.held.get_mut(&run)?.slot = Some(slot);
        Some(JobEvent::Started { index: run, slot })
    }
}

fn ended(index: usize, ended: Ended) -> JobEvent {
    JobEvent::Ended { index, ended }
}

fn failed(error: &dyn std::fmt::Display) -> Ended {
    Ended::Failed(error.to_string())
}

impl Launcher for QueueLauncher {
    fn slots(&self) -> usize {
        self.sweep.settings.at_a_time.unwrap_or(self.sweep.runs).clamp(1, MOST_SLOTS)
    }

    fn threads_per_run(&self) -> usize {
        self.sweep.threads()
    }

    fn submit(&mut self, job: Job) -> Result<(), String> {
        self.queue.push(job);
        Ok(())
    }

    fn poll(&mut self) -> Vec<JobEvent> {
        if !self.queue.is_empty() {
            return self.hand_over();
        }
        if self.stopped {
            let held = std::mem::take(&mut self.held);
            return held.into_keys().map(|run| ended(run, Ended::NotStarted)).collect();
        }
        let events = self.look();
        if events.is_empty() {
            thread::sleep(LOOK_EVERY);
        }
        events
    }

    /// Whoever waits leaves; tasks go on without that.
    fn stop(&mut self) {
        self.stopped = true;
        self.told.push("tasks in the queue go on without this command; `ijepa-run cancel` ends them".into());
    }
}
