//! An append-only CSV file whose header is fixed before the first row.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    marker::PhantomData,
    path::{Path, PathBuf},
};

use super::columns::{Row, Table};

/// An open table of a run folder, whose rows are `R`.
pub struct CsvFile<R> {
    path: PathBuf,
    file: File,
    row: PhantomData<R>,
}

impl<R: Row> CsvFile<R> {
    /// Opens `table` in `folder` and keeps its first `keep` bytes: what a checkpoint vouches for.
    /// Later rows, torn or whole, are dropped; training writes them again, byte for byte. A new
    /// file starts with its header.
    pub fn open(folder: &Path, table: &Table, keep: u64) -> io::Result<Self> {
        let path = folder.join(table.file);
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
        let length = file.metadata()?.len();
        if keep > length {
            return Err(io::Error::other(format!(
                "{} holds {length} bytes, but the checkpoint was written when it held {keep}",
                path.display()
            )));
        }
        file.set_len(keep)?;
        file.seek(SeekFrom::End(0))?;
        let mut csv = CsvFile { path, file, row: PhantomData };
        if keep == 0 {
            csv.write(R::COLUMNS.iter().map(|c| c.name))?;
        }
        Ok(csv)
    }

    /// Appends one row in one write.
    pub fn append(&mut self, row: &R) -> io::Result<()> {
        self.write(row.cells())
    }

    fn write(&mut self, cells: impl IntoIterator<Item = impl AsRef<[u8]>>) -> io::Result<()> {
        let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
        writer.write_record(cells)?;
        let bytes = writer.into_inner().map_err(|e| io::Error::other(e.to_string()))?;
        self.file.write_all(&bytes).map_err(|e| self.describe(&e))
    }

    /// Makes everything appended so far durable and returns the file's length.
    pub fn sync(&mut self) -> io::Result<u64> {
        self.file.sync_data().map_err(|e| self.describe(&e))?;
        Ok(self.file.metadata()?.len())
    }

    fn describe(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("cannot write {}: {error}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::columns::{EPOCHS, EpochRow};

    fn open(folder: &Path, keep: u64) -> io::Result<CsvFile<EpochRow>> {
        CsvFile::open(folder, &EPOCHS, keep)
    }

    #[test]
    fn rows_after_the_kept_length_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut csv = open(folder.path(), 0).unwrap();
        csv.append(&EpochRow { epoch: 1, step: 10, images: 640, loss: 0.5 }).unwrap();
        let kept = csv.sync().unwrap();
        csv.append(&EpochRow { epoch: 2, step: 20, images: 1280, loss: 0.4 }).unwrap();
        csv.file.write_all(b"3,3").unwrap();
        drop(csv);
        let mut csv = open(folder.path(), kept).unwrap();
        csv.append(&EpochRow { epoch: 2, step: 20, images: 1280, loss: 0.4 }).unwrap();
        let text = std::fs::read_to_string(folder.path().join("epochs.csv")).unwrap();
        assert_eq!(text, "epoch,step,images,loss\n1,10,640,0.5\n2,20,1280,0.4\n");
        assert!(open(folder.path(), 10_000).is_err());
    }
}
