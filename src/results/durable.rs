//! Files that appear as a whole, and stay.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tempfile::NamedTempFile;

/// Start of the names of files under way.
pub(super) const UNDER_WAY: &str = ".ijepa-run-";

/// Another process has taken over the folder that this one wrote into.
#[derive(Debug, thiserror::Error)]
#[error("another process has taken over this run; nothing more is written here")]
struct Superseded;

/// Whether an error says so.
pub fn is_superseded(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Superseded>())
}

/// Folders that this process has claimed, and where files for them are written before they get their names.
static SCRATCHES: Mutex<Vec<(PathBuf, PathBuf)>> = Mutex::new(Vec::new());

fn scratches() -> MutexGuard<'static, Vec<(PathBuf, PathBuf)>> {
    SCRATCHES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on files below `folder` are made in `scratch`, and can be replaced only as long as that is there.
pub(super) fn use_scratch(folder: &Path, scratch: &Path) {
    scratches().push((folder.into(), scratch.into()));
}

/// Ends that.
pub(super) fn forget_scratch(scratch: &Path) {
    scratches().retain(|(_, known)| known != scratch);
}

fn scratch_of(path: &Path) -> Option<PathBuf> {
    scratches().iter().rev().find(|(folder, _)| path.starts_with(folder)).map(|(_, scratch)| scratch.clone())
}

/// A file that is written piece by piece and appears as a whole: a temporary file beside `path`, which is
/// renamed in the end. Without [`AtomicFile::commit`] nothing is left of it.
pub struct AtomicFile {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
    /// Where it is made, if its folder is claimed.
    scratch: Option<PathBuf>,
}

impl AtomicFile {
    /// Begins it.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(UNDER_WAY);
        // Readable like any other file (the process mask still applies), not private like a secret.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let scratch = scratch_of(path);
        let made = builder.tempfile_in(scratch.as_deref().unwrap_or(folder_of(path)));
        let file = made.map_err(|e| failed(path, scratch.as_deref(), e))?;
        Ok(AtomicFile { file: BufWriter::new(file), path: path.into(), scratch })
    }

    /// Makes it durable and gives it its name: a reader sees the old file or the new one, never a part.
    pub fn commit(self) -> io::Result<()> {
        let AtomicFile { file, path, scratch } = self;
        let describe = |e| failed(&path, scratch.as_deref(), e);
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

/// Why a file cannot be written: its folder may be another process's now.
fn failed(path: &Path, scratch: Option<&Path>, e: io::Error) -> io::Error {
    let gone =
        |scratch: &Path| scratch.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
    if scratch.is_some_and(gone) { io::Error::other(Superseded) } else { cannot_write(path, e) }
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
            match entry.file_type() {
                // Claims under way: a process that is about to find this folder claimed may still write there, and
                // takes its own away. What is left does no harm.
                Ok(kind) if kind.is_dir() => drop(fs::remove_dir_all(entry.path())),
                Ok(_) => fs::remove_file(entry.path())?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
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
