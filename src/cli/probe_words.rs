//! What the words of `ijepa-run probe` mean: probes, or runs to measure them on.

use std::path::{Path, PathBuf};

use ijepa_registry::{catalogue, kinds::Probe, problem::nearest};
use serde_json::{Map, Value, json};

use super::{resolve, show};
use crate::{
    analysis::{SweepTable, is_sweep},
    results::is_run_folder,
};

/// What was typed.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// Entries of `probes`.
    pub probes: Vec<Value>,
    /// Folders of runs.
    pub runs: Vec<PathBuf>,
    /// Folders of sweeps.
    pub sweeps: Vec<PathBuf>,
}

impl Words {
    /// Sorts the words; runs and sweeps are looked up in `results`.
    pub fn read(words: &[String], results: &Path) -> Result<Self, String> {
        let mut all = Words::default();
        for word in words {
            let path = Path::new(word);
            if is_run_folder(path) {
                all.runs.push(path.into());
            } else if is_sweep(path) {
                all.sweeps.push(path.into());
            } else if let Some(entries) = entries(word) {
                all.probes.extend(entries?);
            } else {
                all.look_up(word, results)?;
            }
        }
        Ok(all)
    }

    fn look_up(&mut self, word: &str, results: &Path) -> Result<(), String> {
        let run = match show::find(Path::new(word), results) {
            Ok(run) => {
                self.runs.push(run);
                return Ok(());
            }
            Err(message) => message,
        };
        match resolve::sweep(Path::new(word), results) {
            Ok(sweep) => self.sweeps.push(sweep),
            Err(sweep) => return Err(unknown(word, run, &sweep)),
        }
        Ok(())
    }

    /// Folders of all runs: those that were named, then those of the sweeps, each once.
    pub fn folders(&self) -> Result<Vec<PathBuf>, String> {
        let mut folders = self.runs.clone();
        for sweep in &self.sweeps {
            let table = SweepTable::read(sweep).map_err(|e| e.to_string())?;
            folders.extend(table.runs.iter().map(|run| table.run_folder(run)));
        }
        let mut seen = std::collections::HashSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        Ok(folders)
    }
}

/// Neither a run, nor a sweep, nor a probe: what is near.
fn unknown(word: &str, run: String, sweep: &str) -> String {
    // One that means several, or one that was not found.
    let ambiguous = |message: &str| message.contains(" means ");
    if ambiguous(&run) {
        return run;
    }
    if ambiguous(sweep) {
        return sweep.to_owned();
    }
    let names: Vec<&str> = names().collect();
    match nearest(word, names.iter().copied()).as_slice() {
        [] => format!("{run}\n  help: nor is it a sweep or a probe; probes are: {}", names.join(", ")),
        near => format!(
            "there is no run, sweep or probe `{word}`\n  help: did you mean the probe {}?",
            near.join(" or ")
        ),
    }
}

/// Names of the probes of this program.
fn names() -> impl Iterator<Item = &'static str> {
    let probes = catalogue::list().into_iter().filter(|listing| listing.kind == "probe");
    probes.map(|listing| listing.name)
}

/// Entries of `probes`, as a file may hold them: a name, `name={ ... }`, a mapping with `kind`, a list of such.
/// None for a word that cannot be meant as a probe.
fn entries(word: &str) -> Option<Result<Vec<Value>, String>> {
    let text = word.trim();
    let text = text.strip_prefix("probes=").unwrap_or(text).trim();
    if text.starts_with(['{', '[']) || text.starts_with("kind:") {
        return Some(parsed(word, text).and_then(|value| listed(word, value)));
    }
    let (kind, settings) = match text.split_once('=') {
        Some((kind, settings)) => (kind.trim(), Some(settings)),
        None => (text, None),
    };
    let known = catalogue::find::<dyn Probe>(kind).is_some();
    match settings {
        None => known.then(|| Ok(vec![json!({ "kind": kind })])),
        // An unknown kind is refused with the nearest one where all entries are checked.
        Some(settings) if known || settings.trim_start().starts_with('{') => {
            Some(of_kind(word, kind, settings))
        }
        Some(_) => None,
    }
}

/// `linear={ labels: [colour] }`.
fn of_kind(word: &str, kind: &str, settings: &str) -> Result<Vec<Value>, String> {
    match parsed(word, settings)? {
        Value::Object(settings) => {
            let mut all = Map::from_iter([("kind".to_owned(), json!(kind))]);
            all.extend(settings);
            Ok(vec![Value::Object(all)])
        }
        _ => Err(format!("{word}: write settings as a mapping, such as '{kind}={{ labels: [class] }}'")),
    }
}

fn parsed(word: &str, text: &str) -> Result<Value, String> {
    serde_yaml::from_str(text).map_err(|e| format!("{word}: the settings are no YAML: {e}"))
}

/// A mapping is one probe, a list any number of them.
fn listed(word: &str, value: Value) -> Result<Vec<Value>, String> {
    match value {
        Value::Array(items) => {
            let lists = items.into_iter().map(|item| listed(word, item)).collect::<Result<Vec<_>, _>>()?;
            Ok(lists.concat())
        }
        Value::String(kind) => Ok(vec![json!({ "kind": kind })]),
        Value::Object(entry) if entry.contains_key("kind") => Ok(vec![Value::Object(entry)]),
        _ => Err(format!("{word}: a probe needs its kind, such as '{{ kind: linear, labels: [class] }}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str) -> Option<Result<Vec<Value>, String>> {
        entries(word)
    }

    #[test]
    fn a_probe_is_written_as_in_a_file() {
        let linear = json!({ "kind": "linear", "encoders": ["target"], "labels": ["colour"] });
        for word in [
            "{ kind: linear, encoders: [target], labels: [colour] }",
            "  {kind: linear, encoders: [target], labels: [colour]}",
            "linear={ encoders: [target], labels: [colour] }",
            "linear = {encoders: [target], labels: [colour]}",
            "[{ kind: linear, encoders: [target], labels: [colour] }]",
            "probes=[{ kind: linear, encoders: [target], labels: [colour] }]",
            "kind: linear\nencoders: [target]\nlabels: [colour]",
            r#"{"kind": "linear", "encoders": ["target"], "labels": ["colour"]}"#,
        ] {
            assert_eq!(read(word), Some(Ok(vec![linear.clone()])), "{word}");
        }
        let both = read("[knn, { kind: rankme }]").unwrap().unwrap();
        assert_eq!(both, [json!({ "kind": "knn" }), json!({ "kind": "rankme" })]);
        assert_eq!(read("knn"), Some(Ok(vec![json!({ "kind": "knn" })])));
        assert_eq!((read("001765f2"), read("mask-count"), read("name=x")), (None, None, None));
    }

    #[test]
    fn what_is_meant_as_a_probe_and_is_none_says_why() {
        let error = |word: &str| read(word).unwrap().unwrap_err();
        assert!(error("knn=5").contains("knn={ labels: [class] }"));
        assert!(error("knn={ k: ").contains("no YAML") && error("{ kind: knn").contains("no YAML"));
        assert!(error("{ labels: [class] }").contains("needs its kind"));
        // Left to the checks of a configuration, which name the nearest.
        assert_eq!(read("lineer={ labels: [class] }").unwrap().unwrap()[0]["kind"], "lineer");
    }
}
