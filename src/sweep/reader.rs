//! Reading a typed form out of a document: every problem is collected with its place.

use serde_json::{Map, Value};

use crate::config::{Document, Located, bare, describe, did_you_mean, renamed};

/// A document, and what is wrong with it so far.
pub(crate) struct Reader<'a> {
    pub document: &'a Document,
    /// What the whole of it is, in messages.
    owner: &'static str,
    pub problems: Vec<Located>,
}

impl<'a> Reader<'a> {
    /// Of a document that is `owner`.
    pub fn of(document: &'a Document, owner: &'static str) -> Self {
        Reader { document, owner, problems: Vec::new() }
    }

    /// Reports the value at `path`.
    pub fn wrong(&mut self, path: &str, message: impl Into<String>, help: impl Into<String>) {
        let span = self.document.places.value(path);
        self.push(span, path, message.into(), help.into());
    }

    fn push(&mut self, span: crate::config::Span, path: &str, message: String, help: String) {
        let help = (!help.is_empty()).then_some(help);
        self.problems.push(Located { span, path: path.into(), message, help });
    }

    /// The mapping at `path`; only the `allowed` keys may stand in it.
    pub fn mapping<'v>(
        &mut self,
        path: &str,
        value: &'v Value,
        allowed: &[&str],
    ) -> Option<&'v Map<String, Value>> {
        let map = self.free_mapping(path, value, "a mapping")?;
        for key in map.keys().filter(|k| !allowed.contains(&k.as_str())) {
            let at = crate::config::join(path, key);
            let owner = if path.is_empty() { self.owner.to_owned() } else { format!("`{path}`") };
            let span = self.document.places.key(&at);
            self.push(span, &at, format!("{owner} has no `{key}`"), did_you_mean(key, allowed));
        }
        Some(map)
    }

    /// The mapping at `path`, whatever its keys.
    pub fn free_mapping<'v>(
        &mut self,
        path: &str,
        value: &'v Value,
        what: &str,
    ) -> Option<&'v Map<String, Value>> {
        let map = value.as_object();
        if map.is_none() {
            self.wrong(path, format!("is {}; expected {what}", describe(value)), "");
        }
        map
    }

    /// The list at `path`, with at least one entry.
    pub fn list<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v Vec<Value>> {
        match value.as_array() {
            Some(items) if items.is_empty() => self.wrong(path, "is empty", "give at least one entry"),
            Some(items) => return Some(items),
            None => self.wrong(path, format!("is {}; expected a list", describe(value)), "write `[a, b]`"),
        }
        None
    }

    pub fn number(&mut self, path: &str, value: &Value) -> Option<f64> {
        let number = value.as_f64();
        if number.is_none() {
            self.wrong(path, format!("is {}; expected a number", describe(value)), "");
        }
        number
    }

    /// A whole number from `low` to `high`; `2e2` counts as one.
    pub fn whole(&mut self, path: &str, value: &Value, low: u64, high: u64) -> Option<u64> {
        let whole = value.as_f64().filter(|x| x.fract() == 0.0 && *x >= 0.0);
        let number = value.as_u64().or(whole.map(|x| x as u64));
        let found = number.filter(|n| (low..=high).contains(n));
        if found.is_none() {
            let range = if high == u64::MAX { format!("at least {low}") } else { format!("{low} to {high}") };
            let given = if value.is_number() { bare(value) } else { describe(value) };
            self.wrong(path, format!("is {given}; allowed: whole numbers, {range}"), "");
        }
        found
    }

    /// One of the `allowed` words.
    pub fn word(&mut self, path: &str, value: &Value, allowed: &[&str]) -> Option<usize> {
        let text = value.as_str().unwrap_or_default();
        let found = allowed.iter().position(|a| *a == text);
        if found.is_none() {
            let help = match renamed(path, text) {
                Some(new) => format!("it is called `{new}` now\nallowed: {}", allowed.join(", ")),
                None => did_you_mean(text, allowed),
            };
            self.wrong(path, format!("is {}", describe(value)), help);
        }
        found
    }

    /// The key at `path` as the name of a group of settings.
    pub fn group_name(&mut self, path: &str, name: &str) -> Option<()> {
        if !is_name(name) {
            let message = format!(
                "is `{name}`; the name of what `zip` walks together is 1 to 80 of the characters a-z, 0-9, - and _"
            );
            self.wrong(path, message, "such as `ema-range: { zip: { ema.start: [...], ema.end: [...] } }`");
        }
        is_name(name).then_some(())
    }

    /// A name for files and rows: 1 to 80 of a-z, 0-9, - and _.
    pub fn name(&mut self, path: &str, value: &Value) -> Option<String> {
        let name = value.as_str().filter(|s| is_name(s));
        if name.is_none() {
            let message =
                format!("is {}; allowed: 1 to 80 of the characters a-z, 0-9, - and _", describe(value));
            self.wrong(path, message, "");
        }
        name.map(str::to_owned)
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    (1..=80).contains(&text.len()) && text.chars().all(allowed)
}
