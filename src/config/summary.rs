//! What is particular about an experiment: its components, and the settings that are not defaults.

use ijepa_registry::{catalogue, entry::schema_of};
use serde_json::{Map, Value};

use super::{
    component::Part,
    experiment::{Experiment, ProbeSpec, RegularizerSpec, changed},
    sections::{Section, TrainSettings},
};

impl Experiment {
    /// One line per section: the component, and the settings that differ from its defaults, as an
    /// override would be typed.
    pub fn brief(&self) -> Vec<(String, String)> {
        let mut lines: Vec<(String, String)> = Vec::new();
        for (Section { section, kind, .. }, part) in self.components() {
            let option = match *section {
                "dataset" if self.validation > 0 => format!(" validation={}", self.validation),
                "masking" => {
                    changed(&self.views).iter().map(|(key, value)| format!(" {key}={value}")).collect()
                }
                _ => String::new(),
            };
            lines.push((section.to_string(), chosen(kind, &part.section()) + &option));
            if *section == "dataset" {
                let steps = self.augmentation.iter().map(|step| chosen("augmentation", &step.section()));
                let steps: Vec<String> = steps.collect();
                let steps = if steps.is_empty() { "none".into() } else { steps.join(", ") };
                lines.push(("augmentation".into(), steps));
            }
        }
        let terms = self.regularizers.iter().enumerate();
        lines.extend(terms.map(|(i, term)| (format!("regularizers.{i}"), regularized(term))));
        lines.extend(self.init.iter().map(|init| ("init".into(), init.text())));
        lines.push(("train".into(), train(&self.train)));
        lines.extend(self.probes.iter().enumerate().map(|(i, probe)| (format!("probes.{i}"), probed(probe))));
        lines
    }
}

/// The component's name and the settings that were chosen.
fn chosen(of: &str, section: &Value) -> String {
    let mut settings = section.as_object().cloned().unwrap_or_default();
    let name = settings.shift_remove("kind");
    let name = name.as_ref().and_then(Value::as_str).unwrap_or_default();
    let schema = catalogue::schema_of(of, name).map(|schema| schema.to_value()).unwrap_or_default();
    let is_required = |key: &str| schema["required"].as_array().is_some_and(|r| r.iter().any(|k| k == key));
    let required: Map<String, Value> =
        settings.iter().filter(|(k, _)| is_required(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
    let defaults = catalogue::resolved(of, name, &Value::Object(required)).unwrap_or_default();
    let own = settings.iter().filter(|(key, value)| is_required(key) || defaults.get(key) != Some(value));
    words(name, own)
}

fn regularized(term: &RegularizerSpec) -> String {
    let weight = chosen("schedule", &term.weight.section());
    let on = word(&serde_json::json!(term.on));
    let name = if term.name == term.component.kind { String::new() } else { format!(" name={}", term.name) };
    format!("{}{name} on={on} weight: {weight}", chosen("regularizer", &term.component.section()))
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
    let mut parts = vec![chosen("probe", &probe.component.section())];
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
