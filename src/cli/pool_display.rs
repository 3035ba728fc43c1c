//! A sweep under way: one bar per worker and a total on a terminal, plain lines elsewhere.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

use super::{RunOptions, out};
use crate::{
    launch::PoolEvent,
    results::{RunRow, RunState, Standing, escape::lines},
    sinks::{
        bars::{self, BarKind},
        human_time, shows_bars,
    },
    sweep::Plan,
};

/// Shows the events of a pool on stderr.
pub(crate) struct PoolDisplay {
    quiet: bool,
    /// Runs stop at a rung to be judged.
    paused: bool,
    bars: Option<Bars>,
    /// What each worker does: the run, its steps and how many are done.
    at_work: Vec<Option<(String, u64, u64)>>,
    began: Instant,
    last_line: Instant,
    ended: usize,
    jobs: usize,
}

/// Time between two lines that say where a sweep is, where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(60);

struct Bars {
    all: MultiProgress,
    workers: Vec<ProgressBar>,
    total: ProgressBar,
}

impl PoolDisplay {
    /// A display for `jobs` of `runs` runs; the others were finished before.
    pub(crate) fn new(
        runs: usize,
        jobs: usize,
        until: Option<u64>,
        workers: usize,
        options: &RunOptions,
    ) -> Self {
        let workers = workers.min(jobs);
        let bars = (!options.quiet && shows_bars() && jobs > 0).then(|| Bars::new(workers, jobs));
        if !options.quiet {
            let ahead = until.map_or(String::new(), |epoch| format!(" up to epoch {epoch}"));
            out::stderr(&format!("{runs} runs, {} finished before, {jobs} to do{ahead}", runs - jobs));
        }
        let now = Instant::now();
        PoolDisplay {
            quiet: options.quiet,
            paused: until.is_some(),
            bars,
            at_work: vec![None; workers],
            began: now,
            last_line: now,
            ended: 0,
            jobs,
        }
    }

    /// Takes one event; the runs already hold what it brought.
    pub(crate) fn take(&mut self, event: &PoolEvent, plan: &Plan, runs: &[(RunRow, Standing)]) {
        match event {
            PoolEvent::Started { worker, index } => {
                let name = name(&runs[*index].0);
                self.bar(*worker, |bar| {
                    bars::turn_into(bar, BarKind::Waiting, 0);
                    bar.set_message(format!("starting: {name}"));
                });
                self.at_work[*worker] = Some((name.into(), plan.runs[*index].steps().unwrap_or(0), 0));
            }
            PoolEvent::Progress { worker, step, steps } => {
                // No steps are known until the run has read its data.
                if let Some((name, all, done)) = self.at_work[*worker].as_mut().filter(|_| *steps > 0) {
                    (*all, *done) = (*steps, *step);
                    let name = name.clone();
                    self.bar(*worker, |bar| {
                        bar.set_message(name.clone());
                        bars::count_on(bar, BarKind::Steps, *step, *steps);
                    });
                }
                self.now_and_then();
            }
            PoolEvent::Waiting { index, left } => {
                let name = name(&runs[*index].0);
                self.say(format!(
                    "{name} has not stopped yet; it is killed in {left} s (once more: leave at once)"
                ));
            }
            PoolEvent::Ended { worker, index, .. } => {
                self.at_work[*worker] = None;
                self.ended(&runs[*index]);
            }
        }
    }

    /// Says where the sweep is, once a minute, to a log.
    fn now_and_then(&mut self) {
        if self.bars.is_none() && !self.quiet && self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            out::stderr(&where_it_is(self.ended, self.jobs, &self.at_work, self.began.elapsed()));
        }
    }

    fn bar(&self, worker: usize, change: impl Fn(&ProgressBar)) {
        if let Some(bar) = self.bars.as_ref().and_then(|b| b.workers.get(worker)) {
            change(bar);
        }
    }

    fn ended(&mut self, (row, standing): &(RunRow, Standing)) {
        self.ended += 1;
        let paused = self.paused && standing.state() == RunState::Stopped;
        let word = if paused { "waits" } else { standing.state().name() };
        let why = standing.failure.as_ref().map_or(String::new(), |why| format!(": {why}"));
        let line = format!("[{}/{}] {word}{why}: {}", self.ended, self.jobs, name(row));
        if let Some(bars) = &self.bars {
            bars.total.set_position(self.ended as u64);
        }
        self.say(line);
    }

    fn say(&self, line: String) {
        match &self.bars {
            // A display never ends a sweep.
            Some(bars) => drop(bars.all.println(lines(&line))),
            None if self.quiet => {}
            None => out::stderr(&line),
        }
    }

    /// Takes the bars away.
    pub(crate) fn close(&self) {
        if let Some(bars) = &self.bars {
            bars.workers.iter().chain([&bars.total]).for_each(ProgressBar::finish_and_clear);
            let _ = bars.all.clear();
        }
    }
}

impl Bars {
    fn new(workers: usize, jobs: usize) -> Self {
        let all = MultiProgress::with_draw_target(bars::stderr());
        let bar = |kind, length: usize| all.add(bars::bar(kind, length as u64, ProgressDrawTarget::hidden()));
        let workers = (0..workers).map(|_| bar(BarKind::Waiting, 0)).collect();
        let total = bar(BarKind::Runs, jobs);
        Bars { all, workers, total }
    }
}

/// One line for a log: `12 of 36 runs ended after 14 min; running: a, seed 0 (step 100 of 500)`.
fn where_it_is(ended: usize, jobs: usize, at_work: &[Option<(String, u64, u64)>], time: Duration) -> String {
    let one = |(name, all, done): &(String, u64, u64)| match done {
        0 => format!("{name} (starting)"),
        done => format!("{name} (step {done} of {all})"),
    };
    let running: Vec<String> = at_work.iter().flatten().map(one).collect();
    let time = human_time(time.as_secs_f64());
    format!("{ended} of {jobs} runs ended after {time}; running: {}", running.join("; "))
}

fn name(row: &RunRow) -> Cow<'static, str> {
    format!("{}, seed {}", row.arm, row.seed).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_says_where_the_sweep_is() {
        let at_work =
            [Some(("a, seed 0".to_owned(), 500, 100)), None, Some(("b, seed 1".to_owned(), 500, 0))];
        let line = where_it_is(12, 36, &at_work, Duration::from_secs(840));
        let running = "a, seed 0 (step 100 of 500); b, seed 1 (starting)";
        assert_eq!(line, format!("12 of 36 runs ended after 14 min; running: {running}"));
    }
}
