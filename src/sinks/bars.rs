//! Progress bars that fit on one line of any terminal from 40 columns on.
//!
//! What comes last in a template is cut where the line ends; everything before it takes at most 39 columns.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What a bar counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// Steps of a run.
    Steps,
    /// Runs of a sweep.
    Runs,
    /// Something whose total is not known, or that has not begun: no bar at all.
    Waiting,
}

impl BarKind {
    fn template(self) -> &'static str {
        match self {
            BarKind::Steps => "[{bar:10}] {pos}/{len} left {eta} {wide_msg}",
            BarKind::Runs => "[{bar:8}] {pos}/{len} runs, left {eta} {wide_msg}",
            BarKind::Waiting => "{spinner} {wide_msg}",
        }
    }

    fn style(self) -> ProgressStyle {
        let style =
            ProgressStyle::with_template(self.template()).unwrap_or_else(|_| ProgressStyle::default_bar());
        style.progress_chars("=> ").tick_chars("-\\|/ ")
    }
}

/// The terminal behind stderr, drawn to a few times a second.
pub fn stderr() -> ProgressDrawTarget {
    ProgressDrawTarget::stderr_with_hz(5)
}

/// A bar of `total` on `target`.
pub fn bar(kind: BarKind, total: u64, target: ProgressDrawTarget) -> ProgressBar {
    ProgressBar::with_draw_target(Some(total), target).with_style(kind.style())
}

/// Shows how far a bar is, which may have waited until now.
pub fn count_on(bar: &ProgressBar, kind: BarKind, done: u64, total: u64) {
    if bar.length() != Some(total) {
        turn_into(bar, kind, total);
    }
    bar.set_position(done);
}

/// Lets a bar count something else from its beginning.
pub fn turn_into(bar: &ProgressBar, kind: BarKind, total: u64) {
    bar.set_style(kind.style());
    bar.set_length(total);
    bar.reset();
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use indicatif::TermLike;

    use super::*;

    /// Keeps what is written, a line at a time.
    #[derive(Clone, Debug)]
    struct Screen {
        columns: u16,
        lines: Arc<Mutex<Vec<String>>>,
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            self.columns
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.lines.lock().unwrap().push(text.to_owned());
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn drawn(columns: u16, kind: BarKind, total: u64, position: u64, message: &str) -> Vec<String> {
        let screen = Screen { columns, lines: Arc::default() };
        let bar = bar(kind, total, ProgressDrawTarget::term_like(Box::new(screen.clone())));
        bar.set_message(message.to_owned());
        bar.set_position(position);
        bar.tick();
        let lines = screen.lines.lock().unwrap().clone();
        assert!(!lines.is_empty(), "{kind:?} at {columns} columns draws nothing");
        lines
    }

    #[test]
    fn every_line_fits_the_terminal() {
        let message =
            "epoch 100/1000 loss 12345.6789 123456 images/s of an arm with a name that has no end".repeat(3);
        for columns in [40, 80, 200] {
            for kind in [BarKind::Steps, BarKind::Runs, BarKind::Waiting] {
                let (total, done) =
                    if kind == BarKind::Runs { (9_999, 1_234) } else { (1_950_000, 1_234_567) };
                for line in drawn(columns, kind, total, done, &message) {
                    assert!(line.chars().count() <= columns.into(), "{columns} columns: {line}");
                }
            }
        }
    }

    #[test]
    fn the_usual_line_is_whole_on_80_columns() {
        let message = "epoch 37/100 loss 0.4321 149 images/s";
        let lines = drawn(80, BarKind::Steps, 19_500, 7_215, message);
        assert!(lines.iter().any(|l| l.contains("7215/19500") && l.contains(message)), "{lines:?}");
    }

    #[test]
    fn what_has_not_begun_shows_no_bar() {
        for line in drawn(80, BarKind::Waiting, 0, 0, "loading") {
            assert!(!line.contains('=') && !line.contains("0/0"), "{line}");
        }
    }
}
