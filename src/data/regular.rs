//! Files that end: a pipe would block its reader for ever, and a device never end.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// Largest file that is read as a whole: tables of long runs stay far below.
const LARGEST: u64 = 4 << 30;

/// A regular file, opened.
pub fn regular_file(path: &Path) -> io::Result<File> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "is a folder" } else { "is no regular file" };
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    File::open(path)
}

/// The bytes of a regular file of a size that fits into memory.
pub fn regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = regular_file(path)?;
    let length = file.metadata()?.len();
    if length > LARGEST {
        let message = format!("is too large: {:.1} GiB", length as f64 / (1u64 << 30) as f64);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Its text.
pub(crate) fn regular_text(path: &Path) -> io::Result<String> {
    let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8");
    String::from_utf8(regular(path)?).map_err(not_text)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_and_a_folder_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let message = |path: &Path| regular_text(path).unwrap_err().to_string();
        assert_eq!(
            (message(&pipe).as_str(), message(folder.path()).as_str()),
            ("is no regular file", "is a folder")
        );
        let odd = folder.path().join("odd");
        fs::write(&odd, [0xFF, 0xFE]).unwrap();
        assert_eq!((message(&odd).as_str(), regular(&odd).unwrap()), ("is not UTF-8", vec![0xFF, 0xFE]));
        assert_eq!(regular(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
