//! `ijepa-run watch [SWEEP|RUN]`: a page in the terminal that follows runs by their files. It locks and writes
//! nothing, so it can be left and opened again anywhere, also on another machine that sees the folder.

mod page;
mod watched;

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use crossterm::{
    cursor::{Hide, MoveTo, Show},
    event::{Event, KeyCode, KeyEventKind, KeyModifiers, poll, read},
    queue,
    style::Print,
    terminal::{
        Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
    },
};

use super::{Exit, print};
use page::page;
use watched::Watched;

const EXAMPLES: &str = "\
Examples:
  ijepa-run watch                  all runs in results
  ijepa-run watch mask-count       the runs of a sweep, by arm and seed
  ijepa-run watch 001765f2         one run, with its loss
  ijepa-run watch mask-count | cat one page, as it stands now

Keys: q, Esc or Ctrl-C leaves; the runs go on. Up, Down, PageUp and PageDown move through a long list.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WatchArgs {
    /// A sweep or a run, by its folder or its name; all runs in the results folder if left out.
    #[arg(value_name = "SWEEP|RUN")]
    wanted: Option<PathBuf>,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// Folder in which runs and sweeps are looked up.
    #[arg(long, alias = "output", value_name = "DIR", env = "IJEPA_RUN_OUTPUT", default_value = "results")]
    results: PathBuf,
}

/// Follows runs until the user leaves; outside a terminal one page is printed.
pub(crate) fn watch(args: &WatchArgs) -> Exit {
    let mut watched = match Watched::find(args.wanted.as_deref(), &args.results) {
        Ok(watched) => watched,
        Err(message) => {
            print::stderr(&message);
            return Exit::Config;
        }
    };
    watched.look();
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return print::stdout(&lines(&page(&watched, (PIPED, usize::MAX), 0)));
    }
    match follow(&mut watched, Duration::from_secs(args.every)) {
        // What was seen last stays in the terminal.
        Ok(()) => print::stdout(&lines(&page(&watched, size(), 0))),
        Err(error) => {
            print::stderr(&format!("error: {error}"));
            Exit::Failed
        }
    }
}

/// Columns of a page that is not printed on a terminal.
const PIPED: usize = 120;

fn lines(page: &[String]) -> String {
    page.iter().map(|line| format!("{line}\n")).collect()
}

fn size() -> (usize, usize) {
    let (columns, rows) = crossterm::terminal::size().unwrap_or((80, 24));
    (usize::from(columns), usize::from(rows))
}

/// A terminal of our own, given back however this ends.
struct Screen;

impl Screen {
    fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        let screen = Screen;
        queue!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    fn draw(&self, page: &[String]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for (row, line) in page.iter().enumerate() {
            queue!(out, MoveTo(0, row as u16), Print(line), Clear(ClearType::UntilNewLine))?;
        }
        queue!(out, Clear(ClearType::FromCursorDown))?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody is left to tell if this fails.
        let _ = queue!(io::stdout(), LeaveAlternateScreen, Show).and_then(|()| io::stdout().flush());
        let _ = disable_raw_mode();
    }
}

fn follow(watched: &mut Watched, every: Duration) -> io::Result<()> {
    let screen = Screen::take()?;
    let mut scroll = 0usize;
    let mut next = Instant::now() + every;
    loop {
        screen.draw(&page(watched, size(), scroll))?;
        if poll(next.saturating_duration_since(Instant::now()))? {
            match key(&read()?) {
                Key::Leave => return Ok(()),
                Key::Move(by) => scroll = scroll.saturating_add_signed(by).min(watched.runs.len()),
                Key::None => {}
            }
        }
        if Instant::now() >= next {
            watched.look();
            next = Instant::now() + every;
        }
    }
}

enum Key {
    Leave,
    Move(isize),
    None,
}

fn key(event: &Event) -> Key {
    let Event::Key(key) = event else { return Key::None };
    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        _ if key.kind == KeyEventKind::Release => Key::None,
        _ if control_c => Key::Leave,
        KeyCode::Char('q') | KeyCode::Esc => Key::Leave,
        KeyCode::Down | KeyCode::Char('j') => Key::Move(1),
        KeyCode::Up | KeyCode::Char('k') => Key::Move(-1),
        KeyCode::PageDown => Key::Move(10),
        KeyCode::PageUp => Key::Move(-10),
        _ => Key::None,
    }
}
