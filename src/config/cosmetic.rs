//! Which settings of a stored configuration cannot change a result: what the schemas say, and nothing else.

use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock},
};

use ijepa_registry::{
    catalogue,
    entry::{Kind, schema_of},
    kinds::Dataset,
};
use serde_json::Value;

use super::{
    component::cosmetic_names,
    init::InitSettings,
    sections::{COMPONENT_LISTS, COMPONENTS, Header, TrainSettings},
};

/// Where files lie, for data sets that this program does not have: their schema cannot be asked.
const OF_UNKNOWN_DATA_SETS: [&str; 2] = ["path", "download"];

/// Cosmetic settings by kind and name of a component.
type Known = HashMap<(&'static str, String), Vec<String>>;

/// Dotted paths of the settings of `configuration` that cannot change a result. An item of a list is named by
/// its place: `probes.0.threads`.
pub(crate) fn cosmetic_paths(configuration: &Value) -> Vec<String> {
    let mut paths = cosmetic_names(&schema_of::<Header>().to_value());
    let of_train = cosmetic_names(&schema_of::<TrainSettings>().to_value());
    paths.extend(of_train.iter().map(|name| format!("train.{name}")));
    let of_init = cosmetic_names(&schema_of::<InitSettings>().to_value());
    paths.extend(of_init.iter().map(|name| format!("init.{name}")));
    for part in COMPONENTS {
        let section = &configuration[part.section];
        paths.extend(of_component(part.kind, section).iter().map(|name| format!("{}.{name}", part.section)));
    }
    for part in COMPONENT_LISTS {
        for (span, item) in configuration[part.section].as_array().into_iter().flatten().enumerate() {
            let names = of_component(part.kind, item);
            paths.extend(names.iter().map(|name| format!("{}.{span}.{name}", part.section)));
        }
    }
    paths
}

/// Cosmetic settings of the component in a section. A schema takes a while to write down, and a comparison
/// reads thousands of configurations of the same few components.
fn of_component(kind: &'static str, section: &Value) -> Vec<String> {
    static KNOWN: OnceLock<Mutex<Known>> = OnceLock::new();
    let Some(name) = section.as_str().or(section["kind"].as_str()) else { return Vec::new() };
    let key = (kind, name.to_owned());
    let mut known = KNOWN.get_or_init(Mutex::default).lock().expect("no reader panics");
    known
        .entry(key)
        .or_insert_with(|| {
            catalogue::schema_of(kind, name).map_or_else(|| unknown(kind), |s| cosmetic_names(&s.to_value()))
        })
        .clone()
}

fn unknown(kind: &str) -> Vec<String> {
    let data = kind == <dyn Dataset>::NAME;
    OF_UNKNOWN_DATA_SETS.iter().filter(|_| data).map(|name| name.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_say_what_cannot_change_a_result() {
        let configuration = json!({
            "device": "cpu",
            "dataset": { "kind": "cifar10", "path": "/data" },
            "train": { "epochs": 3, "log_every": 10 },
            "probes": [{ "kind": "knn" }],
        });
        let paths = cosmetic_paths(&configuration);
        for path in ["device", "dataset.path", "train.log_every", "train.checkpoint_every"] {
            assert!(paths.iter().any(|p| p == path), "{path} is not in {paths:?}");
        }
        assert!(!paths.iter().any(|p| p == "train.epochs"), "{paths:?}");
        let foreign = cosmetic_paths(&json!({ "dataset": { "kind": "of_another_program", "path": "x" } }));
        assert!(foreign.iter().any(|p| p == "dataset.path"), "{foreign:?}");
    }
}
