//! How a run stands.

use serde::{Deserialize, Serialize};

use super::Cell;

/// State of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// All steps and probes are done.
    Done,
    /// The loss or a gradient was not finite.
    Diverged,
    /// A collapse rule of the experiment applied.
    Collapsed,
    /// An error ended it.
    Failed,
    /// Asked to stop; a checkpoint holds everything.
    Stopped,
    /// Its process is gone without a word; it continues from its last checkpoint.
    Interrupted,
    /// A process works on it.
    Running,
    /// Nothing of it exists yet.
    #[default]
    Pending,
    /// Its files cannot be read.
    Unreadable,
}

impl RunState {
    /// All states, in the order in which they are told.
    pub const ALL: [RunState; 9] = [
        RunState::Done,
        RunState::Diverged,
        RunState::Collapsed,
        RunState::Failed,
        RunState::Stopped,
        RunState::Interrupted,
        RunState::Running,
        RunState::Pending,
        RunState::Unreadable,
    ];

    /// The word for it, in files and for people.
    pub fn name(self) -> &'static str {
        match self {
            RunState::Done => "done",
            RunState::Diverged => "diverged",
            RunState::Collapsed => "collapsed",
            RunState::Failed => "failed",
            RunState::Stopped => "stopped",
            RunState::Interrupted => "interrupted",
            RunState::Running => "running",
            RunState::Pending => "pending",
            RunState::Unreadable => "unreadable",
        }
    }

    /// The state that a word stands for.
    pub fn of(word: &str) -> Option<Self> {
        RunState::ALL.into_iter().find(|state| state.name() == word)
    }

    /// It came to its end: nothing is left to compute.
    pub fn is_over(self) -> bool {
        self == RunState::Done || self.is_broken()
    }

    /// It broke down: no value of it counts.
    pub fn is_broken(self) -> bool {
        matches!(self, RunState::Diverged | RunState::Collapsed)
    }
}

impl std::fmt::Display for RunState {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl Cell for RunState {
    const WANTED: &'static str = "a state of a run";
    fn text(&self) -> String {
        self.name().into()
    }
    fn read(text: &str) -> Option<Self> {
        RunState::of(text)
    }
    fn as_number(&self) -> Option<f64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_state_is_its_word_in_files() {
        for state in RunState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
            assert_eq!(RunState::of(state.name()), Some(state));
        }
    }
}
