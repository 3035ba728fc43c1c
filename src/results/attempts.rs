//! `attempts/INDEX-N.json` of a sweep folder: one file per attempt of an engine's task at a run.
//!
//! A file is made when the attempt starts and replaced when it ends: an attempt that never says how it ended
//! was killed together with the process that watched it, or its machine is gone.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{FileError, read, write_atomic};

/// Folder of the attempts in a sweep folder.
const ATTEMPTS: &str = "attempts";

/// One attempt at a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it started (RFC 3339, UTC).
    pub started_at: String,
    /// Name of the machine.
    pub host: String,
    /// The engine's task, such as `slurm 7_3`; empty without an engine.
    pub task: String,
    /// Compute threads.
    pub threads: usize,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<String>,
    /// Exit code of its class: 0, 1, 2, 3 or 75.
    #[serde(default)]
    pub exit: Option<u8>,
    /// Why it failed.
    #[serde(default)]
    pub reason: String,
}

/// The attempts at a run of a sweep.
pub struct Attempts {
    folder: PathBuf,
    index: usize,
}

/// An attempt under way.
pub struct OpenAttempt {
    /// From 1.
    pub number: usize,
    path: PathBuf,
    attempt: Attempt,
}

impl Attempts {
    /// Of the run `index` in the sweep folder `sweep`.
    pub fn of(sweep: &Path, index: usize) -> Self {
        Attempts { folder: sweep.join(ATTEMPTS), index }
    }

    fn path(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{}-{number}.json", self.index))
    }

    /// All attempts, oldest first.
    pub fn read(&self) -> Result<Vec<Attempt>, FileError> {
        let one = |number: usize| -> Option<Result<Attempt, FileError>> {
            let path = self.path(number);
            let text = read::text(&path).transpose()?;
            let parsed = |text: String| match text.as_str() {
                // Made this moment, not yet written.
                "" => Ok(Attempt::default()),
                text => serde_json::from_str(text)
                    .map_err(|e| FileError::at(&path, None, format!("is no attempt: {e}"))),
            };
            Some(text.and_then(parsed))
        };
        (1..).map_while(one).collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        (1..).take_while(|number| self.path(*number).exists()).count()
    }

    /// Begins the next one. Two processes never get the same number.
    pub fn begin(&self, attempt: Attempt) -> io::Result<OpenAttempt> {
        fs::create_dir_all(&self.folder)?;
        for number in self.count() + 1.. {
            let path = self.path(number);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => {
                    file.write_all(&bytes(&attempt)?)?;
                    return Ok(OpenAttempt { number, path, attempt });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        unreachable!("some number is free")
    }
}

impl OpenAttempt {
    /// Writes how it ended.
    pub fn end(mut self, ended_at: String, exit: u8, reason: &str) -> io::Result<()> {
        self.attempt.ended_at = Some(ended_at);
        self.attempt.exit = Some(exit);
        self.attempt.reason = reason.into();
        write_atomic(&self.path, &bytes(&self.attempt)?)
    }
}

fn bytes(attempt: &Attempt) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(attempt).map_err(io::Error::other)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_and_say_how_they_ended() {
        let sweep = tempfile::tempdir().unwrap();
        let attempts = Attempts::of(sweep.path(), 3);
        assert_eq!(attempts.read(), Ok(Vec::new()));
        let open = attempts.begin(Attempt { threads: 2, ..Attempt::default() }).unwrap();
        let other = attempts.begin(Attempt::default()).unwrap();
        assert_eq!((open.number, other.number), (1, 2));
        open.end("now".into(), 75, "asked to stop").unwrap();
        let all = attempts.read().unwrap();
        assert_eq!((all[0].exit, all[0].threads, all[1].exit), (Some(75), 2, None));
        assert_eq!(Attempts::of(sweep.path(), 33).count(), 0);
    }
}
