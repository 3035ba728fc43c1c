//! A section of the file to a built component.

use std::fmt::Debug;

use ijepa_registry::{
    catalogue::{self, Listing},
    entry::{Entry, Kind, schema_of},
    problem::{Problem, nearest},
};
use serde_json::{Map, Value};

use super::{
    document::describe,
    error::Report,
    init::InitSettings,
    sections::{COMPONENT_LISTS, COMPONENTS, TrainSettings},
    settings::{settle, violations},
    span::join,
    surroundings::expand_paths,
    wording::{ticked, with_article},
};

/// The default of a setting that a section need not write, such as `norm` of the component `vit` in the section
/// `encoder`; in a list the section has the name of the entry behind it (`probes.knn`). None if there is no such
/// setting, or its default depends on others.
pub(crate) fn default_of(section: &str, component: &str, setting: &str) -> Option<Value> {
    let (list, entry) = section.split_once('.').unzip();
    let kind = match list {
        None => COMPONENTS.iter().find(|part| part.section == section)?.kind,
        Some(list) => {
            COMPONENT_LISTS
                .iter()
                .find(|l| l.section == list && !entry.unwrap_or_default().contains('.'))?
                .kind
        }
    };
    let schema = catalogue::schema_of(kind, component)?;
    schema.as_value()["properties"][setting].get("default").filter(|value| !value.is_null()).cloned()
}

/// A component as chosen by an experiment.
#[derive(Debug)]
pub struct Component<K: ?Sized + Debug> {
    /// Its name in the catalogue.
    pub kind: String,
    /// All its settings, defaults filled in.
    pub settings: Value,
    /// What the settings describe.
    pub object: Box<K>,
}

/// A section that can be written back.
pub(crate) trait Part {
    /// As it would be typed with nothing left to default.
    fn section(&self) -> Value;
    /// Without the settings that cannot change a result.
    fn decisive(&self) -> Value;
}

impl<K: Kind + Debug + ?Sized> Part for Component<K> {
    fn section(&self) -> Value {
        let mut section = Map::from_iter([("kind".to_owned(), self.kind.clone().into())]);
        section.extend(self.settings.as_object().cloned().unwrap_or_default());
        Value::Object(section)
    }
    fn decisive(&self) -> Value {
        let schema = catalogue::find::<K>(&self.kind).map(|e| (e.schema)().to_value());
        without_cosmetics(self.section(), &schema.unwrap_or_default())
    }
}

