//! An append-only CSV file whose header is fixed before the first row, and what vouches for its rows.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    marker::PhantomData,
    path::{Path, PathBuf},
};

use super::{
    FileError,
    columns::{Row, Table, names, number},
    read::{self, TableFile},
    seal::Seal,
    write_atomic,
};

/// End of the name under which rows lie that no checkpoint vouches for yet.
const BEFORE: &str = ".before";

/// An open table of a run folder, whose rows are `R`.
pub struct CsvFile<R> {
    path: PathBuf,
    file: File,
    bytes: u64,
    hasher: blake3::Hasher,
    row: PhantomData<R>,
}

/// What a checkpoint says of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// What its beginning held.
    Seal(Seal),
    /// How long it was; version 0.1.0 said no more.
    Length(u64),
}

impl<R: Row> CsvFile<R> {
    /// A new table. What lies there is kept aside until a checkpoint vouches for the new one.
    pub fn create(folder: &Path, table: &Table, further: &[String]) -> io::Result<Self> {
        let path = folder.join(table.file);
        keep_aside(&path).map_err(|e| describe(&path, &e))?;
        let header = line(names::<R>(further))?;
        let mut csv = CsvFile::open(path, OpenOptions::new().create_new(true), &[])?;
        csv.write(&header)?;
        Ok(csv)
    }

    /// Continues a table at what a checkpoint vouches for. Later rows, torn or whole, are dropped;
    /// training writes them again, byte for byte. True: the table had the columns of another version and
    /// was rewritten, so that it needs a new checkpoint.
    pub fn resume(
        folder: &Path,
        table: &Table,
        further: &[String],
        vouched: &Vouched,
    ) -> Result<(Self, bool), FileError> {
        let path = folder.join(table.file);
        let kept = vouched.kept(&path).or_else(|error| put_back(&path, vouched).ok_or(error))?;
        let converted = converted::<R>(&path, &kept, further)?;
        let failed = |e: io::Error| FileError::at(&path, None, e);
        if let Some(bytes) = &converted {
            write_atomic(&before(&path), &kept).and_then(|()| write_atomic(&path, bytes)).map_err(failed)?;
        }
        let bytes = converted.as_ref().unwrap_or(&kept);
        // In the place of the old file, not cut: whoever still has that open writes into nothing.
        if converted.is_none() {
            write_atomic(&path, bytes).map_err(failed)?;
        }
        let csv = CsvFile::open(path.clone(), &mut OpenOptions::new(), bytes).map_err(failed)?;
        Ok((csv, converted.is_some()))
    }

    /// Opens the file and cuts it after `kept`, its beginning.
    fn open(path: PathBuf, how: &mut OpenOptions, kept: &[u8]) -> io::Result<Self> {
        let mut open = || {
            let mut file = how.write(true).open(&path)?;
            file.set_len(kept.len() as u64)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = open().map_err(|e| describe(&path, &e))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(kept);
        Ok(CsvFile { path, file, bytes: kept.len() as u64, hasher, row: PhantomData })
    }

    /// Appends one row in one write.
    pub fn append(&mut self, row: &R) -> io::Result<()> {
        let further = row.further().iter().map(|(_, value)| number(*value));
        self.write(&line(row.cells().into_iter().chain(further))?)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).map_err(|e| describe(&self.path, &e))?;
        self.bytes += bytes.len() as u64;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Makes everything appended so far durable and says what it is.
    pub fn sync(&mut self) -> io::Result<Seal> {
        self.file.sync_data().map_err(|e| describe(&self.path, &e))?;
        Ok(Seal { bytes: self.bytes, blake3: self.hasher.finalize().to_hex().to_string() })
    }

    /// Takes away what was kept aside: a checkpoint vouches for this table now.
    pub fn vouched(&self) -> io::Result<()> {
        match fs::remove_file(before(&self.path)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(describe(&before(&self.path), &e)),
            _ => Ok(()),
        }
    }
}

impl Vouched {
    /// Whether the table at `path` starts with what this vouches for.
    pub fn check(&self, path: &Path) -> Result<(), FileError> {
        self.kept(path).map(|_| ())
    }

