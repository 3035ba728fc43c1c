//! What is particular about an experiment: its components, and the settings that are not defaults.

use std::fmt::Debug;

use ijepa_registry::{
    catalogue,
    entry::{Kind, schema_of},
};
use serde_json::{Map, Value};

use super::{
    component::{Component, Part},
    experiment::{Experiment, ProbeSpec},
    sections::TrainSettings,
};

impl Experiment {
    /// One line per section: the component, and the settings that differ from its defaults, as an
    /// override would be typed.
    pub fn brief(&self) -> Vec<(String, String)> {
        let held =
            if self.validation > 0 { format!(" validation={}", self.validation) } else { String::new() };
        let mut lines = vec![("dataset".to_owned(), chosen(&self.dataset) + &held)];
        let steps: Vec<String> = self.augmentation.iter().map(chosen).collect();
        lines.push(("augmentation".into(), if steps.is_empty() { "none".into() } else { steps.join(", ") }));
        lines.extend(
            [
                ("encoder", chosen(&self.encoder)),
                ("predictor", chosen(&self.predictor)),
                ("masking", chosen(&self.masking)),
                ("loss", chosen(&self.loss)),
                ("optimizer", chosen(&self.optimizer)),
                ("learning_rate", chosen(&self.learning_rate)),
                ("weight_decay", chosen(&self.weight_decay)),
                ("ema", chosen(&self.ema)),
                ("train", train(&self.train)),
            ]
            .map(|(section, words)| (section.to_owned(), words)),
        );
        lines.extend(self.probes.iter().enumerate().map(|(i, probe)| (format!("probes.{i}"), probed(probe))));
        lines
    }
}

/// The component's name and the settings that were chosen.
fn chosen<K: Kind + Debug + ?Sized>(component: &Component<K>) -> String {
    let Component { kind, settings, .. } = component;
    let empty = Map::new();
    let settings = settings.as_object().unwrap_or(&empty);
    let entry = catalogue::find::<K>(kind);
    let schema = entry.map(|e| (e.schema)().to_value()).unwrap_or_default();
    let is_required = |key: &str| schema["required"].as_array().is_some_and(|r| r.iter().any(|k| k == key));
    let required: Map<String, Value> =
        settings.iter().filter(|(k, _)| is_required(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
    let defaults = entry.and_then(|e| (e.build)(&Value::Object(required)).ok()).map(|(resolved, _)| resolved);
    let defaults = defaults.unwrap_or_default();
    let own = settings.iter().filter(|(key, value)| is_required(key) || defaults.get(key) != Some(value));
    words(kind, own)
}

fn train(settings: &TrainSettings) -> String {
    let (all, schema) = (settings.section(), schema_of::<TrainSettings>().to_value());
    let empty = Map::new();
    let own = all.as_object().unwrap_or(&empty).iter();
    words("", own.filter(|(key, value)| schema["properties"][key.as_str()].get("default") != Some(value)))
}

fn probed(probe: &ProbeSpec) -> String {
    let section = probe.section();
    let name = if probe.name == probe.component.kind { "" } else { probe.name.as_str() };
    let named = Value::from(name);
    let options = ["every", "encoders", "controls", "labels"].map(|key| (key, &section[key]));
    let some = |v: &Value| v.as_array().is_none_or(|a| !a.is_empty()) && *v != "";
    let mut parts = vec![chosen(&probe.component)];
    parts.extend(
        [("name", &named)]
            .into_iter()
            .chain(options)
            .filter(|(_, v)| some(v))
            .map(|(k, v)| format!("{k}={}", word(v))),
    );
    parts.join(" ")
}

fn words<'a>(head: &str, settings: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    let settings = settings.map(|(key, value)| format!("{key}={}", word(value)));
    let head = (!head.is_empty()).then(|| head.to_owned());
    head.into_iter().chain(settings).collect::<Vec<_>>().join(" ")
}

/// A value without spaces, as one would type it.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(word).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}
