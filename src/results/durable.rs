//! Files that appear as a whole, and stay.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// Start of the names of files under way.
const UNDER_WAY: &str = ".ijepa-run-";

/// A file that is written piece by piece and appears as a whole: a temporary file beside `path`, which is
/// renamed in the end. Without [`AtomicFile::commit`] nothing is left of it.
pub struct AtomicFile {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl AtomicFile {
    /// Begins it.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(UNDER_WAY);
        // Readable like any other file (the process mask still applies), not private like a secret.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder_of(path)).map_err(|e| cannot_write(path, e))?;
        Ok(AtomicFile { file: BufWriter::new(file), path: path.into() })
    }

    /// Makes it durable and gives it its name: a reader sees the old file or the new one, never a part.
    pub fn commit(self) -> io::Result<()> {
        let AtomicFile { file, path } = self;
        let describe = |e| cannot_write(&path, e);
        let file = file.into_inner().map_err(|e| describe(e.into_error()))?;
        file.as_file().sync_all().map_err(describe)?;
        file.persist(&path).map_err(|e| describe(e.error))?;
        sync_folder(folder_of(&path)).map_err(describe)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|e| cannot_write(&self.path, e))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|e| cannot_write(&self.path, e))
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to).map_err(|e| cannot_write(&self.path, e))
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn cannot_write(path: &Path, e: io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("cannot write {}: {e}", path.display()))
}

/// Writes `bytes` to `path`: see [`AtomicFile`].
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes)?;
    file.commit()
}

/// Makes the names in a folder durable, as far as its file system can do that.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Some file systems know no such thing.
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {}
        other => return other,
    }
    Ok(())
}

/// Takes away what a killed write left in a folder. Only for who holds its lock.
pub(super) fn sweep_away(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNDER_WAY) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_remains_of_a_killed_write_are_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_atomic(&path, b"1").unwrap();
        write_atomic(&path, b"22").unwrap();
        fs::write(folder.path().join(".ijepa-run-x1y2"), "half").unwrap();
        sweep_away(folder.path()).unwrap();
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!((names, fs::read(&path).unwrap()), (vec!["a".into()], b"22".to_vec()));
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let [precious, link] = ["precious", "link"].map(|name| folder.path().join(name));
        fs::write(&precious, "kept").unwrap();
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        write_atomic(&link, b"new").unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"kept");
    }
}
