//! Everything that is wrong with a configuration, each with its place.

use std::{collections::BTreeMap, fmt};

use ijepa_registry::problem::Problem;

use super::{
    span::{SourceMap, Span, join},
    surroundings::{Models, Variables},
};

/// One problem and where it was typed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Located {
    /// File and position, or the override.
    pub span: Span,
    /// Dotted path from the top of the experiment; empty for the file itself.
    pub path: String,
    /// What is wrong, with the value given and the values allowed.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: ", self.span)?;
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

/// What is said of a section that is not there, and the start of what is said of a key that is none.
pub(crate) const MISSING_SECTION: &str = "this section is missing";
pub(crate) const UNKNOWN_SECTION: &str = "there is no section";

/// Messages of the same words that are printed.
const MOST_EQUAL: usize = 50;

/// Messages that are printed in all.
const MOST_SHOWN: usize = 200;

/// All problems of a configuration at once, in the order of their places.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.render())]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Located>,
}

impl ConfigError {
    /// Sorts the problems by place; a misspelled section comes before those that are missing, perhaps for it.
    pub(crate) fn new(mut problems: Vec<Located>) -> Self {
        let misspelled = problems.iter().any(|p| p.message.starts_with(UNKNOWN_SECTION));
        let last = |p: &Located| misspelled && p.message == MISSING_SECTION;
        problems.sort_by(|a, b| (last(a), a).cmp(&(last(b), b)));
        problems.dedup();
        ConfigError { problems }
    }

    /// Equal messages and all messages are cut: nobody reads the same sentence 20,000 times.
    fn render(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut lines: Vec<String> = Vec::new();
        for problem in &self.problems {
            let count = counts.entry(&problem.message).or_default();
            *count += 1;
            if *count <= MOST_EQUAL && lines.len() < MOST_SHOWN {
                lines.push(problem.to_string());
            }
        }
        match self.problems.len() - lines.len() {
            0 => {}
            more => lines.push(format!("and {more} more")),
        }
        lines.join("\n")
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
    places: &'a SourceMap,
    problems: Vec<Located>,
    variables: Variables,
    models: Option<Models>,
    /// Sections that a misspelled key stands for.
    misspelled: Vec<&'static str>,
}

impl<'a> Report<'a> {
    /// Starts with problems found earlier.
    pub fn new(places: &'a SourceMap, problems: Vec<Located>) -> Self {
        Report { places, problems, variables: Variables::default(), models: None, misspelled: Vec::new() }
    }

    /// What variables in the paths stand for that are read on the way.
    pub fn with_variables(self, variables: &Variables) -> Self {
        Report { variables: variables.clone(), ..self }
    }

    /// Who looks at weights and models.
    pub fn with_models(self, models: Option<Models>) -> Self {
        Report { models, ..self }
    }

    /// Sections that are there under another name: they are not missed.
    pub fn with_misspelled(self, misspelled: Vec<&'static str>) -> Self {
        Report { misspelled, ..self }
    }

    /// Whether `section` is one of [`Report::with_misspelled`].
    pub fn is_misspelled(&self, section: &str) -> bool {
        self.misspelled.contains(&section)
    }

    /// Those of [`Report::with_variables`].
    pub fn variables(&self) -> Variables {
        self.variables.clone()
    }

    /// That of [`Report::with_models`].
    pub fn models(&self) -> Option<Models> {
        self.models.clone()
    }

    /// Files a finding whose path is relative to `owner`.
    pub fn add(&mut self, owner: &str, finding: impl Into<Finding>) {
        let Finding { at_key, problem } = finding.into();
        let path = join(owner, &problem.path);
        let span = if at_key { self.places.key(&path) } else { self.places.value(&path) };
        let line = problem.instead.map(|value| to_type(&span, &path, &value));
        let help = [problem.help, line].into_iter().flatten().collect::<Vec<_>>();
        let help = (!help.is_empty()).then(|| help.join("\n"));
        self.problems.push(Located { span, path, message: problem.message, help });
    }

    /// Whether nothing is wrong so far.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Where `path` stands.
    pub fn span(&self, path: &str) -> Span {
        self.places.value(path)
    }

    /// Whether `path` was typed without a value.
    pub fn was_left_empty(&self, path: &str) -> bool {
        self.places.is_empty(path)
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

/// The line that sets `path` to `value`, as it would be typed where the mistake is.
fn to_type(span: &Span, path: &str, value: &str) -> String {
    let key = path.rsplit('.').next().unwrap_or_default();
    let is_entry = key.bytes().all(|b| b.is_ascii_digit());
    match span {
        Span::Override(_) if value.contains([' ', '[', '{']) => format!("write '{path}={value}'"),
        Span::Override(_) => format!("write {path}={value}"),
        Span::File { .. } if is_entry => format!("write `{value}`"),
        Span::File { .. } => format!("write `{key}: {value}`, or {path}={value} on the command line"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(line: usize, message: &str) -> Located {
        let span = Span::File { name: "a.yaml".into(), line, column: 1 };
        Located { span, path: String::new(), message: message.into(), help: None }
    }

    #[test]
    fn equal_messages_are_cut_and_counted() {
        let mut problems: Vec<Located> = (1..=20_000).map(|line| located(line, "again")).collect();
        problems.push(located(30_000, "another"));
        let text = ConfigError::new(problems).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[50], lines[51]), (52, "a.yaml:30000:1: another", "and 19950 more"));
    }

    #[test]
    fn the_line_to_type_suits_where_the_mistake_is() {
        let file = located(1, "").span;
        let over = Span::Override("a.b=1".into());
        assert_eq!(to_type(&file, "a.b", "2"), "write `b: 2`, or a.b=2 on the command line");
        assert_eq!(to_type(&over, "a.b", "2"), "write a.b=2");
        assert_eq!(to_type(&over, "a", "{ kind: x }"), "write 'a={ kind: x }'");
    }

    #[test]
    fn renders_place_path_message_and_help() {
        let span = Span::File { name: "a.yaml".into(), line: 3, column: 5 };
        let help = Some("one\ntwo".into());
        let located = Located { span, path: "loss.beta".into(), message: "is 0".into(), help };
        assert_eq!(located.to_string(), "a.yaml:3:5: loss.beta: is 0\n  help: one\n        two");
    }
}