impl Part for InitSettings {
    fn section(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
    fn decisive(&self) -> Value {
        without_cosmetics(self.sorted().section(), &schema_of::<Self>().to_value())
    }
}

impl Part for TrainSettings {
    fn section(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
    fn decisive(&self) -> Value {
        without_cosmetics(self.section(), &schema_of::<Self>().to_value())
    }
}

/// The decisive form of a component with its default settings.
pub(crate) fn default_component(kind: &str, name: &str) -> Value {
    let mut section = Map::from_iter([("kind".to_owned(), name.into())]);
    let settings = catalogue::resolved(kind, name, &Value::Object(Map::new()));
    section.extend(settings.as_ref().and_then(Value::as_object).cloned().unwrap_or_default());
    let schema = catalogue::schema_of(kind, name).map(|schema| schema.to_value());
    without_cosmetics(Value::Object(section), &schema.unwrap_or_default())
}

/// Names of the settings that a schema marks `x-cosmetic`: folders, threads, logging.
pub(crate) fn cosmetic_names(schema: &Value) -> Vec<String> {
    let settings = schema["properties"].as_object().into_iter().flatten();
    settings.filter(|(_, s)| s["x-cosmetic"] == Value::Bool(true)).map(|(name, _)| name.clone()).collect()
}

/// Leaves out what the schema marks `x-cosmetic`: folders, threads, logging.
fn without_cosmetics(mut section: Value, schema: &Value) -> Value {
    let cosmetic = cosmetic_names(schema);
    if let Value::Object(map) = &mut section {
        map.retain(|key, _| !cosmetic.contains(key));
    }
    section
}

/// Reads the component at `path`. `other_keys` are keys of the section that its owner has read
/// and removed already; they count as known when an unknown key is explained.
pub(crate) fn read<K: Kind + Debug + ?Sized>(
    path: &str,
    value: &Value,
    other_keys: &[&str],
    report: &mut Report,
) -> Option<Component<K>> {
    let (name, settings) = split(K::NAME, value).map_err(|p| report.add(path, p)).ok()?;
    let Some(entry) = catalogue::find::<K>(&name) else {
        report.add(path, unknown(K::NAME, &name));
        return None;
    };
    build(entry, path, settings, other_keys, report)
}

fn build<K: Kind + Debug + ?Sized>(
    entry: &Entry<K>,
    path: &str,
    mut settings: Value,
    other_keys: &[&str],
    report: &mut Report,
) -> Option<Component<K>> {
    let schema = (entry.schema)().to_value();
    let owner = format!("{} `{}`", K::NAME, entry.name);
    if !is_settled(path, &schema, &mut settings, (&owner, other_keys), report) {
        return None;
    }
    match (entry.build)(&settings) {
        Ok((settings, object)) => Some(Component { kind: entry.name.into(), settings, object }),
        Err(message) => {
            report.add(path, Problem::new("", format!("{owner} cannot read its settings: {message}")));
            None
        }
    }
}

/// Brings settings into their form; false if something is wrong with them, or with a component inside of them.
fn is_settled(
    path: &str,
    schema: &Value,
    settings: &mut Value,
    (owner, other_keys): (&str, &[&str]),
    report: &mut Report,
) -> bool {
    settle(schema, settings);
    expand_paths(path, schema, settings, report);
    // First, since the schema knows a nested component as a mapping only, and its name alone will do.
    let nested = nested(path, schema, settings, report);
    report.clean(path, violations(schema, settings, owner, other_keys)) && nested
}

/// The same of the components in settings that the schema marks `x-component`, such as the strategies of `masking: multi`.
fn nested(path: &str, schema: &Value, settings: &mut Value, report: &mut Report) -> bool {
    let Value::Object(map) = settings else { return true };
    let mut all_fine = true;
    for (key, value) in map {
        let (schema, path) = (&schema["properties"][key.as_str()], join(path, key));
        if let Some(kind) = schema["x-component"].as_str() {
            all_fine &= is_nested_settled(kind, &path, value, report);
        } else if let (Some(kind), Value::Array(entries)) = (schema["items"]["x-component"].as_str(), value) {
            for (i, entry) in entries.iter_mut().enumerate() {
                all_fine &= is_nested_settled(kind, &join(&path, &i.to_string()), entry, report);
            }
        }
    }
    all_fine
}

fn is_nested_settled(kind: &str, path: &str, value: &mut Value, report: &mut Report) -> bool {
    if let Value::String(name) = value {
        *value = Value::Object(Map::from_iter([("kind".to_owned(), name.as_str().into())]));
    }
    // What is no mapping, or says not which, the schema refuses.
    let Ok((name, mut settings)) = split(kind, value) else { return true };
    let Some(schema) = catalogue::schema_of(kind, &name) else {
        report.add(path, unknown(kind, &name));
        return false;
    };
    let owner = (&*format!("{kind} `{name}`"), &["kind"][..]);
    let is_fine = is_settled(path, &schema.to_value(), &mut settings, owner, report);
    let mut section = Map::from_iter([("kind".to_owned(), name.into())]);
    section.extend(settings.as_object().cloned().unwrap_or_default());
    *value = Value::Object(section);
    is_fine
}

/// Takes `kind` out of a section.
fn split(of: &str, value: &Value) -> Result<(String, Value), Problem> {
    let Value::Object(section) = value else {
        let wanted = format!("the name of {}, or a mapping with `kind`", with_article(of));
        let message = format!("is {}; expected {wanted}", describe(value));
        return Err(Problem::new("", message).help(choices(of)));
    };
    let mut settings = section.clone();
    match settings.shift_remove("kind") {
        Some(Value::String(kind)) => Ok((kind, Value::Object(settings))),
        Some(other) => {
            let message = format!("is {}; expected a name", describe(&other));
            Err(Problem::new("kind", message).help(choices(of)))
        }
        None => Err(Problem::new("", format!("says not which {of}: `kind` is missing")).help(choices(of))),
    }
}

fn unknown(of: &str, name: &str) -> Problem {
    let note = "one of your own crate must be named by the program that runs it: `use my_crate as _;`";
    let help = format!("{}{}\n{note}", question(of, name), choices(of));
    Problem::new("kind", format!("there is no {of} `{name}` in this program")).help(help)
}

/// `did you mean ...?` and a line end: what has this alias, or else nearly this name.
fn question(of: &str, name: &str) -> String {
    let word = name.to_lowercase();
    let known: Vec<Listing> = catalogue::list().into_iter().filter(|l| l.kind == of).collect();
    let alias = known.iter().flat_map(|l| l.aliases).find(|(alias, _)| *alias == word);
    let close = match alias {
        Some((_, write)) => vec![*write],
        None => nearest(&word, known.iter().map(|l| l.name)),
    };
    match close.as_slice() {
        [] => String::new(),
        close => format!("did you mean {}?\n", ticked(close, " or ")),
    }
}

/// The components of a kind, as help.
pub(crate) fn choices(of: &str) -> String {
    let known: Vec<&str> = catalogue::list().iter().filter(|l| l.kind == of).map(|l| l.name).collect();
    match known.as_slice() {
        [] => format!("this program has no {of} at all"),
        names => format!("there are: {}", names.join(", ")),
    }
}
