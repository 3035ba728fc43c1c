//! Seals: how long a file was and what it held when the run vouched for it.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    EXPERIMENT, FileError, WEIGHTS,
    columns::{EPOCHS, METRICS, PROBES, TIMING},
    meanings,
    read::regular_file,
};

/// Length and content of a file, or of its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Length in bytes.
    pub bytes: u64,
    /// BLAKE3 hash of these bytes, in hexadecimal digits.
    pub blake3: String,
}

/// Seals of files by their names in the run folder.
pub type Seals = BTreeMap<String, Seal>;

/// Files whose content is fixed once a run is over. `run.json` grows with every process that looks in.
const FINAL: [&str; 7] =
    [EXPERIMENT, meanings::FILE, METRICS.file, EPOCHS.file, PROBES.file, TIMING.file, WEIGHTS];

impl Seal {
    /// The seal of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Seal { bytes: bytes.len() as u64, blake3: blake3::hash(bytes).to_hex().to_string() }
    }

    /// The seal of a file as it is; none if there is no such file.
    pub fn of_file(path: &Path) -> Result<Option<Self>, FileError> {
        let read = || -> io::Result<Seal> {
            let mut hasher = blake3::Hasher::new();
            let bytes = io::copy(&mut regular_file(path)?, &mut hasher)?;
            Ok(Seal { bytes, blake3: hasher.finalize().to_hex().to_string() })
        };
        match read() {
            Ok(seal) => Ok(Some(seal)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(FileError::at(path, None, e)),
        }
    }

    /// Whether `bytes`, read from `path` if it is there, are what was sealed.
    pub fn check(&self, path: &Path, bytes: Option<&[u8]>) -> Result<(), FileError> {
        self.compare(path, bytes.map(Seal::of).as_ref())
    }

    /// Whether a file is what was sealed.
    pub fn check_file(&self, path: &Path) -> Result<(), FileError> {
        self.compare(path, Seal::of_file(path)?.as_ref())
    }

    /// Whether a file is as long as it was: a look, without reading.
    pub fn check_length(&self, path: &Path) -> Result<(), FileError> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.len() == self.bytes && metadata.is_file() => Ok(()),
            Ok(metadata) => Err(self.other_length(path, metadata.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(missing(path)),
            Err(e) => Err(FileError::at(path, None, e)),
        }
    }

    fn compare(&self, path: &Path, found: Option<&Seal>) -> Result<(), FileError> {
        match found {
            None => Err(missing(path)),
            Some(found) if found == self => Ok(()),
            Some(found) if found.bytes == self.bytes => {
                Err(FileError::at(path, None, "was changed after the run wrote it"))
            }
            Some(found) => Err(self.other_length(path, found.bytes)),
        }
    }

    fn other_length(&self, path: &Path, found: u64) -> FileError {
        let message = format!("holds {found} bytes, but {} when the run vouched for it", self.bytes);
        FileError::at(path, None, message)
    }
}

fn missing(path: &Path) -> FileError {
    FileError::at(path, None, "is gone; the run left it here")
}

/// Seals of the files that a run leaves at its end, as they are.
pub fn of_folder(folder: &Path) -> Result<Seals, FileError> {
    let mut seals = Seals::new();
    for name in FINAL {
        seals.extend(Seal::of_file(&folder.join(name))?.map(|seal| (name.to_owned(), seal)));
    }
    Ok(seals)
}

/// What of the sealed files is gone or has another length: the first such file.
pub fn look(folder: &Path, seals: &Seals) -> Result<(), FileError> {
    seals.iter().try_for_each(|(name, seal)| seal.check_length(&folder.join(name)))
}

/// Everything that is wrong with the sealed files, each read to its end.
pub fn damages(folder: &Path, seals: &Seals) -> Vec<FileError> {
    seals.iter().filter_map(|(name, seal)| seal.check_file(&folder.join(name)).err()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damage_is_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(METRICS.file);
        fs::write(&path, "step\n1\n").unwrap();
        let seals = of_folder(folder.path()).unwrap();
        assert_eq!(seals.keys().collect::<Vec<_>>(), [METRICS.file]);
        assert!(damages(folder.path(), &seals).is_empty() && look(folder.path(), &seals).is_ok());
        fs::write(&path, "step\n2\n").unwrap();
        assert!(look(folder.path(), &seals).is_ok(), "a look compares lengths");
        let found = damages(folder.path(), &seals)[0].to_string();
        assert!(found.ends_with("metrics.csv: was changed after the run wrote it"), "{found}");
        fs::write(&path, "").unwrap();
        let found = look(folder.path(), &seals).unwrap_err().to_string();
        assert!(found.ends_with("holds 0 bytes, but 7 when the run vouched for it"), "{found}");
        fs::remove_file(&path).unwrap();
        assert!(
            look(folder.path(), &seals).unwrap_err().to_string().ends_with("is gone; the run left it here")
        );
    }
}
