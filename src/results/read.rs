//! Reading the files of run folders: every complaint names the file and the line.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use csv::StringRecord;

use super::{Status, columns::Table};
use crate::{
    data::regular,
    events::{Cell, Row},
};

/// A file that cannot be read, or holds something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1, if it is known.
    pub line: Option<u64>,
    /// What is wrong.
    pub message: String,
}

impl FileError {
    /// A complaint about `path`.
    pub fn at(path: &Path, line: Option<u64>, message: impl fmt::Display) -> Self {
        FileError { path: path.into(), line, message: message.to_string() }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let line = self.line.map_or(String::new(), |line| format!(":{line}"));
        write!(f, "{}{line}: {}", self.path.display(), self.message)
    }
}

impl std::error::Error for FileError {}

/// The bytes of a file; none if there is no such file.
pub fn bytes(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match regular(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(FileError::at(path, None, e)),
    }
}

/// The text of a file; none if there is no such file.
pub fn text(path: &Path) -> Result<Option<String>, FileError> {
    let not_text = |_| FileError::at(path, None, "is not UTF-8 text");
    bytes(path)?.map(|bytes| String::from_utf8(bytes).map_err(not_text)).transpose()
}

/// A table of ours in memory, whatever version of the program wrote it.
pub struct TableFile {
    path: PathBuf,
    /// Names of the columns.
    pub header: Vec<String>,
    /// The rows under them.
    pub rows: Vec<StringRecord>,
}

impl TableFile {
    /// The table in `bytes`, which were read from `path`. A last line without its end was cut short while
    /// it was written, and does not count.
    pub fn parse(path: &Path, mut bytes: Vec<u8>) -> Result<Self, FileError> {
        bytes.truncate(bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1));
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let header = reader.headers().map_err(|e| unreadable(path, &e))?;
        // A spreadsheet may have put a byte order mark in front.
        let header = header.iter().map(|name| name.trim_start_matches('\u{feff}').to_owned()).collect();
        let rows = reader.records().collect::<Result<_, _>>().map_err(|e| unreadable(path, &e))?;
        Ok(TableFile { path: path.into(), header, rows })
    }

    /// Index of a column, if there is one of that name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|h| h == name)
    }

    /// The values of two columns, row by row; rows with an empty cell are left out: not measured.
    pub fn pairs(&self, first: &str, second: usize) -> Result<Vec<(u64, f64)>, FileError> {
        let missing = || FileError::at(&self.path, Some(1), format!("there is no column `{first}`"));
        let first = self.find(first).ok_or_else(missing)?;
        let measured = self.rows.iter().filter(|row| !row[second].is_empty());
        measured.map(|row| Ok((self.cell(row, first)?, self.cell(row, second)?))).collect()
    }

    /// Names of the columns that an experiment decided on.
    pub fn further<R: Row>(&self) -> Vec<String> {
        let ours = |name: &&String| R::FURTHER.is_some_and(|prefix| name.starts_with(prefix));
        self.header.iter().filter(ours).cloned().collect()
    }

    fn cell<C: Cell>(&self, row: &StringRecord, column: usize) -> Result<C, FileError> {
        C::read(&row[column]).ok_or_else(|| {
            let message =
                format!("column `{}`: `{}` is not {}", self.header[column], &row[column], C::WANTED);
            FileError::at(&self.path, line_of(row), message)
        })
    }

    /// The rows, by the names of their columns.
    pub fn typed<R: Row>(&self) -> Result<Vec<R>, FileError> {
        let further = self.further::<R>();
        let typed = |row: &StringRecord| {
            let read = R::read(|name| self.find(name).and_then(|column| row.get(column)));
            let read = read.map_err(|e| FileError::at(&self.path, line_of(row), e))?;
            let value = |name: &String| {
                let column = self.find(name).expect("a name from the header");
                self.cell(row, column).map(|value| (name.clone(), value))
            };
            Ok(read.with_further(further.iter().map(value).collect::<Result<_, _>>()?))
        };
        self.rows.iter().map(typed).collect()
    }
}

