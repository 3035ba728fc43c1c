//! A pool of processes on this machine, one run each.
//!
//! A run that crashes takes nobody with it. Every process reads its stdin and stops with a
//! checkpoint when that ends: on request, and also when this process dies.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::results::Status;

/// Time between two looks at a process.
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// When a process that was asked to stop and has not is spoken of, and when it is killed: it may be stopped
/// itself, or hang on a disk. Its last checkpoint stands.
const SPEAK_AFTER: Duration = Duration::from_secs(5);
const KILL_AFTER: Duration = Duration::from_secs(60);
/// Time after which progress is told again although nothing has changed: the process lives.
const TELL_EVERY: Duration = Duration::from_secs(20);

/// One process to be.
#[derive(Clone, Debug)]
pub struct Job {
    /// Number of the run in its plan.
    pub index: usize,
    /// Program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Receives its stderr.
    pub log: PathBuf,
    /// Folder of the run, to read how far it is.
    pub folder: PathBuf,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It did its work; the run folder says what came of it.
    Itself,
    /// It stopped on request.
    Stopped,
    /// Another process works on the run.
    InUse,
    /// It failed, and why.
    Failed(String),
}

/// What happens in the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolEvent {
    /// A worker takes up a job.
    Started {
        /// Number of the worker, from 0.
        worker: usize,
        /// The job's index.
        index: usize,
    },
    /// How far the job is, as of its last checkpoint.
    Progress {
        /// Number of the worker.
        worker: usize,
        /// Steps done.
        step: u64,
        /// Steps in all.
        steps: u64,
    },
    /// The process was asked to stop some time ago, and goes on.
    Waiting {
        /// The job's index.
        index: usize,
        /// Seconds until it is killed.
        left: u64,
    },
    /// The process has ended.
    Ended {
        /// Number of the worker.
        worker: usize,
        /// The job's index.
        index: usize,
        /// How.
        ended: Ended,
    },
}

/// Carries out all jobs in order, one at a time per worker; a worker is what it adds to the arguments of
/// its jobs, such as its device. Setting `stop` asks the running ones
/// to stop and starts no more. `tell` is called from one thread at a time.
pub fn run_all(jobs: &[Job], workers: &[Vec<String>], stop: &AtomicBool, tell: impl FnMut(PoolEvent) + Send) {
    let next = AtomicUsize::new(0);
    let tell = Mutex::new(tell);
    let say = |event| (tell.lock().unwrap_or_else(|e| e.into_inner()))(event);
    thread::scope(|scope| {
        for (worker, own) in workers.iter().take(jobs.len()).enumerate() {
            let (next, say) = (&next, &say);
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let Some(job) = jobs.get(next.fetch_add(1, Ordering::SeqCst)) else { return };
                    let index = job.index;
                    say(PoolEvent::Started { worker, index });
                    let ended = carry_out(job, own, stop, &|news| {
                        say(match news {
                            News::Progress(step, steps) => PoolEvent::Progress { worker, step, steps },
                            News::Waiting(left) => PoolEvent::Waiting { index, left },
                        });
                    });
                    say(PoolEvent::Ended { worker, index, ended });
                }
            });
        }
    });
}

/// What is heard of a process before its end.
enum News {
    /// Steps done, and in all.
    Progress(u64, u64),
    /// It does not stop; so many seconds are left to it.
    Waiting(u64),
}

fn carry_out(job: &Job, own: &[String], stop: &AtomicBool, tell: &dyn Fn(News)) -> Ended {
    match start(job, own).and_then(|child| wait(child, job, stop, tell)) {
        Ok(status) => judge(status, &job.log),
        Err(e) => Ended::Failed(format!("cannot run {}: {e}", job.program.display())),
    }
}

fn start(job: &Job, own: &[String]) -> io::Result<Child> {
    let log = File::create(&job.log)?;
    Command::new(&job.program)
        .args(&job.arguments)
        .args(own)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
}

