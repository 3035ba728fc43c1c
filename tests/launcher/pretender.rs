//! A launcher that only pretends: it writes what runs would leave in their folders.

use std::{collections::VecDeque, fs};

use ijepa_run::{
    events::RunState,
    results::{Status, columns::PROBES},
    run::launcher::{Ended, Job, JobEvent, Launcher},
};

const EPOCHS: u64 = 4;
const STEPS_PER_EPOCH: u64 = 4;

/// Carries out jobs, two at a time, by writing what they would have written.
#[derive(Default)]
pub struct Pretender {
    pub queue: VecDeque<Job>,
    pub under_way: Vec<Job>,
    pub stopped: bool,
    /// Jobs that were taken up: run, epoch to stop at, whether it starts over.
    pub taken: Vec<(usize, Option<u64>, bool)>,
    /// Whether it only writes down what others are to start.
    pub emits: bool,
    /// Runs that fail.
    pub fails: Vec<usize>,
    /// Runs that this launcher refuses.
    pub refuses: Vec<usize>,
    /// Runs whose first job finds another process at work.
    pub busy: Vec<usize>,
}

impl Launcher for Pretender {
    fn slots(&self) -> usize {
        2
    }

    fn threads_per_run(&self) -> usize {
        3
    }

    fn submit(&mut self, job: Job) -> Result<(), String> {
        assert_eq!((job.resources.threads, job.resources.gpu), (3, false));
        assert!(job.experiment.is_file(), "the experiment is written before its run is launched");
        self.taken.push((job.index, job.until_epoch, job.force));
        if self.refuses.contains(&job.index) {
            return Err("the queue is full".into());
        }
        self.queue.push_back(job);
        Ok(())
    }

    fn poll(&mut self) -> Vec<JobEvent> {
        let mut events = vec![JobEvent::Started { index: 999, slot: 7 }];
        for job in self.under_way.drain(..) {
            let ended = match () {
                () if self.fails.contains(&job.index) => Ended::Failed("the disk is full".into()),
                () if self.busy.contains(&job.index) => {
                    self.busy.retain(|index| *index != job.index);
                    Ended::InUse
                }
                () if self.stopped => leave(&job, 1, "asked to stop"),
                () => leave(&job, job.until_epoch.unwrap_or(EPOCHS), "reached the epoch"),
            };
            events.push(JobEvent::Ended { index: job.index, ended });
        }
        let none = self.stopped || self.emits;
        let never = self.queue.iter().filter(|_| none).map(|job| job.index);
        events.extend(never.map(|index| JobEvent::Ended { index, ended: Ended::NotStarted }));
        self.queue.retain(|_| !none);
        for slot in 0..self.slots().min(self.queue.len()) {
            let Some(job) = self.queue.pop_front() else { break };
            events.push(JobEvent::Started { index: job.index, slot });
            self.under_way.push(job);
        }
        events
    }

    fn stop(&mut self) {
        self.stopped = true;
    }
}

/// Leaves a run as if it had been trained up to `epoch`. A run is the better, the later it stands in the plan.
fn leave(job: &Job, epoch: u64, reason: &str) -> Ended {
    fs::create_dir_all(&job.folder).unwrap();
    let head: Vec<&str> = PROBES.columns.iter().map(|c| c.name).collect();
    let row = |epoch: u64| {
        let step = epoch * STEPS_PER_EPOCH;
        format!("{epoch},{step},knn,target,class,test,top1,%,{},p\n", 10 * job.index + 1)
    };
    let rows: String = (1..=epoch).map(row).collect();
    fs::write(job.folder.join(PROBES.file), format!("{}\n{rows}", head.join(","))).unwrap();
    let over = epoch == EPOCHS;
    let (state, reason) = if over { (RunState::Done, "") } else { (RunState::Stopped, reason) };
    let steps = [epoch * STEPS_PER_EPOCH, EPOCHS * STEPS_PER_EPOCH];
    Status::new(state, reason, steps, "").write(&job.folder).unwrap();
    if over { Ended::Itself } else { Ended::Stopped }
}
