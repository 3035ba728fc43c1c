//! What can be wrong with the inputs of a comparison.

use std::{fmt, path::Path};

use ijepa_registry::problem::nearest;

use crate::results::FileError;

/// Why there is nothing to compare; printed as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnalysisError {
    message: String,
    help: Option<String>,
}

impl AnalysisError {
    /// A mistake in what was asked for.
    pub fn new(message: impl Into<String>) -> Self {
        AnalysisError { message: message.into(), help: None }
    }

    /// A mistake in a file, and the line if it is known.
    pub(super) fn at(path: &Path, line: Option<u64>, message: impl fmt::Display) -> Self {
        let line = line.map_or(String::new(), |l| format!(":{l}"));
        AnalysisError::new(format!("{}{line}: {message}", path.display()))
    }

    /// Adds what to do about it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what else is known to the help, the first few lines of it.
    pub(super) fn also(mut self, lines: &[String]) -> Self {
        const MOST: usize = 3;
        let more = lines.len().saturating_sub(MOST);
        let rest = (more > 0).then(|| format!("and {more} more"));
        let help = self.help.take().into_iter().chain(lines.iter().take(MOST).cloned()).chain(rest);
        let help = help.collect::<Vec<_>>().join("\n        ");
        self.help = (!help.is_empty()).then_some(help);
        self
    }

    /// `word` is none of `known`: the nearest spelling and all that would do.
    pub(super) fn unknown(what: &str, word: &str, known: &[String]) -> Self {
        let close = nearest(word, known.iter().map(String::as_str));
        let question =
            if close.is_empty() { String::new() } else { format!("did you mean {}? ", close.join(" or ")) };
        let all = if known.is_empty() { "none".into() } else { known.join(", ") };
        AnalysisError::new(format!("there is no {what} `{word}`")).help(format!("{question}there are: {all}"))
    }
}

impl From<FileError> for AnalysisError {
    fn from(error: FileError) -> Self {
        AnalysisError::new(error.to_string())
    }
}

impl fmt::Display for AnalysisError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "\n  help: {help}"))
    }
}

impl std::error::Error for AnalysisError {}
