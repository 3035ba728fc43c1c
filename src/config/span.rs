//! Where every key and value was written.

use std::{collections::BTreeMap, fmt, sync::Arc};

/// Where something was typed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span {
    /// In a file; line and column count from 1.
    File {
        /// Name as given on the command line or in `extends`.
        name: Arc<str>,
        /// Line.
        line: usize,
        /// Column, in characters.
        column: usize,
    },
    /// On the command line: the whole `key=value`.
    Override(Arc<str>),
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Span::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Span::Override(text) => write!(f, "override `{}`", shown(text)),
        }
    }
}

/// Characters of an override that a message repeats; some are written by the program, such as a list of all probes.
const MOST_SHOWN: usize = 120;

/// An override as a message shows it. The path behind it says which setting is meant.
fn shown(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// Places of one entry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EntrySpans {
    /// Of its key; of the entry itself in a list.
    pub key: Span,
    /// Of its value; of its key for mappings and lists, because a reader looks for the name.
    pub value: Span,
    /// Nothing at all was written as its value; `null` is something.
    pub empty: bool,
}

impl EntrySpans {
    /// An entry that stands at one place, or was computed there.
    pub fn at(span: Span) -> Self {
        EntrySpans { key: span.clone(), value: span, empty: false }
    }
}

/// Places of all entries by dotted path; the whole document has the empty path.
#[derive(Clone, Debug)]
pub(crate) struct SourceMap {
    root: Span,
    spots: BTreeMap<String, EntrySpans>,
}

impl SourceMap {
    /// No entries yet, in a document that starts at `root`.
    pub fn new(root: Span) -> Self {
        SourceMap { root, spots: BTreeMap::new() }
    }

    pub fn insert(&mut self, path: impl Into<String>, spot: EntrySpans) {
        self.spots.insert(path.into(), spot);
    }

    /// Where the key of `path` stands; the nearest parent's for what was not typed.
    pub fn key(&self, path: &str) -> Span {
        self.spot(path).map_or_else(|| self.root.clone(), |s| s.key.clone())
    }

    /// Where the value of `path` stands; the nearest parent's for what was not typed.
    pub fn value(&self, path: &str) -> Span {
        self.spot(path).map_or_else(|| self.root.clone(), |s| s.value.clone())
    }

    /// Whether `path` was typed without a value.
    pub fn is_empty(&self, path: &str) -> bool {
        self.spots.get(path).is_some_and(|s| s.empty)
    }

    /// Replaces everything known at and below `path` by what `other` knows there.
    pub fn replace(&mut self, path: &str, other: &SourceMap) {
        self.spots.retain(|p, _| !is_within(p, path));
        let taken = other.spots.iter().filter(|(p, _)| is_within(p, path));
        self.spots.extend(taken.map(|(p, s)| (p.clone(), s.clone())));
    }

    /// What is known at and below `from`, as if it stood at `to`.
    pub fn moved(&self, from: &str, to: &str) -> SourceMap {
        let mut moved = SourceMap::new(self.key(from));
        for (path, spot) in self.spots.iter().filter(|(p, _)| is_within(p, from)) {
            moved.insert(join(to, path[from.len()..].trim_start_matches('.')), spot.clone());
        }
        moved
    }

    /// Takes over the place of `path` alone.
    pub fn adopt(&mut self, path: &str, other: &SourceMap) {
        if let Some(spot) = other.spots.get(path) {
            self.spots.insert(path.into(), spot.clone());
        }
    }

    /// Takes over the place of the whole document.
    pub fn adopt_root(&mut self, other: &SourceMap) {
        self.root = other.root.clone();
    }

    fn spot(&self, path: &str) -> Option<&EntrySpans> {
        let mut path = path;
        loop {
            if let Some(spot) = self.spots.get(path) {
                return Some(spot);
            }
            path = &path[..path.rfind('.')?];
        }
    }
}

/// Joins two dotted paths, either of which may be empty.
pub(crate) fn join(parent: &str, child: &str) -> String {
    match (parent.is_empty(), child.is_empty()) {
        (true, _) => child.into(),
        (_, true) => parent.into(),
        _ => format!("{parent}.{child}"),
    }
}

fn is_within(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(line: usize) -> Span {
        Span::File { name: "a.yaml".into(), line, column: 1 }
    }

    #[test]
    fn a_long_override_is_shown_by_its_start() {
        let long = Span::Override(format!("probes={}", "é".repeat(200)).into());
        assert_eq!(long.to_string(), format!("override `probes={}…`", "é".repeat(113)));
        assert_eq!(Span::Override("seed=1".into()).to_string(), "override `seed=1`");
    }

    #[test]
    fn what_was_not_typed_is_found_at_its_parent() {
        let mut places = SourceMap::new(span(1));
        places.insert("encoder", EntrySpans::at(span(3)));
        assert_eq!(places.value("encoder.depth"), span(3));
        assert_eq!(places.value("loss"), span(1));
    }

    #[test]
    fn replacing_leaves_namesakes_alone() {
        let mut places = SourceMap::new(span(1));
        for (path, line) in [("a", 1), ("a.x", 2), ("ab", 3)] {
            places.insert(path, EntrySpans::at(span(line)));
        }
        places.replace("a", &SourceMap::new(span(9)));
        assert_eq!((places.key("a.x"), places.key("ab")), (span(1), span(3)));
    }
}
