//! What a person watches: bars on a terminal, plain lines elsewhere. Never fails a run.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::ProgressBar;

use super::{
    Sink,
    bars::{self, BarKind},
    colour,
};
use crate::{
    events::{Event, Phase, Started},
    results::escape::lines,
};

/// How much to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Nothing but errors.
    Quiet,
    /// Bars, or a line now and then.
    Normal,
    /// Also every probe value as it is measured.
    Verbose,
}

/// Seconds between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Steps from which the speed is estimated, at least, after the first, which do not count.
const ESTIMATED: u64 = 10;

/// Shortest training, in seconds, whose estimated time is announced.
const LONG: f64 = 60.0;

/// Whether stderr is a terminal that can show bars.
pub fn shows_bars() -> bool {
    let plain = ["CI", "NO_COLOR"].iter().any(|v| std::env::var_os(v).is_some())
        || std::env::var("TERM").is_ok_and(|t| t == "dumb");
    io::stderr().is_terminal() && !plain
}

/// One line on stderr. Whatever becomes of it (a full disk, a closed terminal), no run ends for it.
fn tell(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", colour::for_stderr(&lines(line)));
}

/// Progress of one run on stderr.
pub struct Progress {
    verbosity: Verbosity,
    terminal: bool,
    bar: ProgressBar,
    started: Option<(Started, Instant)>,
    /// When the first steps of this process had ended, and which was the last of them.
    settled: Option<(u64, Instant)>,
    announced: bool,
    last_line: Instant,
    phase: String,
}

impl Progress {
    /// A display that suits stderr: bars on a terminal, lines otherwise.
    pub fn new(verbosity: Verbosity) -> Self {
        Progress {
            verbosity,
            terminal: shows_bars(),
            bar: ProgressBar::hidden(),
            started: None,
            settled: None,
            announced: false,
            last_line: Instant::now(),
            phase: String::new(),
        }
    }

    /// Reports loading or another step outside training.
    pub fn phase(&mut self, phase: &Phase) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        if self.phase != phase.what {
            self.phase.clone_from(&phase.what);
            self.bar.finish_and_clear();
            let kind = if phase.total == 0 { BarKind::Waiting } else { BarKind::Steps };
            self.bar = self.new_bar(kind, phase.total);
            self.bar.set_message(phase.what.clone());
        }
        self.bar.set_position(phase.done);
        if !self.terminal && self.line_due() {
            tell(&format!("{}: {}/{}", phase.what, phase.done, phase.total));
        }
        if phase.done >= phase.total && phase.total > 0 {
            self.bar.finish_and_clear();
        }
    }

    /// Says something that a person should know.
    pub fn note(&self, line: &str) {
        if self.verbosity > Verbosity::Quiet {
            self.say(line);
        }
    }

    fn new_bar(&self, kind: BarKind, total: u64) -> ProgressBar {
        if self.terminal { bars::bar(kind, total, bars::stderr()) } else { ProgressBar::hidden() }
    }

    fn line_due(&mut self) -> bool {
        let due = self.last_line.elapsed() >= LINE_EVERY;
        if due {
            self.last_line = Instant::now();
        }
        due
    }

    fn say(&self, text: &str) {
        if self.terminal && !self.bar.is_finished() {
            self.bar.println(colour::for_stderr(&lines(text)));
        } else {
            tell(text);
        }
    }

    fn start(&mut self, started: &Started) {
        let flop =
            started.flop_per_step.map_or(String::new(), |f| format!(", about {:.3} GFLOP per step", f / 1e9));
        self.bar.finish_and_clear();
        tell(&format!("{} steps of {} images{flop}", started.steps, started.batch_size));
        self.started = Some((started.clone(), Instant::now()));
    }

    /// Announces once, after a few steps, how long training takes.
    fn estimate(&mut self, started: &Started, step: u64) {
        let (first, since) = *self.settled.get_or_insert_with(|| (step, Instant::now()));
        let steps = step - first;
        if self.announced || steps < ESTIMATED {
            return;
        }
        self.announced = true;
        if let Some(line) = estimated_time(started, since.elapsed().as_secs_f64() / steps as f64) {
            self.say(&line);
        }
    }

    fn tick(&mut self, step: u64, loss: f64) {
        let Some((started, since)) = self.started.clone() else { return };
        if self.bar.is_finished() || !self.phase.is_empty() {
            self.phase.clear();
            self.bar.finish_and_clear();
            self.bar = self.new_bar(BarKind::Steps, started.steps);
            self.bar.set_position(step);
            self.bar.reset_eta();
        }
        self.estimate(&started, step);
        let seconds = since.elapsed().as_secs_f64();
        let rate = (step - started.first_step) as f64 * started.batch_size as f64 / seconds;
        let epochs = started.steps / started.steps_per_epoch;
        let epoch = step.div_ceil(started.steps_per_epoch);
        let text = format!("epoch {epoch}/{epochs} loss {loss:.4} {rate:.0} images/s");
        self.bar.set_position(step);
        self.bar.set_message(text.clone());
        if !self.terminal && self.line_due() {
            let left = seconds / (step - started.first_step) as f64 * (started.steps - step) as f64;
            tell(&format!("step {step}/{} {text}, about {} left", started.steps, human_time(left)));
        }
    }
}

/// How long training takes at a speed of so many seconds per step; none if that is short.
fn estimated_time(started: &Started, seconds_per_step: f64) -> Option<String> {
    let left = (started.steps - started.first_step) as f64 * seconds_per_step;
    let speed = started.batch_size as f64 / seconds_per_step;
    (left >= LONG).then(|| format!("training takes about {} at {speed:.0} images/s", human_time(left)))
}

/// `1 h 20 min`, `3 min`, `12 s`.
pub fn human_time(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min", s.div_ceil(60)),
        _ => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

impl Sink for Progress {
    fn take(&mut self, event: &Event) -> io::Result<()> {
        if self.verbosity == Verbosity::Quiet {
            return Ok(());
        }
        match event {
            Event::Started(started) => self.start(started),
            Event::Tick(tick) => self.tick(tick.step, tick.loss),
            Event::Phase(phase) => self.phase(phase),
            Event::Probe(row) if self.verbosity == Verbosity::Verbose => self.say(&format!(
                "epoch {} {} {} {} {}: {:.3} {}",
                row.epoch, row.probe, row.encoder, row.labels, row.metric, row.value, row.unit
            )),
            Event::Ended(_) => self.bar.finish_and_clear(),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_training_is_announced_and_a_short_one_is_not() {
        let started = Started {
            first_step: 500,
            steps: 20_000,
            steps_per_epoch: 195,
            batch_size: 256,
            flop_per_step: None,
        };
        let line = estimated_time(&started, 1.714).unwrap();
        assert_eq!(line, "training takes about 9 h 17 min at 149 images/s");
        assert_eq!(estimated_time(&started, 0.003), None);
    }
}
