//! The values of an axis: what each sets in the experiment, and what it is called.

use serde_json::{Map, Value};

use super::reader::Reader;
use crate::config::{Change, bare, join};

/// One value of an axis.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// The axis: a path of the experiment, or the name of a group that is walked together.
    pub axis: String,
    /// What the value is called; none: it speaks for itself.
    pub name: Option<String>,
    /// What it sets: one setting, or one per path of a group.
    pub changes: Vec<Change>,
}

impl Choice {
    /// A value without a name.
    pub fn of(change: Change) -> Self {
        Choice { axis: change.path.clone(), name: None, changes: vec![change] }
    }

    /// The words of an arm's name: `ema=slow`, or `ema.start=0.9,ema.end=1`.
    pub fn label(&self) -> String {
        self.name.as_ref().map_or_else(|| self.key(), |name| format!("{}={name}", self.axis))
    }

    /// The same without names, which are no part of what is run.
    pub fn key(&self) -> String {
        let words = self.changes.iter().map(|c| format!("{}={}", c.path, shown(&c.value.value)));
        words.collect::<Vec<_>>().join(",")
    }

    /// The value as a cell of a table; none where the changes say as much.
    pub fn cell(&self) -> Option<(String, String)> {
        let is_group = self.changes.len() > 1;
        let values = || self.changes.iter().map(|c| shown(&c.value.value)).collect::<Vec<_>>().join(", ");
        let word = self.name.clone().or_else(|| is_group.then(values))?;
        Some((self.axis.clone(), word))
    }
}

/// Listed values, some of them perhaps as `{ name: slow, value: ... }`.
pub(super) fn listed(
    path: &str,
    key: &str,
    values: &Value,
    from: &str,
    reader: &mut Reader,
) -> Option<Vec<Choice>> {
    let items = reader.list(from, values)?;
    let document = reader.document;
    let mut choices: Vec<Choice> = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let at = join(from, &i.to_string());
        let (name, value, place) = match named(&at, item, reader) {
            Some(Some((name, value))) => (Some(name), value, join(&at, "value")),
            Some(None) => (None, item, at.clone()),
            None => continue,
        };
        let same = |c: &&Choice| c.changes[0].value.value == *value;
        if let Some(first) = choices.iter().find(same) {
            let called = first.name.as_ref().map_or(String::new(), |n| format!(", as `{n}`"));
            reader.wrong(&at, format!("the value {} is there twice{called}", shown(value)), "");
        }
        let change = Change::typed(path, document, key, &place, value);
        choices.push(Choice { name, ..Choice::of(change) });
    }
    unlike(&choices, from, reader);
    Some(choices)
}

/// Name and value of a named one; `Some(None)` for a plain value, none for a wrong form, which is reported.
fn named<'v>(at: &str, item: &'v Value, reader: &mut Reader) -> Option<Option<(String, &'v Value)>> {
    // A component has a kind, whatever else it has.
    let is_named = |map: &Map<String, Value>| map.contains_key("name") && !map.contains_key("kind");
    if !item.as_object().is_some_and(is_named) {
        return Some(None);
    }
    let map = reader.mapping(at, item, &["name", "value"])?;
    let name = reader.name(&join(at, "name"), &map["name"]);
    let Some(value) = map.get("value") else {
        reader.wrong(at, "has a name but no `value`", "write `{ name: slow, value: ... }`");
        return None;
    };
    Some(Some((name?, value)))
}

/// Two values must not have one name.
pub(super) fn unlike(choices: &[Choice], from: &str, reader: &mut Reader) {
    for (i, choice) in choices.iter().enumerate() {
        if choice.name.is_some() && choices[..i].iter().any(|c| c.name == choice.name) {
            let name = choice.name.as_deref().unwrap_or_default();
            reader.wrong(&join(from, &i.to_string()), format!("a value above is named `{name}` too"), "");
        }
    }
}

/// One name per value.
pub(super) fn names_of(
    at: &str,
    names: &Value,
    count: usize,
    reader: &mut Reader,
) -> Option<Vec<Option<String>>> {
    let items = reader.list(at, names)?;
    if items.len() != count {
        reader.wrong(at, format!("has {} names for {count} values", items.len()), "give one name per value");
        return None;
    }
    items.iter().enumerate().map(|(i, item)| reader.name(&join(at, &i.to_string()), item).map(Some)).collect()
}

/// A value on one line, as one would type it on the command line.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(k, v)| format!("{k}: {}", shown(v))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Null => "null".into(),
        scalar => bare(scalar),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_as_one_would_type_them() {
        let values =
            [json!(1.0), json!(1e30), json!(2e-6), json!([1, "a"]), json!({"kind": "l2", "x": null})];
        assert_eq!(values.map(|v| shown(&v)), ["1", "1e30", "2e-6", "[1, a]", "{kind: l2, x: null}"]);
    }
}
