//! `key=value` on the command line.

use serde_json::Value;

use super::{
    build::section_help,
    change::{Change, slot},
    document::{Document, describe},
    error::Located,
    merge::{expand, is_component},
    sections::SECTIONS,
    span::Span,
};

/// Applies all overrides to `document`; returns notes on what was replaced as a whole, and the
/// overrides that could not be applied.
pub(crate) fn apply(document: &mut Document, overrides: &[String]) -> (Vec<String>, Vec<Located>) {
    let (mut parsed, mut problems) = (Vec::new(), Vec::new());
    for text in overrides {
        parse(text).map_or_else(|p| problems.extend(p), |o| parsed.push(o));
    }
    let twice = said_twice(&parsed);
    let (mut notes, refused) = apply_changes(document, parsed);
    notes.extend(twice);
    problems.extend(refused);
    (notes, problems)
}

/// Of overrides of one path the last counts, which may not be what was meant: a shell makes several of
/// `x={1,2}`.
fn said_twice(changes: &[Change]) -> Vec<String> {
    let earlier = |i: usize| changes[..i].iter().rev().find(|c| c.path == changes[i].path);
    let note = |i: usize| {
        let (last, first) = (changes[i].span(), earlier(i)?.span());
        Some(format!("{last} takes the place of {first}; a grid is written {}=a,b with -m", changes[i].path))
    };
    (0..changes.len()).filter_map(note).collect()
}

/// Shorter paths go first, so `masking.ratio=0.5 masking=random` means the same in any order.
pub(crate) fn apply_changes(
    document: &mut Document,
    mut changes: Vec<Change>,
) -> (Vec<String>, Vec<Located>) {
    let (mut problems, mut notes) = (Vec::new(), Vec::new());
    changes.sort_by_key(|c| c.path.split('.').count());
    for change in changes {
        match assign(document, &change) {
            Ok(note) => notes.extend(note),
            Err((message, help)) => {
                let (span, path) = (change.value.places.key(&change.path), change.path);
                problems.push(Located { span, path, message, help });
            }
        }
    }
    (notes, problems)
}

/// `masking.kind=x` is another spelling of `masking=x`.
fn parse(text: &str) -> Result<Change, Vec<Located>> {
    let refuse =
        |message: &str, help: &str| Err(vec![located(text, "", message.to_owned(), Some(help.to_owned()))]);
    let is_file = text.ends_with(".yaml") || text.ends_with(".yml");
    if is_file && !text.starts_with("extends=") {
        let help = "one file is run at a time; a sweep file with `base` and `parameters` describes many runs";
        return refuse("is a second file", help);
    }
    let Some((path, value)) = text.split_once('=') else {
        return refuse("has no `=`", "write key=value, such as encoder.depth=4");
    };
    let path = path.trim();
    if path.is_empty() || path.split('.').any(str::is_empty) {
        return refuse("has an empty key", "write key=value, such as encoder.depth=4");
    }
    if path == "extends" || path == "version" {
        return refuse(&format!("`{path}` belongs in the file"), "name another experiment file instead");
    }
    let path = slot(path).to_owned();
    let read = Document::from_override(text, &path, value).map_err(|problems| quoted(problems, value))?;
    let is_null = ["null", "Null", "NULL", "~"].contains(&value.trim());
    if read.value.is_null() && !is_null {
        let help = format!("write a value, or {path}=null for the default; a shell variable may be empty");
        return Err(vec![located(text, &path, "has no value".into(), Some(help))]);
    }
    Ok(Change { path, value: read })
}

/// A bracket that is not closed was taken apart by the shell.
fn quoted(mut problems: Vec<Located>, value: &str) -> Vec<Located> {
    let value = value.trim();
    let is_open = [('{', '}'), ('[', ']')].iter().any(|(a, b)| value.starts_with(*a) && !value.ends_with(*b));
    let help =
        "the shell takes spaces apart: put the whole override in quotes, such as 'encoder={ kind: vit }'";
    problems.iter_mut().filter(|p| is_open && p.help.is_none()).for_each(|p| p.help = Some(help.into()));
    problems
}

type Refusal = (String, Option<String>);

fn assign(document: &mut Document, o: &Change) -> Result<Option<String>, Refusal> {
    let mut value = o.value.value.clone();
    let mut places = o.value.places.clone();
    let (bare, number) = (value.is_string() || value.is_number(), value.is_number());
    expand(&o.path, &mut value, &mut places);
    let kind = value["kind"].as_str().filter(|_| bare && is_component(&o.path));
    let target = find(&mut document.value, &o.path)?;
    let note = kind.and_then(|kind| replacement_note(&o.value.places.key(&o.path), target, kind, number));
    *target = value;
    document.places.replace(&o.path, &places);
    Ok(note)
}

/// The value at `path`; mappings on the way are made as needed, list entries are not.
fn find<'v>(root: &'v mut Value, path: &str) -> Result<&'v mut Value, Refusal> {
    let mut here = root;
    let mut walked = String::new();
    for key in path.split('.') {
        if here.is_null() {
            *here = Value::Object(Default::default());
        }
        here = match here {
            Value::Object(map) => {
                check_section(&walked, key)?;
                map.entry(key).or_insert(Value::Null)
            }
            Value::Array(items) => {
                let count = items.len();
                let entry = key.parse::<usize>().ok().and_then(|i| items.get_mut(i));
                entry.ok_or_else(|| no_entry(&walked, key, count))?
            }
            scalar => {
                return Err((format!("`{walked}` holds {} and has no settings", describe(scalar)), None));
            }
        };
        walked = super::span::join(&walked, key);
    }
    Ok(here)
}

