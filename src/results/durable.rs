//! Files that appear as a whole, and stay.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// Start of the names of files under way.
const UNDER_WAY: &str = ".ijepa-run-";

/// Writes `bytes` to a temporary file beside `path`, makes it durable and renames it: a reader
/// sees the old file or the new one, never a part.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let describe = |e: io::Error| io::Error::new(e.kind(), format!("cannot write {}: {e}", path.display()));
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNDER_WAY);
    // Readable like any other file (the process mask still applies), not private like a secret.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(describe)?;
    file.write_all(bytes).map_err(describe)?;
    file.as_file().sync_all().map_err(describe)?;
    file.persist(path).map_err(|e| describe(e.error))?;
    sync_folder(folder).map_err(describe)
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
