//! Seals: how long a file was and what it held when the run vouched for it.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    ARTIFACTS, CHECKPOINT, CHECKPOINTS, EXPERIMENT, FileError, STATUS, WEIGHTS,
    columns::TABLES,
    meanings,
    run_files::{kept_epochs, kept_weights},
};
use crate::data::regular_file;

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

/// How closely sealed files are looked at: each step costs more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Care {
    /// Every file is there and as long as it was: a list of thousands of runs.
    Lengths,
    /// And every file that says something holds what it held.
    Words,
    /// And so do the weights: before a run counts as done.
    Weights,
    /// And so does the checkpoint, which vouches for itself whenever it is read.
    Everything,
}

impl Care {
    /// With how much care the content of a file is read.
    fn for_content(name: &str) -> Self {
        match name {
            WEIGHTS => Care::Weights,
            // Kept weights vouch for themselves too.
            _ if Path::new(name).starts_with(CHECKPOINTS) => Care::Everything,
            _ => Care::Words,
        }
    }
}

/// Files whose content is fixed once a run is over: all but `status.json`, which holds their seals, and
/// `run.json`, which grows with every process that looks in.
fn names_in(folder: &Path) -> Result<Vec<String>, FileError> {
    let mut names: Vec<String> = [EXPERIMENT, meanings::FILE, WEIGHTS, CHECKPOINT].map(str::to_owned).into();
    names.extend(TABLES.map(|table| table.file.to_owned()));
    let kept = kept_epochs(folder).into_iter().map(|epoch| kept_weights(Path::new(""), epoch));
    names.extend(kept.map(|path| path.to_string_lossy().replace('\\', "/")));
    let path = folder.join(ARTIFACTS);
    let at = |e| FileError::at(&path, None, e);
    match fs::read_dir(&path) {
        Ok(entries) => {
            for entry in entries {
                let name = entry.map_err(at)?.file_name().to_string_lossy().into_owned();
                // What a killed write left is nobody's.
                let counts = !name.starts_with('.') && path.join(&name).is_file();
                names.extend(counts.then(|| format!("{ARTIFACTS}/{name}")));
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(at(e)),
    }
    Ok(names)
}

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

pub(crate) fn missing(path: &Path) -> FileError {
    FileError::at(path, None, "is gone; the run left it here")
}

/// Seals of the files that a run leaves at its end, as they are.
pub fn of_folder(folder: &Path) -> Result<Seals, FileError> {
    let mut seals = Seals::new();
    for name in names_in(folder)? {
        seals.extend(Seal::of_file(&folder.join(&name))?.map(|seal| (name, seal)));
    }
    Ok(seals)
}

/// Everything that is wrong with the sealed files. Where the experiment and its results differ alike, it may be
/// the status that is of another run; that is said first.
pub fn damages(folder: &Path, seals: &Seals, care: Care) -> Vec<FileError> {
    let check = |(name, seal): (&String, &Seal)| {
        let path = folder.join(name);
        let content = care >= Care::for_content(name);
        // What a probe leaves beside its numbers comes again with the probe.
        let is_artifact = Path::new(name).starts_with(ARTIFACTS);
        if is_artifact && care < Care::Everything && path.symlink_metadata().is_err() {
            return None;
        }
        if content { seal.check_file(&path) } else { seal.check_length(&path) }.err()
    };
    let found: Vec<FileError> = seals.iter().filter_map(check).collect();
    another(folder, &found).into_iter().chain(found).collect()
}

/// What to do about a run whose files are not what it left.
pub fn remedy(folder: &Path) -> String {
    format!(
        "put the file back; or take what is there with `ijepa-run verify --accept {}`; or start over with --force \
         (earlier files are kept)",
        folder.display()
    )
}

/// A status that vouches for another experiment, and for other tables.
fn another(folder: &Path, found: &[FileError]) -> Option<FileError> {
    let experiment = folder.join(EXPERIMENT);
    let is_other =
        found.len() > 1 && found.iter().any(|error| error.path == experiment) && experiment.is_file();
    let names = || found.iter().filter_map(|e| Some(e.path.strip_prefix(folder).ok()?.display().to_string()));
    let message =
        || format!("is of another run, or these files are: {}", names().collect::<Vec<_>>().join(", "));
    is_other.then(|| FileError::at(&folder.join(STATUS), None, message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damage_is_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        fs::write(&path, "step\n1\n").unwrap();
        let seals = of_folder(folder.path()).unwrap();
        assert_eq!(seals.keys().collect::<Vec<_>>(), ["metrics.csv"]);
        let found = |care| -> String {
            damages(folder.path(), &seals, care).iter().map(ToString::to_string).collect()
        };
        assert_eq!(found(Care::Everything), "");
        fs::write(&path, "step\n2\n").unwrap();
        assert_eq!(found(Care::Lengths), "");
        assert!(found(Care::Words).ends_with("metrics.csv: was changed after the run wrote it"));
        fs::write(&path, "").unwrap();
        assert!(found(Care::Lengths).ends_with("holds 0 bytes, but 7 when the run vouched for it"));
        fs::remove_file(&path).unwrap();
        assert!(found(Care::Lengths).ends_with("is gone; the run left it here"));
    }

    /// A new table of a run is in `TABLES`, and whatever a probe leaves in its folder.
    #[test]
    fn every_file_of_a_run_is_sealed_and_read_with_its_care() {
        let folder = tempfile::tempdir().unwrap();
        let kept = "checkpoints/epoch-2.safetensors";
        let names = [EXPERIMENT, meanings::FILE, WEIGHTS, CHECKPOINT, kept, "probes/similarity.png"];
        let all = || names.into_iter().chain(TABLES.map(|table| table.file));
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        all().for_each(|name| write(name, "one"));
        let seals = of_folder(folder.path()).unwrap();
        assert_eq!(seals.len(), all().count());
        for name in all() {
            write(name, "two");
            let noticed = |care| damages(folder.path(), &seals, care).len();
            let care = Care::for_content(name);
            let counts = (noticed(Care::Lengths), noticed(care), noticed(Care::Everything));
            assert_eq!(counts, (0, 1, 1), "{name}");
            write(name, "one");
        }
    }

    #[test]
    fn a_status_of_another_run_is_told_from_damaged_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let both = |text: &str| [EXPERIMENT, "epochs.csv"].iter().for_each(|name| write(name, text));
        both("one");
        let seals = of_folder(folder.path()).unwrap();
        both("two");
        let found = damages(folder.path(), &seals, Care::Words);
        assert_eq!(found.len(), 3);
        let first = found[0].to_string();
        let expected = "status.json: is of another run, or these files are: epochs.csv, experiment.yaml";
        assert!(first.ends_with(expected), "{first}");
    }
}