/// Refuses an unknown section before it is made; settings are judged by their schema later.
fn check_section(walked: &str, key: &str) -> Result<(), Refusal> {
    if !walked.is_empty() || SECTIONS.contains(&key) {
        return Ok(());
    }
    Err((format!("there is no section `{key}`"), Some(section_help(key))))
}

fn no_entry(list: &str, key: &str, count: usize) -> Refusal {
    let message = format!("list `{list}` has no entry `{key}`");
    let help = match count {
        0 => format!("`{list}` is empty; give the whole list: {list}=[...]"),
        n => format!("`{list}` has the entries 0 to {}; or give the whole list: {list}=[...]", n - 1),
    };
    (message, Some(help))
}

/// Says that settings are lost, where any were given.
fn replacement_note(whole: &Span, old: &Value, kind: &str, number: bool) -> Option<String> {
    let old = old.as_object()?;
    let before = old.get("kind")?.as_str()?;
    let lost: Vec<&str> = old.keys().map(String::as_str).filter(|k| *k != "kind").collect();
    if before == kind && (lost.is_empty() || number) {
        return None;
    }
    let defaults = if number { String::new() } else { format!(", with the defaults of `{kind}`") };
    let note = format!("{whole}: `{kind}` replaces `{before}`{defaults}");
    Some(if lost.is_empty() { note } else { format!("{note} (dropped: {})", lost.join(", ")) })
}

fn located(whole: &str, path: &str, message: String, help: Option<String>) -> Located {
    Located { span: Span::Override(whole.into()), path: path.into(), message, help }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::merge::expand_names;

    fn applied(text: &str, overrides: &[&str]) -> Result<(Document, Vec<String>), String> {
        let mut doc = Document::from_file("a.yaml", text).expect("valid");
        expand_names(&mut doc);
        let overrides: Vec<String> = overrides.iter().map(|s| s.to_string()).collect();
        let (notes, problems) = apply(&mut doc, &overrides);
        problems.first().map_or(Ok((doc, notes)), |p| Err(p.to_string()))
    }

    #[test]
    fn values_are_yaml_and_paths_reach_into_lists() {
        let text = "seed: 1\nprobes: [{kind: knn, every: 2}]";
        let over = ["seed=3", "probes.0.every=5", "train.epochs=1e2", "encoder.scale=[1, 2]"];
        let (doc, notes) = applied(text, &over).expect("valid");
        let probes = json!([{"kind": "knn", "every": 5}]);
        let train = json!({"epochs": 100.0});
        assert_eq!(
            doc.value,
            json!({"seed": 3, "probes": probes, "train": train, "encoder": {"scale": [1, 2]}})
        );
        assert_eq!(doc.places.value("probes.0.every").to_string(), "override `probes.0.every=5`");
        assert!(notes.is_empty());
    }

    #[test]
    fn a_list_of_bare_names_is_a_list_of_components() {
        let (doc, _) = applied("seed: 1", &["probes=[knn, {kind: linear, every: 2}]"]).expect("valid");
        assert_eq!(doc.value["probes"], json!([{"kind": "knn"}, {"kind": "linear", "every": 2}]));
    }

    #[test]
    fn a_kind_replaces_the_component_and_is_noted() {
        for over in ["masking=random", "masking.kind=random"] {
            let (doc, notes) =
                applied("masking: {kind: block, n: 2}", &["masking.r=1", over]).expect("valid");
            assert_eq!(doc.value, json!({"masking": {"kind": "random", "r": 1}}));
            let rest = "`random` replaces `block`, with the defaults of `random` (dropped: n)";
            assert_eq!(notes, [format!("override `{over}`: {rest}")]);
        }
    }

    #[test]
    fn a_number_is_a_constant_schedule_and_null_is_handed_on() {
        let text = "learning_rate: {kind: linear, start: 1}\nema: {kind: constant, value: 1}";
        let (doc, notes) =
            applied(text, &["learning_rate=1e-3", "ema=0.9", "train.log_every=null"]).expect("valid");
        assert_eq!(doc.value["learning_rate"], json!({"kind": "constant", "value": 0.001}));
        assert_eq!(doc.value["ema"], json!({"kind": "constant", "value": 0.9}));
        assert_eq!(doc.value["train"], json!({"log_every": null}));
        assert_eq!(notes, ["override `learning_rate=1e-3`: `constant` replaces `linear` (dropped: start)"]);
    }

    #[test]
    fn of_two_overrides_the_last_counts_and_that_is_noted() {
        let (doc, notes) = applied("seed: 1", &["seed=2", "seed=3"]).expect("valid");
        assert_eq!(doc.value["seed"], 3);
        assert!(notes[0].starts_with("override `seed=3` takes the place of override `seed=2`"), "{notes:?}");
    }

    #[test]
    fn mistakes_say_what_to_write() {
        let text = "seed: 1\nprobes: [knn]";
        let fails = |over| applied(text, &[over]).map(|_| ()).expect_err("refused");
        assert!(fails("depth").contains("has no `=`"));
        assert!(fails("=3").contains("empty key"));
        assert!(fails("encodr.depth=3").contains("did you mean `encoder`?"));
        assert!(fails("seed.x=3").contains("`seed` holds 1"));
        assert!(fails("probes.1.every=3").contains("entries 0 to 0"));
        assert!(fails("extends=b.yaml").contains("belongs in the file"));
        assert!(fails("masking.x=").contains("has no value\n  help: write a value, or masking.x=null"));
        assert!(fails("probes= # none").contains("has no value"));
        assert!(fails("epochs=3").contains("did you mean `train.epochs`?"));
        assert!(fails("seed=[1").starts_with("override `seed=[1`: seed: "));
    }
}
