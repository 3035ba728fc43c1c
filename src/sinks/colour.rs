//! Colour for a person at a terminal: labels of messages, states of runs, verdicts. Nothing is said by colour alone.
//!
//! None in a pipe, with `NO_COLOR`, `CLICOLOR=0` or `TERM=dumb`; `CLICOLOR_FORCE=1` asks for it everywhere.

use std::borrow::Cow;

use console::Style;

/// How a word is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Good,
    Bad,
    /// Needs a look.
    Warning,
    /// Goes on, or says more.
    Neutral,
}

use Tone::{Bad, Good, Neutral, Warning};

/// First words of a line.
const LABELS: [(&str, Tone); 5] =
    [("error:", Bad), ("warning:", Warning), ("note:", Neutral), ("help:", Good), ("done:", Good)];

/// Whole cells of a table: states of runs and verdicts.
const CELLS: [(&str, Tone); 11] = [
    ("done", Good),
    ("better", Good),
    ("failed", Bad),
    ("diverged", Bad),
    ("collapsed", Bad),
    ("unreadable", Bad),
    ("worse", Bad),
    ("stopped", Warning),
    ("interrupted", Warning),
    ("running", Neutral),
    ("equivalent", Neutral),
];

impl Tone {
    fn style(self) -> Style {
        let style = Style::new().force_styling(true);
        match self {
            Good => style.green(),
            Bad => style.red().bold(),
            Warning => style.yellow(),
            Neutral => style.cyan(),
        }
    }
}

/// Text as standard output shows it.
pub fn for_stdout(text: &str) -> Cow<'_, str> {
    if console::colors_enabled() { coloured(text).into() } else { text.into() }
}

/// Text as standard error shows it.
pub fn for_stderr(text: &str) -> Cow<'_, str> {
    if console::colors_enabled_stderr() { coloured(text).into() } else { text.into() }
}

fn coloured(text: &str) -> String {
    text.split_inclusive('\n').map(line).collect()
}

/// A line with its label or its cells in colour; between two cells are two spaces or more.
fn line(text: &str) -> String {
    let start = text.trim_start();
    let indent = &text[..text.len() - start.len()];
    if let Some((label, tone)) = LABELS.iter().find(|(label, _)| start.starts_with(label)) {
        return format!("{indent}{}{}", tone.style().apply_to(label), &start[label.len()..]);
    }
    text.split("  ").map(cell).collect::<Vec<String>>().join("  ")
}

fn cell(text: &str) -> String {
    let word = text.trim();
    match CELLS.iter().find(|(known, _)| *known == word) {
        Some((_, tone)) => text.replacen(word, &tone.style().apply_to(word).to_string(), 1),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::RunState;

    #[test]
    fn only_labels_and_whole_cells_have_a_colour() {
        assert_eq!(
            coloured("error: x\n  help: y\n"),
            "\u{1b}[31m\u{1b}[1merror:\u{1b}[0m x\n  \u{1b}[32mhelp:\u{1b}[0m y\n"
        );
        assert_eq!(coloured("  a     done   3\n"), "  a     \u{1b}[32mdone\u{1b}[0m   3\n");
        for plain in ["nothing is done here\n", "  an error: no\n", "  worse off  x\n", ""] {
            assert_eq!(coloured(plain), plain);
        }
    }

    #[test]
    fn text_without_its_colour_is_the_text() {
        let text = "note: a\n  mask  better   0.1\n\n  run   failed\ttab\nworse\n";
        assert_eq!(console::strip_ansi_codes(&coloured(text)), text);
    }

    #[test]
    fn states_are_called_as_tables_call_them() {
        let verdicts = ["better", "worse", "equivalent"];
        let known = |word: &str| verdicts.contains(&word) || RunState::of(word).is_some();
        assert!(CELLS.iter().all(|(word, _)| known(word)));
    }
}