/// A table of a folder; none if there is no such file. That of a run which is over or was stopped must be what
/// the run left.
pub fn table(folder: &Path, table: &Table) -> Result<Option<TableFile>, FileError> {
    known_table(folder, table, Status::read(folder)?.as_ref())
}

/// The rows of a table; none if there is no such file.
pub fn rows<R: Row>(folder: &Path, file: &Table) -> Result<Vec<R>, FileError> {
    table(folder, file)?.map_or(Ok(Vec::new()), |table| table.typed())
}

/// The bytes of a file of a run folder; those of a run which is over must be what the run left.
pub fn file(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, FileError> {
    let status = Status::read(folder)?;
    let seal = status.as_ref().and_then(|s| s.seal_of(name));
    let (path, found) = (folder.join(name), bytes(&folder.join(name))?);
    seal.map_or(Ok(()), |seal| seal.check(&path, found.as_deref()))?;
    Ok(found)
}

/// A table of a folder whose status is known.
pub(super) fn known_table(
    folder: &Path,
    table: &Table,
    status: Option<&Status>,
) -> Result<Option<TableFile>, FileError> {
    let path = folder.join(table.file);
    let bytes = bytes(&path)?;
    if let Some(seal) = status.and_then(|s| s.seal_of(table.file)) {
        seal.check(&path, bytes.as_deref())?;
    }
    bytes.map(|bytes| TableFile::parse(&path, bytes)).transpose()
}

fn line_of(row: &StringRecord) -> Option<u64> {
    row.position().map(csv::Position::line)
}

fn unreadable(path: &Path, error: &csv::Error) -> FileError {
    let line = error.position().map(csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            FileError::at(path, line, format!("{len} cells in a row under a header of {expected_len}"))
        }
        csv::ErrorKind::Utf8 { .. } => FileError::at(path, line, "is not UTF-8 text"),
        _ => FileError::at(path, line, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::columns::ProbeRow;

    const HEAD: &str = "epoch,step,probe,encoder,labels,metric,unit,value\n";

    fn probes(text: &str) -> Result<Vec<ProbeRow>, String> {
        let table = TableFile::parse(Path::new("probes.csv"), text.into()).map_err(|e| e.to_string())?;
        table.typed().map_err(|e| e.to_string())
    }

    #[test]
    fn columns_are_found_by_name_and_a_torn_row_is_left_out() {
        let rows = "1,4,knn,target,class,top1,%,50\n1,4,rankme,target,,rankme,1,7.5\n3,12,knn";
        let read = probes(&format!("{HEAD}{rows}")).unwrap();
        assert_eq!(
            read.iter().map(ProbeRow::name).collect::<Vec<_>>(),
            ["knn/target/class/top1", "rankme/target/rankme"]
        );
        let turned =
            "value,unit,metric,labels,encoder,probe,step,epoch,new\n50,%,top1,class,target,knn,4,1,x\n";
        assert_eq!(probes(turned).unwrap()[0], read[0]);
    }

    #[test]
    fn damage_is_told_with_its_line() {
        let wrong = |rows: &str| probes(&format!("{HEAD}{rows}")).unwrap_err();
        assert_eq!(
            wrong("1,4,knn,target,class,top1,%,x\n"),
            "probes.csv:2: column `value`: `x` is not a number"
        );
        assert_eq!(wrong("1,4,knn\n"), "probes.csv:2: 3 cells in a row under a header of 8");
        assert_eq!(probes("a,b\n1,2\n").unwrap_err(), "probes.csv:2: there is no column `epoch`");
    }

    #[test]
    fn a_folder_is_no_file_and_a_missing_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(bytes(&folder.path().join("none")), Ok(None));
        assert!(bytes(folder.path()).unwrap_err().to_string().ends_with("is a folder"));
    }
}
