//! A CSV file in memory whose every complaint names file and line.

use std::path::{Path, PathBuf};

use csv::StringRecord;

use crate::analysis::error::AnalysisError;
use crate::results::{RunState, read::bytes};

/// Header and rows of a CSV file.
pub(super) struct Sheet {
    path: PathBuf,
    pub header: Vec<String>,
    pub rows: Vec<StringRecord>,
    /// What stands between cells.
    pub separator: char,
}

/// Words for "not measured".
const ABSENT: [&str; 7] = ["", "-", "na", "n/a", "null", "none", "."];

impl Sheet {
    /// Reads `path`; none if there is no such file.
    pub fn read(path: &Path) -> Result<Option<Sheet>, AnalysisError> {
        bytes(path)?.map(|bytes| Self::parse(path, &bytes, ',')).transpose()
    }

    /// Reads a file of another program: cells may be separated by semicolons or tabs, and numbers may have
    /// decimal commas then.
    pub fn read_foreign(path: &Path) -> Result<Sheet, AnalysisError> {
        let missing = || AnalysisError::at(path, None, "there is no such file");
        let bytes = bytes(path)?.ok_or_else(missing)?;
        Self::parse(path, &bytes, separator(&bytes))
    }

    fn parse(path: &Path, bytes: &[u8], separator: char) -> Result<Sheet, AnalysisError> {
        let mut reader = csv::ReaderBuilder::new().delimiter(separator as u8).from_reader(bytes);
        let header = reader.headers().map_err(|e| unreadable(path, &e))?;
        // A spreadsheet may have put a byte order mark in front.
        let header = header.iter().map(|h| h.trim_start_matches('\u{feff}').trim().to_string()).collect();
        let rows = reader.records().collect::<Result<_, _>>().map_err(|e| unreadable(path, &e))?;
        Ok(Sheet { path: path.into(), header, rows, separator })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Index of the column `name`, if there is one.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|h| h == name)
    }

    /// Index of the column `name`, which must exist, and only once.
    pub fn column(&self, name: &str) -> Result<usize, AnalysisError> {
        let places: Vec<String> =
            (1..).zip(&self.header).filter(|(_, h)| *h == name).map(|(place, _)| place.to_string()).collect();
        if places.len() > 1 {
            let message = format!("column `{name}` is there twice: columns {}", places.join(" and "));
            return Err(AnalysisError::at(&self.path, Some(1), message).help("rename or remove one of them"));
        }
        let missing = || {
            let unknown = AnalysisError::unknown("column", name, &self.header);
            AnalysisError::at(&self.path, Some(1), unknown)
        };
        self.find(name).ok_or_else(missing)
    }

    /// The number in a cell; none if it is empty: not measured.
    pub fn number(&self, row: &StringRecord, column: usize) -> Result<Option<f64>, AnalysisError> {
        let cell = row[column].trim();
        if ABSENT.contains(&cell.to_lowercase().as_str()) {
            return Ok(None);
        }
        self.plain(cell).parse().map(Some).map_err(|_| self.wrong(row, column, "a number"))
    }

    /// With a decimal point where the file has commas: only where they do not separate cells, and only one.
    fn plain(&self, cell: &str) -> String {
        let decimal = self.separator != ',' && !cell.contains('.') && cell.matches(',').count() == 1;
        if decimal { cell.replace(',', ".") } else { cell.into() }
    }

    /// The step in a cell: a whole number, perhaps written as `100.0`.
    pub fn step(&self, row: &StringRecord, column: usize) -> Result<u64, AnalysisError> {
        let cell = self.plain(row[column].trim());
        let whole = |x: &f64| x.fract() == 0.0 && (0.0..=9e15).contains(x);
        let rounded = || cell.parse().ok().filter(whole).map(|x| x as u64);
        let step = cell.parse().ok().or_else(rounded);
        step.ok_or_else(|| self.wrong(row, column, "a whole number of steps"))
    }

    /// The state of a run in a cell.
    pub fn state(&self, row: &StringRecord, column: usize) -> Result<RunState, AnalysisError> {
        let known = || RunState::ALL.map(RunState::name).join(", ");
        let wrong = || self.wrong(row, column, "a state of a run").help(format!("there are: {}", known()));
        RunState::of(row[column].trim()).ok_or_else(wrong)
    }

    fn wrong(&self, row: &StringRecord, column: usize, wanted: &str) -> AnalysisError {
        let message = format!("column `{}`: `{}` is not {wanted}", self.header[column], &row[column]);
        AnalysisError::at(&self.path, line_of(row), message)
    }
}

/// The separator that is most frequent in the first line, outside of quotes.
fn separator(bytes: &[u8]) -> char {
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let mut quoted = false;
    let mut counts = [(0, ','), (0, ';'), (0, '\t')];
    for &byte in line {
        quoted ^= byte == b'"';
        counts.iter_mut().filter(|(_, c)| !quoted && *c as u8 == byte).for_each(|(n, _)| *n += 1);
    }
    // The first of equals: a comma unless another one is more frequent.
    counts.into_iter().rev().max_by_key(|(n, _)| *n).map_or(',', |(_, c)| c)
}

/// The line a row starts on.
pub(super) fn line_of(row: &StringRecord) -> Option<u64> {
    row.position().map(csv::Position::line)
}

/// A row as CSV text, without the end of the line.
pub(super) fn text_of(row: &StringRecord) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = writer.write_record(row).ok().and_then(|()| writer.into_inner().ok());
    String::from_utf8_lossy(&written.unwrap_or_default()).trim_end().to_owned()
}

fn unreadable(path: &Path, error: &csv::Error) -> AnalysisError {
    let line = error.position().map(csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            AnalysisError::at(path, line, format!("{len} cells in a row under a header of {expected_len}"))
        }
        csv::ErrorKind::Utf8 { .. } => AnalysisError::at(path, line, "is not UTF-8 text"),
        _ => AnalysisError::at(path, line, error),
    }
}