fn wait(mut child: Child, job: &Job, stop: &AtomicBool, tell: &dyn Fn(News)) -> io::Result<ExitStatus> {
    let (mut last, mut told) = ((0, 0), Instant::now());
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if stop.load(Ordering::SeqCst) {
            // Closing its stdin asks it to stop.
            drop(child.stdin.take());
            return wait_for_end(child, tell);
        }
        let now = Status::read(&job.folder).ok().flatten().map_or(last, |s| (s.step, s.steps));
        if now != last || told.elapsed() >= TELL_EVERY {
            (last, told) = (now, Instant::now());
            tell(News::Progress(now.0, now.1));
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Waits for a process that was asked to stop, and kills it if it does not.
fn wait_for_end(mut child: Child, tell: &dyn Fn(News)) -> io::Result<ExitStatus> {
    let asked = Instant::now();
    let mut spoken = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if asked.elapsed() >= SPEAK_AFTER && !spoken {
            spoken = true;
            tell(News::Waiting((KILL_AFTER - SPEAK_AFTER).as_secs()));
        }
        if asked.elapsed() >= KILL_AFTER {
            child.kill()?;
            return child.wait();
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// What the exit code of a run says; the codes are those of the command line.
fn judge(status: ExitStatus, log: &Path) -> Ended {
    match status.code() {
        Some(0 | 3) => Ended::Itself,
        Some(75) => Ended::Stopped,
        Some(5) => Ended::InUse,
        Some(code) => Ended::Failed(last_words(log).unwrap_or_else(|| format!("exit code {code}"))),
        // "signal: 9 (SIGKILL)" on Unix.
        None => Ended::Failed(format!("killed: {status}")),
    }
}

/// Why a process failed, in its own words: its error, its panic, or what it said last.
fn last_words(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).ok()?;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let error = lines.iter().find_map(|l| l.strip_prefix("error: "));
    let panic =
        || lines.iter().position(|l| l.contains("panicked at")).and_then(|i| lines.get(i + 1).copied());
    error.or_else(panic).or(lines.last().copied()).map(str::to_owned)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn job(folder: &Path, index: usize, script: &str) -> Job {
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        let log = folder.join(format!("{index}.log"));
        Job { index, program: "sh".into(), arguments, log, folder: folder.join("none") }
    }

    fn ends(scripts: &[&str], stop: &AtomicBool) -> Vec<(usize, Ended)> {
        let folder = tempfile::tempdir().unwrap();
        let jobs: Vec<Job> = scripts.iter().enumerate().map(|(i, s)| job(folder.path(), i, s)).collect();
        let mut ended = Vec::new();
        run_all(&jobs, &vec![Vec::new(); 2], stop, |event| match event {
            PoolEvent::Ended { index, ended: how, .. } => ended.push((index, how)),
            PoolEvent::Started { index: 9, .. } => stop.store(true, Ordering::SeqCst),
            _ => {}
        });
        ended.sort_by_key(|e| e.0);
        ended
    }

    #[test]
    fn no_process_affects_another() {
        let ends = ends(
            &["exit 0", "echo why >&2; exit 1", "kill -9 $$", "exit 3", "exit 5"],
            &AtomicBool::new(false),
        );
        assert_eq!([&ends[0].1, &ends[3].1], [&Ended::Itself; 2]);
        assert_eq!(ends[1].1, Ended::Failed("why".into()));
        assert_eq!(ends[4].1, Ended::InUse);
        assert!(matches!(&ends[2].1, Ended::Failed(why) if why.contains("killed")), "{:?}", ends[2]);
    }

    #[test]
    fn a_worker_adds_its_own_arguments() {
        let folder = tempfile::tempdir().unwrap();
        // `sh -c SCRIPT ARGUMENT` calls the argument $0.
        let jobs: Vec<Job> = (0..4).map(|i| job(folder.path(), i, "echo $0 >&2; sleep 0.05")).collect();
        let workers = [vec!["device=cuda:0".to_owned()], vec!["device=cuda:1".to_owned()]];
        run_all(&jobs, &workers, &AtomicBool::new(false), |_| ());
        let said: Vec<String> = jobs.iter().map(|j| fs::read_to_string(&j.log).unwrap()).collect();
        assert!(workers.iter().all(|w| said.iter().any(|s| s.trim() == w[0])), "{said:?}");
    }

    #[test]
    fn a_stopped_pool_starts_nothing() {
        assert!(ends(&["exit 0"], &AtomicBool::new(true)).is_empty());
    }
}
