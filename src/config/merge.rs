//! Layers a document over another: the file over the file it extends, an override over the file.

use ijepa_registry::catalogue;
use serde_json::{Map, Value};

use super::{
    document::Document,
    sections::{COMPONENT_LISTS, COMPONENTS, Section, WEIGHT},
    span::{EntrySpans, SourceMap, join},
};

/// Whether a component stands at `path`, such as `masking` or `probes.0`.
pub(crate) fn is_component(path: &str) -> bool {
    component_at(path).is_some()
}

/// The section of the component at `path`.
fn component_at(path: &str) -> Option<&'static Section> {
    let in_list = |list: &str| {
        let rest = path.strip_prefix(list).and_then(|r| r.strip_prefix('.'));
        rest.is_some_and(|r| !r.is_empty() && r.bytes().all(|b| b.is_ascii_digit()))
    };
    let weight = path.strip_prefix("regularizers.").and_then(|rest| rest.strip_suffix(".weight"));
    if weight.is_some_and(|place| place.bytes().all(|b| b.is_ascii_digit())) {
        return Some(&WEIGHT);
    }
    let alone = COMPONENTS.iter().find(|c| c.section == path);
    alone.or_else(|| COMPONENT_LISTS.iter().find(|c| in_list(c.section)))
}

/// Writes every bare component name out as `{ kind: name }`, and every bare number as the component that
/// takes one, so that all layers look alike.
pub(crate) fn expand_names(document: &mut Document) {
    let Document { value: Value::Object(sections), places } = document else { return };
    for (section, value) in sections.iter_mut() {
        expand(section, value, places);
    }
}

/// Writes a bare name at `path` out, if a component stands there, or those of a list of components.
pub(crate) fn expand(path: &str, value: &mut Value, places: &mut SourceMap) {
    match value {
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                let path = join(path, &i.to_string());
                expand_name(&path, item, places);
                if let Some(weight) = item.get_mut(WEIGHT.section) {
                    expand_name(&join(&path, WEIGHT.section), weight, places);
                }
            }
        }
        _ => expand_name(path, value, places),
    }
}

fn expand_name(path: &str, value: &mut Value, places: &mut SourceMap) {
    let Some(part) = component_at(path) else { return };
    let expanded: Vec<(String, Value)> = match value {
        Value::String(kind) => vec![("kind".into(), std::mem::take(kind).into())],
        Value::Number(number) => match catalogue::of_number(part.kind) {
            Some((kind, setting)) => {
                vec![("kind".into(), kind.into()), (setting.into(), number.clone().into())]
            }
            None => return,
        },
        _ => return,
    };
    let at = places.value(path);
    expanded.iter().for_each(|(key, _)| places.insert(join(path, key), EntrySpans::at(at.clone())));
    *value = Value::Object(Map::from_iter(expanded));
}

/// Lays `over` on `base`: mappings merge key by key; lists, scalars and components of another
/// kind replace. Both have their names expanded.
pub(crate) fn merge(base: &mut Document, over: Document, written_short: &[String]) {
    base.places.adopt_root(&over.places);
    let mut layer = Layer { base: &mut base.places, over: &over.places, written_short };
    layer.lay("", &mut base.value, over.value);
}

struct Layer<'a> {
    base: &'a mut SourceMap,
    over: &'a SourceMap,
    written_short: &'a [String],
}

impl Layer<'_> {
    fn lay(&mut self, path: &str, base: &mut Value, over: Value) {
        match (base, over) {
            (Value::Object(base), Value::Object(over)) if !self.replaces(path, base, &over) => {
                self.base.adopt(path, self.over);
                for (key, value) in over {
                    let child = join(path, &key);
                    match base.get_mut(&key) {
                        Some(old) => self.lay(&child, old, value),
                        None => {
                            self.base.replace(&child, self.over);
                            base.insert(key, value);
                        }
                    }
                }
            }
            (base, over) => {
                self.base.replace(path, self.over);
                *base = over;
            }
        }
    }

    /// A component of another kind has other settings; a bare name asks for the defaults.
    fn replaces(&self, path: &str, base: &Map<String, Value>, over: &Map<String, Value>) -> bool {
        let other_kind = over.get("kind").is_some_and(|k| base.get("kind") != Some(k));
        is_component(path) && (other_kind || self.written_short.iter().any(|p| p == path))
    }
}

/// Paths of the components written as a bare name or number.
pub(crate) fn short_names(document: &Document) -> Vec<String> {
    let sections = document.value.as_object().into_iter().flatten();
    sections
        .filter(|(k, v)| (v.is_string() || v.is_number()) && is_component(k))
        .map(|(k, _)| k.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn layered(base: &str, over: &str) -> Document {
        let read = |name, text| Document::from_file(name, text).expect("valid");
        let (mut base, mut over) = (read("base.yaml", base), read("over.yaml", over));
        let short = short_names(&over);
        expand_names(&mut base);
        expand_names(&mut over);
        merge(&mut base, over, &short);
        base
    }

    #[test]
    fn mappings_merge_and_lists_replace() {
        let doc = layered("train: {a: 1, b: 2}\nprobes: [x, y]", "train: {b: 3}\nprobes: [z]");
        assert_eq!(doc.value, json!({"train": {"a": 1, "b": 3}, "probes": [{"kind": "z"}]}));
        assert_eq!(doc.places.value("train.a").to_string(), "base.yaml:1:12");
        assert_eq!(doc.places.value("train.b").to_string(), "over.yaml:1:12");
        assert_eq!(doc.places.value("probes.1").to_string(), "over.yaml:2:1");
    }

    #[test]
    fn a_component_of_another_kind_replaces() {
        let base = "masking: {kind: a, x: 1}";
        let masking = |over| layered(base, over).value["masking"].clone();
        assert_eq!(masking("masking: {kind: b, y: 2}"), json!({"kind": "b", "y": 2}));
        assert_eq!(masking("masking: {kind: a, y: 2}"), json!({"kind": "a", "x": 1, "y": 2}));
        assert_eq!(masking("masking: {y: 2}"), json!({"kind": "a", "x": 1, "y": 2}));
        assert_eq!(masking("masking: a"), json!({"kind": "a"}));
    }
}
