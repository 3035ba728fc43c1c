//! Printing that survives a closed pipe: `ijepa-run components | head -1` is no error.

use std::io::{IsTerminal, Write};

use super::Exit;
use crate::{
    results::escape::{lines, one_line},
    sinks::colour,
};

/// Prints results on standard output, with control characters spelled out; in colour at a terminal.
pub(crate) fn stdout(text: &str) -> Exit {
    bytes(colour::for_stdout(&lines(text)).as_bytes())
}

/// Prints text that a program reads as it is; a person at a terminal gets it with control characters spelled
/// out.
pub(crate) fn data(text: &str) -> Exit {
    if std::io::stdout().is_terminal() { stdout(text) } else { bytes(text.as_bytes()) }
}

/// Columns of the terminal behind standard output; none where there is no terminal.
pub(crate) fn terminal_width() -> Option<usize> {
    let size = std::io::stdout().is_terminal().then(crossterm::terminal::size)?;
    size.ok().map(|(columns, _)| usize::from(columns).max(40))
}

fn bytes(bytes: &[u8]) -> Exit {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Exit::Done,
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
        Err(_) => Exit::Failed,
    }
}

/// Prints one message for the user on standard error.
pub(crate) fn stderr(text: &str) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(std::io::stderr().lock(), "{}", colour::for_stderr(&lines(text)));
}

/// Rows under their heads, columns aligned, two spaces in front of each.
pub(crate) fn aligned<const N: usize>(head: [String; N], rows: Vec<[String; N]>) -> String {
    columns(&[head].into_iter().chain(rows).collect::<Vec<_>>())
}

/// The same for rows of any length.
pub(crate) fn columns<R: AsRef<[String]>>(rows: &[R]) -> String {
    let plain = |row: &R| row.as_ref().iter().map(|cell| one_line(cell)).collect::<Vec<String>>();
    let rows: Vec<Vec<String>> = rows.iter().map(plain).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|c| width(c).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells: String = row.iter().zip(&widths).map(|(cell, w)| format!("  {cell:<w$}")).collect();
        format!("{}\n", cells.trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_line_whatever_it_holds() {
        let table = columns(&[["a", "b"].map(String::from), ["x\ny", "\u{1b}[31mz"].map(String::from)]);
        assert_eq!(table, "  a     b\n  x\\ny  \\u{1b}[31mz\n");
    }
}
