//! The only reader of `inventory`: sorted, searched and checked for duplicates.

use schemars::Schema;
use serde_json::Value;

use crate::entry::{Entry, Kind, for_each_kind};

/// What can be said about an entry without knowing its kind.
pub struct Listing {
    /// Name of the kind.
    pub kind: &'static str,
    /// What the kind is for.
    pub kind_summary: &'static str,
    /// Name of the component.
    pub name: &'static str,
    /// Documentation.
    pub docs: &'static str,
    /// Example settings, YAML.
    pub example: &'static str,
    /// What others call it, and what to write here.
    pub aliases: &'static [(&'static str, &'static str)],
    /// Crate and version.
    pub origin: &'static str,
    /// Source file.
    pub file: &'static str,
    /// Schema of the settings.
    pub schema: Schema,
}

impl Listing {
    /// First line of the documentation.
    pub fn summary(&self) -> &str {
        self.docs.lines().next().unwrap_or("").trim()
    }
}

/// Names of the kinds, in the order in which they are documented.
pub fn kinds() -> Vec<&'static str> {
    let mut all = Vec::new();
    for_each_kind!(name_kind, &mut all);
    all
}

fn name_kind<K: Kind + ?Sized>(all: &mut Vec<&'static str>) {
    all.push(K::NAME);
}

/// Entries of one kind, sorted by name.
pub fn entries<K: Kind + ?Sized>() -> Vec<&'static Entry<K>> {
    let mut all = K::registered();
    all.sort_by_key(|e| (e.name, e.origin, e.file));
    all
}

/// Names of one kind, sorted.
pub fn names<K: Kind + ?Sized>() -> Vec<&'static str> {
    entries::<K>().into_iter().map(|e| e.name).collect()
}

/// The entry of this name.
pub fn find<K: Kind + ?Sized>(name: &str) -> Option<&'static Entry<K>> {
    entries::<K>().into_iter().find(|e| e.name == name)
}

/// The component of a kind that a bare number stands for, and the setting that the number fills.
pub fn of_number(kind: &str) -> Option<(&'static str, &'static str)> {
    let mut all = Vec::new();
    for_each_kind!(list_numbers, &mut all);
    all.into_iter().find(|(of, ..)| *of == kind).map(|(_, name, setting)| (name, setting))
}

/// The schema of the settings of a component, kind and component given by name.
pub fn schema_of(kind: &str, name: &str) -> Option<Schema> {
    let mut search = Search { kind, name, settings: None, schema: None, resolved: None };
    for_each_kind!(look, &mut search);
    search.schema
}

/// The settings of a component with all defaults filled in, kind and component given by name; none if they
/// are not its settings.
pub fn resolved(kind: &str, name: &str, settings: &Value) -> Option<Value> {
    let mut search = Search { kind, name, settings: Some(settings), schema: None, resolved: None };
    for_each_kind!(look, &mut search);
    search.resolved
}

struct Search<'a> {
    kind: &'a str,
    name: &'a str,
    settings: Option<&'a Value>,
    schema: Option<Schema>,
    resolved: Option<Value>,
}

fn look<K: Kind + ?Sized>(search: &mut Search) {
    let Some(entry) = find::<K>(search.name).filter(|_| K::NAME == search.kind) else { return };
    match search.settings {
        None => search.schema = Some((entry.schema)()),
        Some(settings) => search.resolved = (entry.build)(settings).ok().map(|(resolved, _)| resolved),
    }
}

fn list_numbers<K: Kind + ?Sized>(all: &mut Vec<(&'static str, &'static str, &'static str)>) {
    all.extend(entries::<K>().into_iter().filter_map(|e| Some((K::NAME, e.name, e.number?))));
}

/// Every entry of every kind: kinds in documented order, names sorted.
pub fn list() -> Vec<Listing> {
    let mut all = Vec::new();
    for_each_kind!(list_kind, &mut all);
    all
}

/// Names that are registered twice, each sentence with both origins. A program with any refuses to run.
pub fn duplicates() -> Vec<String> {
    let all = list();
    let twice = all.windows(2).filter(|p| (p[0].kind, p[0].name) == (p[1].kind, p[1].name));
    twice
        .map(|p| {
            let (a, b) = (&p[0], &p[1]);
            format!(
                "{} `{}` is registered twice: in {} ({}) and in {} ({})",
                a.kind, a.name, a.origin, a.file, b.origin, b.file
            )
        })
        .collect()
}

fn list_kind<K: Kind + ?Sized>(all: &mut Vec<Listing>) {
    all.extend(entries::<K>().into_iter().map(|e| Listing {
        kind: K::NAME,
        kind_summary: K::SUMMARY,
        name: e.name,
        docs: e.docs,
        example: e.example,
        aliases: e.aliases,
        origin: e.origin,
        file: e.file,
        schema: (e.schema)(),
    }));
}
