//! A sweep under way: one bar per run at a time and a total on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

use super::print;
use crate::{
    events::{RunEnd, RunState, SweepEvent},
    results::escape::lines,
    sinks::{
        bars::{self, BarKind},
        human_time, shows_bars,
    },
    sweep::{Plan, PlannedRun},
};

/// Shows the events of a sweep on stderr.
pub(crate) struct SweepDisplay<'a> {
    plan: &'a Plan,
    quiet: bool,
    /// The stage under way.
    stage: Stage,
}

/// What a display knows of a stage.
struct Stage {
    /// Runs stop at a rung to be judged.
    paused: bool,
    bars: Option<Bars>,
    /// What is done in each slot.
    at_work: Vec<Option<Work>>,
    began: Instant,
    last_line: Instant,
    ended: usize,
    jobs: usize,
}

/// A run under way.
#[derive(Clone)]
struct Work {
    index: usize,
    name: String,
    steps: u64,
    done: u64,
}

/// Time between two lines that say where a sweep is, where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(60);

struct Bars {
    all: MultiProgress,
    slots: Vec<ProgressBar>,
    total: ProgressBar,
}

impl Stage {
    /// A stage of so many jobs, so many at a time.
    fn new(paused: bool, jobs: usize, slots: usize, bars: Option<Bars>) -> Self {
        let now = Instant::now();
        let at_work = vec![None; slots];
        Stage { paused, bars, at_work, began: now, last_line: now, ended: 0, jobs }
    }

    /// The slot of a run under way.
    fn slot(&self, index: usize) -> Option<usize> {
        self.at_work.iter().position(|work| work.as_ref().is_some_and(|work| work.index == index))
    }

    fn bar(&self, slot: usize, change: impl Fn(&ProgressBar)) {
        if let Some(bar) = self.bars.as_ref().and_then(|b| b.slots.get(slot)) {
            change(bar);
        }
    }
}

impl<'a> SweepDisplay<'a> {
    /// A display for the runs of a plan.
    pub(crate) fn new(plan: &'a Plan, quiet: bool) -> Self {
        SweepDisplay { plan, quiet, stage: Stage::new(false, 0, 0, None) }
    }

    /// Shows one event.
    pub(crate) fn take(&mut self, event: &SweepEvent) {
        match event {
            SweepEvent::StageStarted { until, to_do, slots } => self.begin(*until, to_do.len(), *slots),
            SweepEvent::RunStarted { index, slot } => self.started(*index, *slot),
            SweepEvent::RunProgress { index, step, steps } => self.progress(*index, *step, *steps),
            SweepEvent::RunHangs { index, seconds_left } => self.say(format!(
                "{} has not stopped yet; it is killed in {seconds_left} s (once more: leave at once)",
                self.name(*index)
            )),
            SweepEvent::RunUnknown { index, reason } => {
                self.say(format!("{}: nobody can say how it stands: {reason}", self.name(*index)));
            }
            SweepEvent::RunEnded(end) => self.ended(end),
            SweepEvent::StageEnded => self.close(),
            SweepEvent::Decided(decision) if decision.stops => {
                self.say(format!("epoch {}: `{}` ends: {}", decision.epoch, decision.arm, decision.reason));
            }
            SweepEvent::Opened { .. }
            | SweepEvent::Decided(_)
            | SweepEvent::StopRequested { .. }
            | SweepEvent::Ended(_) => {}
        }
    }

    fn begin(&mut self, until: Option<u64>, jobs: usize, slots: usize) {
        let slots = slots.min(jobs);
        let bars = (!self.quiet && shows_bars() && jobs > 0).then(|| Bars::new(slots, jobs));
        self.stage = Stage::new(until.is_some(), jobs, slots, bars);
        if !self.quiet {
            let ahead = until.map_or(String::new(), |epoch| format!(" up to epoch {epoch}"));
            let runs = self.plan.runs.len();
            print::stderr(&format!("{runs} runs, {} finished before, {jobs} to do{ahead}", runs - jobs));
        }
    }

    fn started(&mut self, index: usize, slot: usize) {
        let name = self.name(index);
        self.stage.bar(slot, |bar| {
            bars::turn_into(bar, BarKind::Waiting, 0);
            bar.set_message(format!("starting: {name}"));
        });
        let steps = self.plan.runs.get(index).and_then(PlannedRun::steps).unwrap_or(0);
        if let Some(work) = self.stage.at_work.get_mut(slot) {
            *work = Some(Work { index, name, steps, done: 0 });
        }
    }

