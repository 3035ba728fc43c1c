//! The promises of every kind, as checks that run on the example of every registered entry.
//!
//! A crate with components of its own checks them in one test:
//!
//! ```no_run
//! // use my_plugin as _;   // links the components
//! let laws = ijepa_registry::laws::check_all();
//! assert!(laws.failures.is_empty(), "{}", laws.failures.join("\n"));
//! ```
//!
//! Examples are built and run, so an example must be small and must not download anything.

mod data;
mod masking;
mod model;
mod probe;
mod probed_model;
mod schedule;
mod terms;
mod training;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use serde_json::Value;

use crate::{
    catalogue,
    entry::{Entry, Kind, for_each_kind},
    rng::Stream,
};

/// What was checked, and what was broken.
#[derive(Clone, Debug, Default)]
pub struct Laws {
    /// Entries checked, by kind; a kind without any has 0.
    pub checked: BTreeMap<&'static str, usize>,
    /// One sentence per broken law, with kind, name and source file.
    pub failures: Vec<String>,
}

/// Checks every registered entry.
pub fn check_all() -> Laws {
    let mut laws = Laws { failures: catalogue::duplicates(), ..Laws::default() };
    for_each_kind!(check_kind, &mut laws);
    laws
}

/// The laws of one kind beyond those of all kinds.
trait KindLaws: Kind {
    /// Notes everything that `component`, built from its example, breaks.
    fn check(component: &Self, broken: &mut Broken);
}

/// Sentences about one entry.
#[derive(Default)]
struct Broken(Vec<String>);

impl Broken {
    /// Notes `what` unless it holds.
    fn unless(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }
    /// The value, or a note of what went wrong.
    fn value<T, E: std::fmt::Display>(&mut self, what: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|e| self.0.push(format!("{what}: {e}"))).ok()
    }
}

fn check_kind<K: KindLaws + ?Sized>(laws: &mut Laws) {
    let entries = catalogue::entries::<K>();
    laws.checked.insert(K::NAME, entries.len());
    laws.failures.extend(entries.into_iter().flat_map(check_entry));
}

/// Everything that one entry breaks; a panic is one such thing.
fn check_entry<K: KindLaws + ?Sized>(entry: &Entry<K>) -> Vec<String> {
    let mut broken = Broken::default();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        if let Some(component) = check_common(entry, &mut broken) {
            K::check(&component, &mut broken);
        }
    }));
    if let Err(panic) = outcome {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        broken.0.push(format!("panicked: {}", text.unwrap_or_default()));
    }
    let sentence = |what: String| format!("{} `{}` ({}): {what}", K::NAME, entry.name, entry.file);
    broken.0.into_iter().map(sentence).collect()
}

/// Documentation, example, settings and schema; returns what the example builds.
fn check_common<K: Kind + ?Sized>(entry: &Entry<K>, broken: &mut Broken) -> Option<Box<K>> {
    broken
        .unless(!entry.docs.lines().next().unwrap_or("").trim().is_empty(), || "has no summary line".into());
    let schema = (entry.schema)();
    for field in undescribed(schema.as_value(), "") {
        broken.0.push(format!("its setting `{field}` has no doc comment"));
    }
    for field in unbounded(schema.as_value(), "") {
        broken.0.push(format!(
            "its setting `{field}` is a number without a range: add range(min = ..., max = ...)"
        ));
    }
    let example = broken.value("the example is no YAML", serde_yaml::from_str::<Value>(entry.example))?;
    let (resolved, component) = broken.value("the example does not build", (entry.build)(&example))?;
    let again = broken.value("its resolved settings do not build", (entry.build)(&resolved));
    broken.unless(again.is_none_or(|(second, _)| second == resolved), || {
        format!("its resolved settings {resolved} resolve to something else")
    });
    let mut unknown = resolved;
    unknown["no_such_setting"] = Value::from(1);
    broken.unless((entry.build)(&unknown).is_err(), || {
        "accepts an unknown setting: add #[serde(deny_unknown_fields)]".into()
    });
    Some(component)
}

