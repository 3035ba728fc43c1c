//! `status.json`: how far a run is and how it ended.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

/// State of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A process works on it, or was killed while it did.
    Running,
    /// Asked to stop; a checkpoint holds everything.
    Stopped,
    /// All steps and probes are done.
    Done,
    /// The loss or a gradient was not finite.
    Diverged,
    /// A collapse rule of the experiment applied.
    Collapsed,
    /// An error ended it.
    Failed,
}

impl State {
    /// The word in `status.json`.
    pub fn name(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Stopped => "stopped",
            State::Done => "done",
            State::Diverged => "diverged",
            State::Collapsed => "collapsed",
            State::Failed => "failed",
        }
    }
}

/// Content of `status.json`, replaced atomically.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// State of the run.
    pub state: State,
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
    /// The last status written in a run folder, if any can be read.
    pub fn read(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join("status.json")).ok()?;
        serde_json::from_str(&text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_state_is_its_word_in_the_file() {
        for state in
            [State::Running, State::Stopped, State::Done, State::Diverged, State::Collapsed, State::Failed]
        {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }
}
