//! Configurations as flat lists of settings, and what differs between them.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::config::{cell, cosmetic_paths, default_of, flat_settings, modernize};

/// Settings that name a run or its file: no part of an arm's identity.
const NAMES: [&str; 3] = ["version", "name", "seed"];

/// What a table shows for a setting that an arm does not have.
pub const ABSENT: &str = "-";

/// Settings in the order of the file: dotted path, value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Settings(pub Vec<(String, String)>);

impl Settings {
    /// Every setting of a configuration.
    pub fn all(configuration: &Value) -> Self {
        Settings(flat_settings(configuration))
    }

    /// The settings of a configuration that make its arm: those that can change a result.
    pub fn of(configuration: &Value) -> Self {
        let Settings(mut all) = Settings::all(&decisive(configuration));
        all.retain(|(path, _)| !NAMES.contains(&path.as_str()));
        Settings(all)
    }
}

/// A configuration without the settings that cannot change a result.
fn decisive(configuration: &Value) -> Value {
    let mut decisive = configuration.clone();
    modernize(&mut decisive);
    for path in cosmetic_paths(&decisive) {
        let (owner, name) = path.rsplit_once('.').unwrap_or(("", &path));
        let pointer = if owner.is_empty() { String::new() } else { format!("/{}", owner.replace('.', "/")) };
        if let Some(Value::Object(section)) = decisive.pointer_mut(&pointer) {
            section.shift_remove(name);
        }
    }
    without_probes(decisive)
}

/// Probes measure what was trained: which settings they had stands in their rows. Those that a rule of
/// `collapse` reads can end a run.
fn without_probes(mut configuration: Value) -> Value {
    let rules = configuration["collapse"].as_array().cloned().unwrap_or_default();
    let read = |probe: &Value| {
        let name = probe["name"].as_str().or(probe["kind"].as_str()).unwrap_or_default();
        let metric =
            |rule: &Value| rule["metric"].as_str().unwrap_or_default().split('/').next() == Some(name);
        rules.iter().any(metric)
    };
    if let Some(Value::Array(probes)) = configuration.get_mut("probes") {
        probes.retain(read);
        if probes.is_empty()
            && let Some(top) = configuration.as_object_mut()
        {
            top.shift_remove("probes");
        }
    }
    configuration
}

/// Paths of the settings, as [`Settings::all`] names them, that can change a result.
pub fn deciding(configuration: &Value) -> HashSet<String> {
    let Settings(all) = Settings::all(&decisive(configuration));
    all.into_iter()
        .map(|(path, _)| path)
        .filter(|path| path == "seed" || !NAMES.contains(&path.as_str()))
        .collect()
}

/// A setting that is not the same in all arms, with its value in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingDifference {
    /// Dotted path.
    pub path: String,
    /// Value per arm, `-` where it has none.
    pub values: Vec<String>,
}

/// Settings that differ between `all`, in the order of the files.
pub fn differences(all: &[&Settings]) -> Vec<SettingDifference> {
    let maps: Vec<HashMap<&str, &str>> =
        all.iter().map(|s| s.0.iter().map(|(p, v)| (p.as_str(), v.as_str())).collect()).collect();
    let mut seen = HashSet::new();
    let paths = all.iter().flat_map(|s| &s.0).map(|(path, _)| path.as_str());
    let values = |path: &str| maps.iter().map(|m| value_in(m, path)).collect::<Vec<_>>();
    paths
        .filter(|path| seen.insert(*path))
        .map(|path| (path, values(path)))
        .filter(|(_, values)| values.iter().any(|v| v != &values[0]))
        .map(|(path, values)| SettingDifference {
            path: path.into(),
            values: values.into_iter().map(|v| v.unwrap_or_else(|| ABSENT.into())).collect(),
        })
        .collect()
}

/// The value of a setting; its default where the component has it and it is not written.
fn value_in(settings: &HashMap<&str, &str>, path: &str) -> Option<String> {
    let written = settings.get(path).map(|value| (*value).to_owned());
    written.or_else(|| {
        let (section, setting) = path.rsplit_once('.')?;
        let component = settings.get(format!("{section}.kind").as_str())?;
        default_of(section, component, setting).map(|value| cell(&value))
    })
}

/// Without the settings of a component that is another one altogether: its kind says enough.
pub fn essential(differences: &[SettingDifference]) -> Vec<&SettingDifference> {
    let replaced: Vec<&str> = differences.iter().filter_map(|d| d.path.strip_suffix("kind")).collect();
    let follows = |path: &str| {
        replaced.iter().any(|section| path.strip_prefix(section).is_some_and(|rest| rest != "kind"))
    };
    differences.iter().filter(|d| !follows(&d.path)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arm(masking: Value) -> Settings {
        Settings::of(&json!({
            "name": "x", "seed": 3, "masking": masking, "train": {"epochs": 2.0, "log_every": 5},
            "augmentation": [{"kind": "shift", "by": 1}, {"kind": "shift", "by": 2}],
            "probes": [{"kind": "linear", "every": 1}],
        }))
    }

    #[test]
    fn settings_are_flat_and_without_what_names_a_run() {
        let expected = [
            ("masking.kind", "random"),
            ("masking.scale", "[0.1, 2]"),
            ("train.epochs", "2"),
            ("augmentation", "[shift, shift#2]"),
            ("augmentation.shift.kind", "shift"),
            ("augmentation.shift.by", "1"),
            ("augmentation.shift#2.kind", "shift"),
            ("augmentation.shift#2.by", "2"),
        ];
        let found = arm(json!({"kind": "random", "scale": [0.1, 2]}));
        assert_eq!(found.0, expected.map(|(p, v)| (p.to_string(), v.to_string())));
    }

    #[test]
    fn another_component_is_one_essential_difference() {
        let (a, b) = (arm(json!({"kind": "random", "ratio": 0.5})), arm(json!({"kind": "multiblock"})));
        let found = differences(&[&a, &b]);
        assert_eq!(
            found.iter().map(|d| d.path.as_str()).collect::<Vec<_>>(),
            ["masking.kind", "masking.ratio"]
        );
        assert_eq!(found[1].values, ["0.5", ABSENT]);
        assert_eq!(essential(&found), [&found[0]]);
    }

    #[test]
    fn a_default_that_is_not_written_is_shown_and_no_difference_by_itself() {
        let arm = |more: Value| {
            let mut encoder = json!({"kind": "vit", "dim": 8});
            more.as_object().unwrap().iter().for_each(|(key, value)| encoder[key] = value.clone());
            Settings::of(&json!({"encoder": encoder}))
        };
        let (standard, written) = (arm(json!({})), arm(json!({"norm": "layer_norm"})));
        assert_eq!(differences(&[&standard, &written]), []);
        let found = differences(&[&standard, &arm(json!({"norm": "rms_norm", "drop_path": 0.1}))]);
        let shown: Vec<_> = found.iter().map(|d| (d.path.as_str(), d.values.join(" "))).collect();
        let expected = [("encoder.norm", "layer_norm rms_norm"), ("encoder.drop_path", "0 0.1")];
        assert_eq!(shown, expected.map(|(path, values)| (path, values.to_owned())));
    }
}