/// Paths of the properties without a description.
fn undescribed(schema: &Value, path: &str) -> Vec<String> {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let of_property = |(name, property): (&String, &Value)| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let mut found = undescribed(property, &path);
        if property.get("description").is_none() {
            found.push(path);
        }
        found
    };
    properties.flat_map(of_property).collect()
}

/// Paths of the numbers, also in lists, that have no least or no greatest value. Seeds may be anything.
fn unbounded(schema: &Value, path: &str) -> Vec<String> {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let is = |json_type: &str| match &schema["type"] {
        Value::String(one) => one == json_type,
        Value::Array(several) => several.iter().any(|t| t == json_type),
        _ => false,
    };
    let has = |words: [&str; 2]| words.iter().any(|w| schema.get(*w).is_some());
    let bounded = has(["minimum", "exclusiveMinimum"]) && has(["maximum", "exclusiveMaximum"]);
    let mut found = Vec::new();
    if (is("number") || is("integer")) && !bounded && !path.ends_with("seed") {
        found.push(path.to_owned());
    }
    let properties = schema["properties"].as_object().into_iter().flatten();
    found.extend(properties.flat_map(|(name, property)| unbounded(property, &below(name))));
    found.extend(schema.get("items").into_iter().flat_map(|items| unbounded(items, path)));
    for branches in ["anyOf", "oneOf", "prefixItems"].iter().filter_map(|k| schema[*k].as_array()) {
        found.extend(branches.iter().flat_map(|branch| unbounded(branch, path)));
    }
    found.dedup();
    found
}

/// Values in `[-1, 1)` that depend on `purpose` alone.
fn noise(purpose: &str, count: usize) -> Vec<f32> {
    let mut stream = Stream::new(0, purpose, 0, 0);
    (0..count).map(|_| stream.uniform_in(-1.0, 1.0) as f32).collect()
}

/// Whether two lists agree but for rounding.
fn close(a: &[f32], b: &[f32]) -> bool {
    let near = |(x, y): (&f32, &f32)| (x - y).abs() <= 1e-4 * (1.0 + y.abs());
    a.len() == b.len() && a.iter().zip(b).all(near)
}

fn finite(values: &[f32]) -> bool {
    values.iter().all(|v| v.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entry::schema_of, prelude::*};

    /// Settings of a strategy that breaks its promises on demand.
    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    struct Crooked {
        how: String,
        #[serde(default)]
        much: f64,
    }

    impl Masking for Crooked {
        fn check(&self, _: Grid) -> Vec<Problem> {
            vec![]
        }
        fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
            assert!(self.how != "panic", "out of masks");
            let all: Vec<u32> = (0..grid.len() as u32).collect();
            let plan = MaskPlan::new(all.clone(), vec![all]);
            MaskBatch { plans: vec![plan; draw.images.len()], redraws: 0 }
        }
    }

    fn failures(example: &'static str) -> Vec<String> {
        check_entry(&Entry::<dyn Masking> {
            name: "crooked",
            docs: "",
            example,
            number: None,
            aliases: &[],
            origin: "test",
            file: "laws.rs",
            schema: schema_of::<Crooked>,
            build: |value| {
                let (resolved, settings) = crate::entry::decode::<Crooked>(value)?;
                Ok((resolved, Box::new(settings)))
            },
        })
    }

    #[test]
    fn broken_promises_are_named() {
        let all = failures("how: overlap").join("\n");
        for part in [
            "no summary line",
            "`how` has no doc comment",
            "`much` is a number without a range",
            "accepts an unknown setting",
            "is a target too",
        ] {
            assert!(all.contains(part), "{part} is missing in\n{all}");
        }
    }

    #[test]
    fn a_panic_and_a_wrong_example_are_failures() {
        assert!(failures("how: panic").last().unwrap().contains("panicked: out of masks"));
        assert!(failures("{}").last().unwrap().contains("the example does not build: missing field `how`"));
    }

    #[test]
    fn every_kind_is_counted() {
        assert_eq!(check_all().checked.len(), 11);
    }
}
