//! A sweep under way: one bar per worker and a total on a terminal, plain lines elsewhere.

use std::borrow::Cow;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{RunOptions, out};
use crate::{
    launch::PoolEvent,
    results::{RunRow, RunState, Standing},
    sinks::shows_bars,
    sweep::Plan,
};

/// Shows the events of a pool on stderr.
pub(crate) struct PoolDisplay {
    quiet: bool,
    /// Runs stop at a rung to be judged.
    paused: bool,
    bars: Option<Bars>,
    ended: usize,
    jobs: usize,
}

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
        PoolDisplay { quiet: options.quiet, paused: until.is_some(), bars, ended: 0, jobs }
    }

    /// Takes one event; the runs already hold what it brought.
    pub(crate) fn take(&mut self, event: &PoolEvent, plan: &Plan, runs: &[(RunRow, Standing)]) {
        match event {
            PoolEvent::Started { worker, index } => {
                let steps = plan.runs[*index].steps().unwrap_or(0);
                self.bar(*worker, |bar| {
                    bar.reset();
                    bar.set_length(steps);
                    bar.set_message(name(&runs[*index].0));
                });
            }
            PoolEvent::Progress { worker, step, steps } => self.bar(*worker, |bar| {
                bar.set_length(*steps);
                bar.set_position(*step);
            }),
            PoolEvent::Waiting { index, left } => {
                let name = name(&runs[*index].0);
                self.say(format!(
                    "{name} has not stopped yet; it is killed in {left} s (once more: leave at once)"
                ));
            }
            PoolEvent::Ended { index, .. } => self.ended(&runs[*index]),
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
            Some(bars) => drop(bars.all.println(line)),
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
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        let bar = |length: usize, template: &str| {
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = all.add(ProgressBar::new(length as u64));
            bar.set_style(style.progress_chars("=> "));
            bar
        };
        let workers = (0..workers).map(|_| bar(1, "  [{bar:20}] step {pos}/{len} {msg}")).collect();
        let total = bar(jobs, "  [{bar:20}] runs {pos}/{len} elapsed {elapsed} left {eta}");
        Bars { all, workers, total }
    }
}

fn name(row: &RunRow) -> Cow<'static, str> {
    format!("{}, seed {}", row.arm, row.seed).into()
}
