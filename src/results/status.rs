//! `status.json`: how far a run is and how it ended.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{FileError, RunState, STATUS, read};

/// Content of `status.json`, replaced atomically.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
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
}

impl Status {
    /// The last status written in a run folder; none if there never was one.
    pub fn read(folder: &Path) -> Result<Option<Self>, FileError> {
        let path = folder.join(STATUS);
        let Some(text) = read::text(&path)? else { return Ok(None) };
        let wrong =
            |e: serde_json::Error| FileError::at(&path, Some(e.line() as u64), format!("is no status: {e}"));
        serde_json::from_str(&text).map(Some).map_err(wrong)
    }
}