    fn progress(&mut self, index: usize, step: u64, steps: u64) {
        let Some(slot) = self.stage.slot(index) else { return };
        // No steps are known until the run has read its data.
        if let Some(work) = self.stage.at_work[slot].as_mut().filter(|_| steps > 0) {
            (work.steps, work.done) = (steps, step);
            let name = work.name.clone();
            self.stage.bar(slot, |bar| {
                bar.set_message(name.clone());
                bars::count_on(bar, BarKind::Steps, step, steps);
            });
        }
        self.now_and_then();
    }

    /// Says where the sweep is, once a minute, to a log.
    fn now_and_then(&mut self) {
        let stage = &mut self.stage;
        if stage.bars.is_none() && !self.quiet && stage.last_line.elapsed() >= LINE_EVERY {
            stage.last_line = Instant::now();
            print::stderr(&where_it_is(stage.ended, stage.jobs, &stage.at_work, stage.began.elapsed()));
        }
    }

    fn ended(&mut self, end: &RunEnd) {
        if let Some(slot) = self.stage.slot(end.index) {
            self.stage.at_work[slot] = None;
        }
        self.stage.ended += 1;
        let paused = self.stage.paused && end.state == RunState::Stopped;
        let word = if paused { "waits" } else { end.state.name() };
        let why = end.failure.as_ref().map_or(String::new(), |why| format!(": {why}"));
        if let Some(bars) = &self.stage.bars {
            bars.total.set_position(self.stage.ended as u64);
        }
        let Stage { ended, jobs, .. } = self.stage;
        let line = format!("[{ended}/{jobs}] {word}{why}: {}", self.name(end.index));
        // Errors are told whatever else is not.
        if self.quiet && matches!(end.state, RunState::Failed | RunState::Unreadable) {
            print::stderr(&line);
        }
        self.say(line);
    }

    fn name(&self, index: usize) -> String {
        self.plan.runs.get(index).map_or(String::new(), |run| format!("{}, seed {}", run.arm, run.seed))
    }

    fn say(&self, line: String) {
        match &self.stage.bars {
            // A display never ends a sweep.
            Some(bars) => drop(bars.all.println(lines(&line))),
            None if self.quiet => {}
            None => print::stderr(&line),
        }
    }

    /// Takes the bars away.
    fn close(&mut self) {
        if let Some(bars) = self.stage.bars.take() {
            bars.slots.iter().chain([&bars.total]).for_each(ProgressBar::finish_and_clear);
            let _ = bars.all.clear();
        }
    }
}

impl Bars {
    fn new(slots: usize, jobs: usize) -> Self {
        let all = MultiProgress::with_draw_target(bars::stderr());
        let bar = |kind, length: usize| all.add(bars::bar(kind, length as u64, ProgressDrawTarget::hidden()));
        let slots = (0..slots).map(|_| bar(BarKind::Waiting, 0)).collect();
        let total = bar(BarKind::Runs, jobs);
        Bars { all, slots, total }
    }
}

/// One line for a log: `12 of 36 runs ended after 14 min; running: a, seed 0 (step 100 of 500)`.
fn where_it_is(ended: usize, jobs: usize, at_work: &[Option<Work>], time: Duration) -> String {
    let one = |Work { name, steps, done, .. }: &Work| match done {
        0 => format!("{name} (starting)"),
        done => format!("{name} (step {done} of {steps})"),
    };
    let running: Vec<String> = at_work.iter().flatten().map(one).collect();
    let time = human_time(time.as_secs_f64());
    format!("{ended} of {jobs} runs ended after {time}; running: {}", running.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_says_where_the_sweep_is() {
        let work = |index, name: &str, done| Some(Work { index, name: name.into(), steps: 500, done });
        let at_work = [work(0, "a, seed 0", 100), None, work(1, "b, seed 1", 0)];
        let line = where_it_is(12, 36, &at_work, Duration::from_secs(840));
        let running = "a, seed 0 (step 100 of 500); b, seed 1 (starting)";
        assert_eq!(line, format!("12 of 36 runs ended after 14 min; running: {running}"));
    }
}
