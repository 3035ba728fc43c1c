//! `engine/submissions.json` of a sweep folder: what was handed to which engine.

use std::{collections::BTreeSet, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::results::{FileError, read, write_atomic};

/// Name of the file, in the folder of the engine.
const FILE: &str = "submissions.json";

/// An array of tasks that an engine took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// Name of the engine.
    pub engine: String,
    /// Its name for the job.
    pub job: String,
    /// Numbers of the tasks in the plan.
    pub tasks: BTreeSet<usize>,
    /// What is taken from a number for the engine.
    pub offset: usize,
    /// Runs per task.
    pub pack: usize,
    /// When (RFC 3339, UTC).
    pub submitted_at: String,
}

impl Submission {
    /// The runs that it carries out.
    pub fn has_run(&self, run: usize) -> bool {
        self.tasks.contains(&(run / self.pack.max(1)))
    }
}

/// All of a sweep, oldest first.
pub fn read_all(engine_folder: &Path) -> Result<Vec<Submission>, FileError> {
    let path = engine_folder.join(FILE);
    let Some(text) = read::text(&path)? else { return Ok(Vec::new()) };
    serde_json::from_str(&text)
        .map_err(|e| FileError::at(&path, Some(e.line() as u64), format!("is no list of submissions: {e}")))
}

/// Adds some. Only whoever holds the sweep folder does this.
pub fn add(engine_folder: &Path, new: &[Submission]) -> io::Result<()> {
    fs::create_dir_all(engine_folder)?;
    let mut all = read_all(engine_folder).map_err(io::Error::other)?;
    all.extend(new.iter().cloned());
    let text = serde_json::to_string_pretty(&all).map_err(io::Error::other)?;
    write_atomic(&engine_folder.join(FILE), (text + "\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submissions_are_kept_in_order() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_all(folder.path()), Ok(Vec::new()));
        let one = |job: &str| Submission {
            engine: "slurm".into(),
            job: job.into(),
            tasks: [0, 2].into(),
            offset: 0,
            pack: 4,
            submitted_at: String::new(),
        };
        add(folder.path(), &[one("7")]).unwrap();
        add(folder.path(), &[one("8")]).unwrap();
        assert_eq!(read_all(folder.path()), Ok(vec![one("7"), one("8")]));
        assert!(one("7").has_run(3) && !one("7").has_run(4) && one("7").has_run(11));
    }
}
