//! Processes on this machine, one run each.
//!
//! A run that crashes takes nobody with it. Every process reads its stdin and stops with a
//! checkpoint when that ends: on request, and also when this process dies.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{Ended, Job, JobEvent, Launcher, share_of_cores};

/// Time between two looks at the processes.
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// How long a process that was asked to stop is waited for: it may be stopped itself, or hang on a disk. Its
/// last checkpoint stands.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// When it is spoken of.
    speak: Duration,
    /// When it is killed.
    kill: Duration,
}

const PATIENCE: Patience = Patience { speak: Duration::from_secs(5), kill: Duration::from_secs(60) };

/// Runs jobs as processes, a fixed number at a time. Dropping it closes their stdin, which stops them.
pub struct LocalLauncher {
    slots: Vec<Slot>,
    queue: VecDeque<Job>,
    /// What the next `poll` tells first.
    told: Vec<JobEvent>,
    patience: Patience,
}

/// Room for one process at a time.
struct Slot {
    /// The GPU that its jobs compute on; none: the one that their experiments name.
    device: Option<u64>,
    process: Option<Process>,
}

/// A process under way.
struct Process {
    index: usize,
    program: PathBuf,
    log: PathBuf,
    child: Child,
    stopping: Option<Stopping>,
}

/// How a process has been asked to end.
struct Stopping {
    asked: Instant,
    spoken: bool,
    killed: bool,
}

impl LocalLauncher {
    /// Room for one process per entry, which says the GPU that its jobs compute on; none: the device that
    /// their experiments name.
    pub fn new(devices: Vec<Option<u64>>) -> Self {
        let slot = |device| Slot { device, process: None };
        let slots = devices.into_iter().map(slot).collect();
        LocalLauncher { slots, queue: VecDeque::new(), told: Vec::new(), patience: PATIENCE }
    }
}

impl Launcher for LocalLauncher {
    fn slots(&self) -> usize {
        self.slots.len()
    }

    fn threads_per_run(&self) -> usize {
        share_of_cores(self.slots.len())
    }

    fn submit(&mut self, job: Job) -> Result<(), String> {
        if self.slots.is_empty() {
            return Err("there is room for no process at all".into());
        }
        self.queue.push_back(job);
        Ok(())
    }

    fn poll(&mut self) -> Vec<JobEvent> {
        let mut events = std::mem::take(&mut self.told);
        for (number, slot) in self.slots.iter_mut().enumerate() {
            events.extend(slot.look(self.patience));
            while slot.process.is_none() {
                let Some(job) = self.queue.pop_front() else { break };
                events.push(JobEvent::Started { index: job.index, slot: number });
                events.extend(slot.start(job));
            }
        }
        if events.is_empty() {
            thread::sleep(LOOK_EVERY);
        }
        events
    }

    fn stop(&mut self) {
        let never = self.queue.drain(..);
        self.told.extend(never.map(|job| JobEvent::Ended { index: job.index, ended: Ended::NotStarted }));
        for process in self.slots.iter_mut().filter_map(|slot| slot.process.as_mut()) {
            // Closing its stdin asks it to stop.
            drop(process.child.stdin.take());
            let now = Stopping { asked: Instant::now(), spoken: false, killed: false };
            process.stopping.get_or_insert(now);
        }
    }
}

impl Slot {
    /// Starts a job, or says why it cannot be.
    fn start(&mut self, job: Job) -> Option<JobEvent> {
        match spawn(&job, self.device) {
            Ok(child) => {
                let Job { index, program, log, .. } = job;
                self.process = Some(Process { index, program, log, child, stopping: None });
                None
            }
            Err(error) => Some(JobEvent::Ended { index: job.index, ended: failed(&job.program, &error) }),
        }
    }

    /// What is new about the process here, if there is one.
    fn look(&mut self, patience: Patience) -> Option<JobEvent> {
        let process = self.process.as_mut()?;
        let index = process.index;
        let look = process.look(patience);
        match look.unwrap_or_else(|error| Look::Ended(failed(&process.program, &error))) {
            Look::Nothing => None,
            Look::Hangs { seconds_left } => Some(JobEvent::Hangs { index, seconds_left }),
            Look::Ended(ended) => {
                self.process = None;
                Some(JobEvent::Ended { index, ended })
            }
        }
    }
}

/// What a look at a process shows.
enum Look {
    Nothing,
    Hangs { seconds_left: u64 },
    Ended(Ended),
}

impl Process {
    /// Looks at the process, and kills it if it was asked to end too long ago.
    fn look(&mut self, patience: Patience) -> io::Result<Look> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(Look::Ended(Ended::of(status, &self.log)));
        }
        let Some(stopping) = self.stopping.as_mut() else { return Ok(Look::Nothing) };
        let waited = stopping.asked.elapsed();
        if waited >= patience.kill && !stopping.killed {
            stopping.killed = true;
            self.child.kill()?;
        } else if waited >= patience.speak && !stopping.spoken {
            stopping.spoken = true;
            return Ok(Look::Hangs { seconds_left: (patience.kill - patience.speak).as_secs() });
        }
        Ok(Look::Nothing)
    }
}

fn failed(program: &Path, error: &io::Error) -> Ended {
    Ended::Failed(format!("cannot run {}: {error}", program.display()))
}

