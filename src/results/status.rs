//! `status.json`: how far a run is, how it ended, and what its files held then.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    FileError, RunState, STATUS, read,
    run_files::has_begun,
    seal::{self, Care, Seal, Seals},
    write_atomic,
};

/// The form of this file; 0.1.0 did not say, and had no seals.
const FORMAT: u64 = 2;

/// Key of the hash over everything else in the file.
const SEAL: &str = "seal";

/// Content of `status.json`, replaced atomically.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Form of the file; 0: that of version 0.1.0.
    #[serde(default)]
    format: u64,
    /// State of the run when this was written.
    pub state: RunState,
    /// Why it ended as it did; empty for `running` and `done`.
    #[serde(default)]
    pub reason: String,
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Fingerprint of the data it was trained on.
    #[serde(default)]
    pub data: String,
    /// Fingerprint of the training images alone; empty in folders of version 0.1.0.
    #[serde(default)]
    pub data_train: String,
    /// Fingerprint of the test images alone: numbers are comparable if these are equal.
    #[serde(default)]
    pub data_test: String,
    /// Seals of the files that a run leaves at its end, and of the tables of a stopped one; empty while it runs.
    #[serde(default, skip_serializing_if = "Seals::is_empty")]
    pub files: Seals,
    /// Seals of the files that were given up to free room, on request; they are missed no more.
    #[serde(default, skip_serializing_if = "Seals::is_empty")]
    pub freed: Seals,
}

impl Status {
    /// A status of a run that goes on.
    pub fn new(state: RunState, reason: &str, [step, steps]: [u64; 2], data: &str) -> Self {
        let (reason, data) = (reason.into(), data.into());
        Status { format: FORMAT, state, reason, step, steps, data, ..Status::default() }
    }

    /// The same with the fingerprints of the training images and of the test images.
    pub fn of_splits(self, [data_train, data_test]: [String; 2]) -> Self {
        Status { data_train, data_test, ..self }
    }

    /// The last status written in a run folder; none if there never was one.
    pub fn read(folder: &Path) -> Result<Option<Self>, FileError> {
        let path = folder.join(STATUS);
        let Some(text) = read::text(&path)? else { return Ok(None) };
        let wrong =
            |e: serde_json::Error| FileError::at(&path, Some(e.line() as u64), format!("is no status: {e}"));
        let status: Status = serde_json::from_str(&text).map_err(wrong)?;
        let mut value: Value = serde_json::from_str(&text).map_err(wrong)?;
        let written = value.as_object_mut().and_then(|object| object.shift_remove(SEAL));
        let fits = written.as_ref().is_some_and(|seal| *seal == hash(&value));
        let unsealed = written.is_none() && status.format == 0;
        if fits || unsealed {
            return Ok(Some(status));
        }
        Err(FileError::at(&path, None, "was changed after the run wrote it"))
    }

    /// The same for whoever reads a run without continuing it: a run that has begun has a status, and without
    /// it nobody knows how it stands.
    pub fn expected(folder: &Path) -> Result<Option<Self>, FileError> {
        match Status::read(folder)? {
            None if has_begun(folder) => Err(seal::missing(&folder.join(STATUS))),
            status => Ok(status),
        }
    }

    /// The same in the form of this version, with the seals of its files.
    pub fn sealing(self, files: Seals) -> Self {
        Status { format: FORMAT, files, ..self }
    }

    /// The same after the file `name` was given up: it is no part of what the run left, and what it was is kept.
    pub fn without(mut self, name: &str, seal: Seal) -> Self {
        self.files.remove(name);
        self.freed.insert(name.into(), seal);
        self
    }

    /// The same before files of these names change: until it is sealed anew, it vouches for none of them.
    pub fn unsealing(mut self, names: &[&str]) -> Self {
        self.files.retain(|name, _| !names.contains(&name.as_str()));
        self
    }

    /// Replaces the status of a run folder.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let mut value = serde_json::to_value(self).map_err(io::Error::other)?;
        value[SEAL] = hash(&value).into();
        let text = serde_json::to_string_pretty(&value).map_err(io::Error::other)?;
        write_atomic(&folder.join(STATUS), (text + "\n").as_bytes())
    }

    /// Whether this run came to its end without seals, as version 0.1.0 left it.
    pub fn is_unsealed(&self) -> bool {
        self.state.is_over() && self.files.is_empty()
    }

    /// The seal of a file, if this vouches for it.
    pub fn seal_of(&self, name: &str) -> Option<&Seal> {
        self.files.get(name)
    }

    /// What is wrong with the files that this vouches for, looked at with so much care.
    pub fn damages(&self, folder: &Path, care: Care) -> Vec<FileError> {
        seal::damages(folder, &self.files, care)
    }
}

fn hash(value: &Value) -> String {
    blake3::hash(value.to_string().as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_about_to_change_are_vouched_for_by_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        ["probes.csv", "epochs.csv"].into_iter().for_each(|name| write(name, "one"));
        let files = seal::of_folder(folder.path()).unwrap();
        let status = Status::new(RunState::Done, "", [8, 8], "abc").sealing(files);
        let damages = |status: &Status| status.damages(folder.path(), Care::Everything).len();
        write("probes.csv", "two");
        assert_eq!((damages(&status), damages(&status.clone().unsealing(&["probes.csv"]))), (1, 0));
        write("epochs.csv", "two");
        assert_eq!(damages(&status.unsealing(&["probes.csv", "run.json"])), 1);
    }

    #[test]
    fn a_changed_status_is_refused_and_an_old_one_read() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Status::read(folder.path()), Ok(None));
        let status = Status::new(RunState::Stopped, "asked to stop", [8, 12], "abc");
        status.write(folder.path()).unwrap();
        assert_eq!(Status::read(folder.path()), Ok(Some(status)));
        let path = folder.path().join(STATUS);
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to) in [("8", "9"), ("\"seal\"", "\"sael\""), ("stopped", "running")] {
            std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
            let error = Status::read(folder.path()).unwrap_err().to_string();
            assert!(error.ends_with("was changed after the run wrote it"), "{error}");
        }
        std::fs::write(&path, r#"{"state": "done", "step": 8, "steps": 8}"#).unwrap();
        assert!(Status::read(folder.path()).unwrap().unwrap().is_unsealed());
    }
}