    /// The beginning of the table at `path` that this vouches for.
    fn kept(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        if path.symlink_metadata().is_ok_and(|m| m.is_symlink()) {
            return Err(FileError::at(path, None, "is a link; nothing is written through links"));
        }
        let (Vouched::Length(length) | Vouched::Seal(Seal { bytes: length, .. })) = self;
        let gone =
            || FileError::at(path, None, format!("is gone; the checkpoint continues {length} bytes of it"));
        let mut bytes = read::bytes(path)?.ok_or_else(gone)?;
        if (bytes.len() as u64) < *length {
            let message =
                format!("holds {} bytes, but the checkpoint was written when it held {length}", bytes.len());
            return Err(FileError::at(path, None, message));
        }
        bytes.truncate(*length as usize);
        match self {
            Vouched::Seal(seal) => seal.check(path, Some(&bytes))?,
            Vouched::Length(_) => check_lines(path, &bytes)?,
        }
        Ok(bytes)
    }
}

/// What can be said of rows that nothing vouches for but their length.
fn check_lines(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let changed = |what: &str| Err(FileError::at(path, None, format!("was changed: {what}")));
    if bytes.contains(&b'\r') {
        return changed("another program saved it with CR LF at the ends of lines");
    }
    if !bytes.ends_with(b"\n") {
        return changed("the last row that the checkpoint knows of ends in the middle of a line");
    }
    Ok(())
}

/// The table with the columns of this version; none if it has them already.
fn converted<R: Row>(path: &Path, kept: &[u8], further: &[String]) -> Result<Option<Vec<u8>>, FileError> {
    let table = TableFile::parse(path, kept.to_vec())?;
    let rows: Vec<R> = table.typed()?;
    if table.header == names::<R>(further) {
        return Ok(None);
    }
    let at = |e: io::Error| FileError::at(path, None, e);
    super::wide_table(rows.into_iter(), further).map(Some).map_err(at)
}

fn before(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}{BEFORE}"))
}

/// Moves a table aside unless more of it lies there already.
fn keep_aside(path: &Path) -> io::Result<()> {
    let length = |path: &Path| match path.symlink_metadata() {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    };
    match (length(path)?, length(&before(path))?) {
        (None, _) => Ok(()),
        (Some(here), Some(aside)) if here <= aside => fs::remove_file(path),
        _ => fs::rename(path, before(path)),
    }
}

/// The table that was kept aside, if it is what a checkpoint vouches for: then the one that took its place
/// is not.
fn put_back(path: &Path, vouched: &Vouched) -> Option<Vec<u8>> {
    let aside = before(path);
    let kept = vouched.kept(&aside).ok()?;
    fs::rename(aside, path).ok()?;
    Some(kept)
}

/// Puts other rows in the place of a whole table. `vouch` is to make a checkpoint vouch for them; until the
/// table is there, they lie where [`CsvFile::resume`] finds them.
pub fn replace(path: &Path, bytes: &[u8], vouch: impl FnOnce(Seal) -> io::Result<()>) -> io::Result<()> {
    write_atomic(&before(path), bytes)?;
    vouch(Seal::of(bytes))?;
    fs::rename(before(path), path).map_err(|e| describe(path, &e))
}

/// One line of CSV.
fn line(cells: impl IntoIterator<Item = impl AsRef<[u8]>>) -> io::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(cells)?;
    writer.into_inner().map_err(|e| io::Error::other(e.to_string()))
}