fn spawn(job: &Job, device: Option<u64>) -> io::Result<Child> {
    let log = File::create(&job.log)?;
    let device = device.filter(|_| job.resources.gpu).map(|number| format!("device=cuda:{number}"));
    Command::new(&job.program)
        .args(job.arguments())
        .arg("--stop-with-stdin")
        .args(device)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;

    use super::*;
    use crate::run::launcher::Resources;

    /// A job that a shell script stands in for.
    fn job(folder: &Path, index: usize, script: &str) -> Job {
        let file = folder.join(format!("{index}.sh"));
        fs::write(&file, script).unwrap();
        Job {
            index,
            program: "sh".into(),
            experiment: file,
            results: folder.into(),
            folder: folder.join("none"),
            log: folder.join(format!("{index}.log")),
            resources: Resources { threads: 1, gpu: true },
            force: false,
            until_epoch: None,
            steal: false,
        }
    }

    /// Everything that happens until all jobs have ended; `stop_after` events, they are stopped.
    fn carry_out(launcher: &mut LocalLauncher, jobs: Vec<Job>, stop_after: usize) -> Vec<JobEvent> {
        let mut left = jobs.len();
        jobs.into_iter().for_each(|job| launcher.submit(job).unwrap());
        let (mut all, mut stopped) = (Vec::new(), false);
        while left > 0 {
            if all.len() >= stop_after && !stopped {
                stopped = true;
                launcher.stop();
            }
            let events = launcher.poll();
            left -= events.iter().filter(|e| matches!(e, JobEvent::Ended { .. })).count();
            all.extend(events);
        }
        all
    }

    fn ends(events: &[JobEvent]) -> Vec<(usize, Ended)> {
        let end = |event: &JobEvent| match event {
            JobEvent::Ended { index, ended } => Some((*index, ended.clone())),
            _ => None,
        };
        let mut ends: Vec<(usize, Ended)> = events.iter().filter_map(end).collect();
        ends.sort_by_key(|e| e.0);
        ends
    }

    fn of_scripts(scripts: &[&str], stop_after: usize) -> Vec<(usize, Ended)> {
        let folder = tempfile::tempdir().unwrap();
        let jobs = scripts.iter().enumerate().map(|(i, s)| job(folder.path(), i, s)).collect();
        ends(&carry_out(&mut LocalLauncher::new(vec![None; 2]), jobs, stop_after))
    }

    #[test]
    fn no_process_affects_another() {
        let ends =
            of_scripts(&["exit 0", "echo why >&2; exit 1", "kill -9 $$", "exit 3", "exit 5"], usize::MAX);
        assert_eq!([&ends[0].1, &ends[3].1], [&Ended::Itself; 2]);
        assert_eq!(ends[1].1, Ended::Failed("why".into()));
        assert_eq!(ends[4].1, Ended::InUse);
        assert!(matches!(&ends[2].1, Ended::Failed(why) if why.contains("killed")), "{:?}", ends[2]);
    }

    #[test]
    fn a_slot_adds_its_device() {
        let folder = tempfile::tempdir().unwrap();
        let last = "for last; do :; done; echo $last >&2; sleep 0.05";
        let jobs: Vec<Job> = (0..4).map(|i| job(folder.path(), i, last)).collect();
        carry_out(&mut LocalLauncher::new(vec![Some(0), Some(3)]), jobs.clone(), usize::MAX);
        let said: Vec<String> = jobs.iter().map(|j| fs::read_to_string(&j.log).unwrap()).collect();
        assert!(["device=cuda:0", "device=cuda:3"].iter().all(|d| said.iter().any(|s| s.trim() == *d)));
        let own = Job { resources: Resources { threads: 1, gpu: false }, ..jobs[0].clone() };
        carry_out(&mut LocalLauncher::new(vec![Some(0)]), vec![own], usize::MAX);
        assert_eq!(fs::read_to_string(&jobs[0].log).unwrap().trim(), "--stop-with-stdin");
    }

    #[test]
    fn a_program_that_is_not_there_is_a_failed_run() {
        let folder = tempfile::tempdir().unwrap();
        let job = Job { program: folder.path().join("none"), ..job(folder.path(), 0, "") };
        let ends = ends(&carry_out(&mut LocalLauncher::new(vec![None]), vec![job], usize::MAX));
        assert!(matches!(&ends[0].1, Ended::Failed(why) if why.starts_with("cannot run ")), "{ends:?}");
    }

    #[test]
    fn a_stopped_launcher_starts_nothing() {
        assert_eq!(of_scripts(&["exit 0"], 0), [(0, Ended::NotStarted)]);
    }

    #[test]
    fn who_hears_nothing_is_spoken_of_and_killed() {
        let folder = tempfile::tempdir().unwrap();
        let hears = job(folder.path(), 0, "cat >/dev/null; exit 75");
        let hangs = job(folder.path(), 1, "exec sleep 100");
        let patience = Patience { speak: Duration::from_millis(200), kill: Duration::from_millis(400) };
        let mut launcher = LocalLauncher { patience, ..LocalLauncher::new(vec![None; 2]) };
        let events = carry_out(&mut launcher, vec![hears, hangs], 2);
        let ends = ends(&events);
        assert_eq!(ends[0].1, Ended::Stopped);
        assert!(events.contains(&JobEvent::Hangs { index: 1, seconds_left: 0 }), "{events:?}");
        assert!(matches!(&ends[1].1, Ended::Failed(why) if why.contains("killed")), "{ends:?}");
    }
}
