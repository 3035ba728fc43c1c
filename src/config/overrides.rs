//! `key=value` on the command line.

use serde_json::Value;

use super::{
    change::{Change, slot},
    document::{Document, describe},
    error::Located,
    merge::{expand, is_component},
    place::Place,
    sections::SECTIONS,
};

/// Applies all overrides to `document`; returns notes on what was replaced as a whole, and the
/// overrides that could not be applied.
pub(crate) fn apply(document: &mut Document, overrides: &[String]) -> (Vec<String>, Vec<Located>) {
    let (mut parsed, mut problems) = (Vec::new(), Vec::new());
    for text in overrides {
        parse(text).map_or_else(|p| problems.extend(p), |o| parsed.push(o));
    }
    let (notes, refused) = apply_changes(document, parsed);
    problems.extend(refused);
    (notes, problems)
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
                let (place, path) = (change.value.places.key(&change.path), change.path);
                problems.push(Located { place, path, message, help });
            }
        }
    }
    (notes, problems)
}

/// `masking.kind=x` is another spelling of `masking=x`.
fn parse(text: &str) -> Result<Change, Vec<Located>> {
    let refuse =
        |message: &str, help: &str| Err(vec![located(text, "", message.to_owned(), Some(help.to_owned()))]);
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
    let value = Document::from_override(text, &path, value)?;
    Ok(Change { path, value })
}

type Refusal = (String, Option<String>);

fn assign(document: &mut Document, o: &Change) -> Result<Option<String>, Refusal> {
    let mut value = o.value.value.clone();
    let mut places = o.value.places.clone();
    let kind = value.as_str().filter(|_| is_component(&o.path)).map(str::to_owned);
    expand(&o.path, &mut value, &mut places);
    let target = find(&mut document.value, &o.path)?;
    let note = kind.and_then(|kind| replacement_note(&o.value.places.key(&o.path), target, &kind));
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
        walked = super::place::join(&walked, key);
    }
    Ok(here)
}

/// Refuses an unknown section before it is made; settings are judged by their schema later.
fn check_section(walked: &str, key: &str) -> Result<(), Refusal> {
    if !walked.is_empty() || SECTIONS.contains(&key) {
        return Ok(());
    }
    Err((format!("there is no section `{key}`"), Some(super::sentences::did_you_mean(key, SECTIONS))))
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
fn replacement_note(whole: &Place, old: &Value, kind: &str) -> Option<String> {
    let old = old.as_object()?;
    let before = old.get("kind")?.as_str()?;
    let lost: Vec<&str> = old.keys().map(String::as_str).filter(|k| *k != "kind").collect();
    if before == kind && lost.is_empty() {
        return None;
    }
    let defaults = format!("{whole}: `{kind}` replaces `{before}`, with the defaults of `{kind}`");
    Some(if lost.is_empty() { defaults } else { format!("{defaults} (dropped: {})", lost.join(", ")) })
}

fn located(whole: &str, path: &str, message: String, help: Option<String>) -> Located {
    Located { place: Place::Override(whole.into()), path: path.into(), message, help }
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
    fn mistakes_say_what_to_write() {
        let text = "seed: 1\nprobes: [knn]";
        let fails = |over| applied(text, &[over]).map(|_| ()).expect_err("refused");
        assert!(fails("depth").contains("has no `=`"));
        assert!(fails("=3").contains("empty key"));
        assert!(fails("encodr.depth=3").contains("did you mean `encoder`?"));
        assert!(fails("seed.x=3").contains("`seed` holds 1"));
        assert!(fails("probes.1.every=3").contains("entries 0 to 0"));
        assert!(fails("extends=b.yaml").contains("belongs in the file"));
        assert!(fails("seed=[1").starts_with("override `seed=[1`: seed: "));
    }
}
