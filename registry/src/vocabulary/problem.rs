//! One thing that is wrong with a configuration.

/// A configuration error. The configuration layer adds file, line and column from `path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted path of the offending setting, relative to the component (`target_scale.1`); empty
    /// for the component itself.
    pub path: String,
    /// What is wrong, with the value given and the values allowed.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// A value that would do, as YAML: shown as the line to type.
    pub instead: Option<String>,
}

impl Problem {
    /// A problem of the setting at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { path: path.into(), message: message.into(), help: None, instead: None }
    }
    /// Adds what to do about it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
    /// Adds a value that would do.
    pub fn instead(mut self, value: impl std::fmt::Display) -> Self {
        self.instead = Some(value.to_string());
        self
    }
}

/// The candidates that `word` most likely meant: at most three, best first; none for garbage.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    let mut close: Vec<(usize, &str)> = candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(word, c), c))
        .filter(|&(d, c)| d <= limit || strsim::jaro_winkler(word, c) >= 0.88)
        .collect();
    close.sort();
    close.into_iter().take(3).map(|(_, c)| c).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn suggests_typos_and_stays_silent_on_garbage() {
        assert_eq!(nearest("multiblok", ["multiblock", "random"]), ["multiblock"]);
        assert!(nearest("xyzzy", ["multiblock", "random"]).is_empty());
    }
}
