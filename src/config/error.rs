//! Everything that is wrong with a configuration, each with its place.

use std::fmt;

use ijepa_registry::problem::Problem;

use super::place::{Place, Places, join};

/// One problem and where it was typed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Located {
    /// File and position, or the override.
    pub place: Place,
    /// Dotted path from the top of the experiment; empty for the file itself.
    pub path: String,
    /// What is wrong, with the value given and the values allowed.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.message)?;
        let help = self.help.iter().flat_map(|h| h.lines());
        help.enumerate().try_for_each(|(i, line)| {
            let label = if i == 0 { "help:" } else { "     " };
            write!(f, "\n  {label} {line}")
        })
    }
}

/// All problems of a configuration at once, in the order of their places.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.render())]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Located>,
}

impl ConfigError {
    /// Sorts the problems by place.
    pub(crate) fn new(mut problems: Vec<Located>) -> Self {
        problems.sort();
        problems.dedup();
        ConfigError { problems }
    }

    fn render(&self) -> String {
        self.problems.iter().map(Located::to_string).collect::<Vec<_>>().join("\n")
    }
}

/// A problem, and whether it is the key or the value that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub at_key: bool,
    pub problem: Problem,
}

impl From<Problem> for Finding {
    fn from(problem: Problem) -> Self {
        Finding { at_key: false, problem }
    }
}

/// Collects problems and gives each its place.
pub(crate) struct Report<'a> {
    places: &'a Places,
    problems: Vec<Located>,
}

impl<'a> Report<'a> {
    /// Starts with problems found earlier.
    pub fn new(places: &'a Places, problems: Vec<Located>) -> Self {
        Report { places, problems }
    }

    /// Files a finding whose path is relative to `owner`.
    pub fn add(&mut self, owner: &str, finding: impl Into<Finding>) {
        let Finding { at_key, problem } = finding.into();
        let path = join(owner, &problem.path);
        let place = if at_key { self.places.key(&path) } else { self.places.value(&path) };
        self.problems.push(Located { place, path, message: problem.message, help: problem.help });
    }

    /// Files all findings of `owner`; true if there were none.
    pub fn clean<F: Into<Finding>>(&mut self, owner: &str, findings: impl IntoIterator<Item = F>) -> bool {
        let before = self.problems.len();
        findings.into_iter().for_each(|f| self.add(owner, f));
        self.problems.len() == before
    }

    /// Whether `path` itself was reported.
    pub fn mentions(&self, path: &str) -> bool {
        self.problems.iter().any(|p| p.path == path)
    }

    /// Nothing if nothing was reported.
    pub fn into_result(self) -> Result<(), ConfigError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigError::new(self.problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_place_path_message_and_help() {
        let place = Place::File { name: "a.yaml".into(), line: 3, column: 5 };
        let help = Some("one\ntwo".into());
        let located = Located { place, path: "loss.beta".into(), message: "is 0".into(), help };
        assert_eq!(located.to_string(), "a.yaml:3:5: loss.beta: is 0\n  help: one\n        two");
    }
}