fn describe(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::columns::{EPOCHS, EpochRow};

    type Csv = CsvFile<EpochRow>;

    fn row(epoch: u64) -> EpochRow {
        EpochRow { epoch, step: 10 * epoch, images: 640 * epoch, loss: 1.0 / epoch as f64 }
    }

    fn text(folder: &Path) -> String {
        fs::read_to_string(folder.join("epochs.csv")).unwrap()
    }

    /// A table with one row that is vouched for, and one and a half that are not.
    fn stopped(folder: &Path) -> Vouched {
        let mut csv = Csv::create(folder, &EPOCHS, &[]).unwrap();
        csv.append(&row(1)).unwrap();
        let seal = csv.sync().unwrap();
        csv.append(&row(2)).unwrap();
        csv.file.write_all(b"3,3").unwrap();
        Vouched::Seal(seal)
    }

    #[test]
    fn rows_after_the_vouched_ones_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let vouched = stopped(folder.path());
        let (mut csv, converted) = Csv::resume(folder.path(), &EPOCHS, &[], &vouched).unwrap();
        csv.append(&row(2)).unwrap();
        assert_eq!(text(folder.path()), "epoch,step,images,loss\n1,10,640,1\n2,20,1280,0.5\n");
        assert!(!converted);
        assert_eq!(csv.sync().unwrap(), Seal::of(text(folder.path()).as_bytes()));
    }

    #[test]
    fn a_changed_table_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let vouched = stopped(folder.path());
        let path = folder.path().join("epochs.csv");
        let whole = text(folder.path());
        let crlf = whole.replace('\n', "\r\n");
        for damaged in [whole.replace("640", "641"), crlf, format!("# saved\n{whole}"), String::new()] {
            fs::write(&path, &damaged).unwrap();
            let error = Csv::resume(folder.path(), &EPOCHS, &[], &vouched).err().unwrap().to_string();
            assert!(error.contains("epochs.csv: "), "{error}");
            assert_eq!(text(folder.path()), damaged);
        }
        let length = Vouched::Length(whole.find("2,20").unwrap() as u64);
        for (damaged, says) in [
            (whole.replace('\n', "\r\n"), "CR LF"),
            (whole.replace("1,10,640,1\n", "1,10,64,1,\n"), "5 cells"),
            (whole.replacen("loss", "lose", 1), "no column `loss`"),
        ] {
            fs::write(&path, &damaged).unwrap();
            let error = Csv::resume(folder.path(), &EPOCHS, &[], &length).err().unwrap().to_string();
            assert!(error.contains(says) && error.contains("epochs.csv"), "{error}");
        }
    }

    #[test]
    fn the_columns_of_another_version_are_brought_into_order() {
        let folder = tempfile::tempdir().unwrap();
        let old = "step,epoch,loss,images,more\n10,1,1,640,x\n";
        fs::write(folder.path().join("epochs.csv"), old).unwrap();
        let vouched = Vouched::Seal(Seal::of(old.as_bytes()));
        let (csv, converted) = Csv::resume(folder.path(), &EPOCHS, &[], &vouched).unwrap();
        assert!(converted);
        assert_eq!(text(folder.path()), "epoch,step,images,loss\n1,10,640,1\n");
        drop(csv);
        // Killed before a checkpoint vouches for the new form: the old one still counts.
        let (mut csv, converted) = Csv::resume(folder.path(), &EPOCHS, &[], &vouched).unwrap();
        assert!(converted && csv.sync().unwrap() == Seal::of(text(folder.path()).as_bytes()));
        csv.vouched().unwrap();
        assert!(!folder.path().join("epochs.csv.before").exists());
    }

    #[test]
    fn a_new_table_keeps_the_old_one_until_something_vouches_for_it() {
        let folder = tempfile::tempdir().unwrap();
        stopped(folder.path());
        let before = text(folder.path());
        // Started over and killed at once, twice.
        for _ in 0..2 {
            let csv = Csv::create(folder.path(), &EPOCHS, &[]).unwrap();
            let aside = fs::read_to_string(folder.path().join("epochs.csv.before")).unwrap();
            assert_eq!((aside, text(folder.path())), (before.clone(), "epoch,step,images,loss\n".into()));
            drop(csv);
        }
        Csv::create(folder.path(), &EPOCHS, &[]).unwrap().vouched().unwrap();
        assert!(!folder.path().join("epochs.csv.before").exists());
    }
}
