//! The sections of a file, read one by one into components: whatever can be read is, and the rest reported.

use std::fmt::Debug;

use ijepa_registry::{
    __kind,
    entry::{Kind, schema_of},
    kinds::{Augmentation, Probe, RegularizerSettings, Schedule, ViewOptions},
    problem::Problem,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    collapse::CollapseRule,
    component::{self, Component},
    document::describe,
    error::{MISSING_SECTION, Report},
    experiment::{Experiment, ProbeSpec, RegularizerSpec},
    history,
    init::InitSettings,
    sections::{
        DataOptions, Device, Header, ProbeOptions, RegularizerOptions, TrainSettings, WEIGHT, options_of,
        with_sections,
    },
    settings::{settle, violations},
    span::{SourceMap, Span, join},
    surroundings::expand_paths,
};

macro_rules! parts {
    ($($section:ident: $kind:ident, [$($alias:literal),*], $default:expr, $about:literal;)+) => {
        /// Sections that could be read; the others have been reported.
        pub(crate) struct Parts {
            $(pub $section: Option<Component<__kind!($kind)>>,)+
            pub validation: usize,
            pub views: ViewOptions,
            pub augmentation: Vec<Component<dyn Augmentation>>,
            pub regularizers: Vec<RegularizerSpec>,
            pub init: Option<InitSettings>,
            pub train: Option<TrainSettings>,
            pub probes: Vec<ProbeSpec>,
            pub collapse: Vec<CollapseRule>,
        }

        impl Parts {
            /// Reads every section.
            pub(crate) fn read(top: &Map<String, Value>, report: &mut Report) -> Parts {
                let (data, views) = (options::<DataOptions>("dataset", top, report), options("masking", top, report));
                let validation = data.validation;
                Parts {
                    $($section: section(stringify!($section), $default, top, report),)+
                    validation,
                    views,
                    augmentation: augmentation(top, report),
                    regularizers: regularizers(top, report),
                    init: init(top, report),
                    train: train(top, report),
                    probes: probes(top, validation > 0, report),
                    collapse: collapse(top, report),
                }
            }

            /// The experiment, if every part that it needs is there.
            pub(crate) fn finish(
                self,
                name: String,
                header: Header,
                notes: Vec<String>,
                places: SourceMap,
            ) -> Option<Experiment> {
                Some(Experiment {
                    name,
                    seed: header.seed,
                    device: header.device.parse::<Device>().ok()?,
                    $($section: self.$section?,)+
                    validation: self.validation,
                    views: self.views,
                    data: None,
                    augmentation: self.augmentation,
                    regularizers: self.regularizers,
                    init: self.init,
                    train: self.train?,
                    probes: self.probes,
                    collapse: self.collapse,
                    notes,
                    places,
                })
            }
        }
    };
}
with_sections!(parts);

/// The component of a section; its default where the section is left out.
fn section<K: Kind + Debug + ?Sized>(
    name: &str,
    default: Option<&str>,
    top: &Map<String, Value>,
    report: &mut Report,
) -> Option<Component<K>> {
    let given = match (top.get(name), default) {
        (Some(value), _) => value.clone(),
        (None, Some(default)) => serde_json::json!({ "kind": default }),
        (None, None) if is_excused(name, report) => return None,
        (None, None) => {
            let help = format!("write `{name}: NAME`; {}", component::choices(K::NAME));
            report.add("", missing(name, report).help(help));
            return None;
        }
    };
    if let Some(problem) = history::outdated(name, &given) {
        report.add(name, problem);
        return None;
    }
    if name == "targets" && given.is_number() {
        let message = format!("is {}; expected what is predicted, such as `ema`", describe(&given));
        report.add("", Problem::new(name, message).help("the number of target blocks is `masking.targets`"));
        return None;
    }
    let (_, settings, keys) = divided(K::NAME, &given);
    component::read(name, &settings, &names(&keys), report)
}

/// Keys that every component of a kind has, and its own settings.
fn divided(kind: &str, value: &Value) -> (Value, Value, Vec<String>) {
    let keys = option_keys(kind);
    let Value::Object(whole) = value else { return (Value::Object(Map::new()), value.clone(), keys) };
    let (options, settings): (Map<_, _>, Map<_, _>) =
        whole.clone().into_iter().partition(|(key, _)| keys.contains(key));
    (Value::Object(options), Value::Object(settings), keys)
}

fn names(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}

/// The keys that every component of a kind has in a file.
fn option_keys(kind: &str) -> Vec<String> {
    let schema = options_of(kind).unwrap_or_default();
    let keys = schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.clone());
    keys.chain((kind == <dyn RegularizerSettings>::NAME).then(|| WEIGHT.section.into())).collect()
}

/// The keys of a section that belong to no kind of its component.
fn options<S: DeserializeOwned + JsonSchema + Default>(
    kind: &str,
    top: &Map<String, Value>,
    report: &mut Report,
) -> S {
    let (options, ..) = divided(kind, top.get(kind).unwrap_or(&Value::Null));
    decode(kind, options, &format!("`{kind}`"), report).unwrap_or_default()
}

fn missing(name: &str, report: &Report) -> Problem {
    let empty = report.was_left_empty(name);
    Problem::new(name, if empty { "this section is empty" } else { MISSING_SECTION })
}

/// Whether a section is missing because its key, or `extends`, is misspelled: that has been reported.
fn is_excused(name: &str, report: &Report) -> bool {
    report.is_misspelled(name) && !report.was_left_empty(name)
}

fn augmentation(top: &Map<String, Value>, report: &mut Report) -> Vec<Component<dyn Augmentation>> {
    let default = serde_json::json!([{ "kind": "normalize" }]);
    let steps = list("augmentation", top.get("augmentation").unwrap_or(&default), report);
    steps.into_iter().filter_map(|(path, step)| component::read(&path, step, &[], report)).collect()
}

/// The entries of a list section with their paths.
fn list<'v>(name: &str, value: &'v Value, report: &mut Report) -> Vec<(String, &'v Value)> {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().map(|(i, v)| (join(name, &i.to_string()), v)).collect()
        }
        Value::Null => Vec::new(),
        other => {
            let message = format!("is {}; expected a list", describe(other));
            report.add("", Problem::new(name, message).help(format!("write `{name}: [...]`")));
            Vec::new()
        }
    }
}

fn train(top: &Map<String, Value>, report: &mut Report) -> Option<TrainSettings> {
    match top.get("train") {
        None if is_excused("train", report) => None,
        None => {
            report.add("", missing("train", report).help("write `train: { epochs: 100, batch_size: 64 }`"));
            None
        }
        Some(value) => decode("train", value.clone(), "`train`", report),
    }
}

/// The weights to start from. A name alone is where they are.
fn init(top: &Map<String, Value>, report: &mut Report) -> Option<InitSettings> {
    let mut value = match top.get("init")? {
        Value::String(from) => serde_json::json!({ "from": from }),
        other => other.clone(),
    };
    expand_paths("init", &schema_of::<InitSettings>().to_value(), &mut value, report);
    let mut settings: InitSettings = decode("init", value, "`init`", report)?;
    look_up(&mut settings, report);
    Some(settings)
}

/// Fills in the hash of the weights, if anybody can look at them; a hash that is there has to be theirs.
fn look_up(init: &mut InitSettings, report: &mut Report) {
    let found = report.models().map(|models| models.hash(&init.from, &init.parts));
    match (found, &init.weights) {
        (Some(Ok(hash)), None) => (init.weights, init.is_fresh) = (Some(hash), true),
        (Some(Ok(hash)), Some(named)) if hash != *named => {
            let message = format!("is {named}, but the weights in {} are {hash}", init.from);
            let help = "leave `weights` out to start from those that are there";
            report.add("init", Problem::new("weights", message).help(help));
        }
        // A run that is continued does not look at them again.
        (Some(Err(_)), Some(_)) | (Some(Ok(_)), Some(_)) | (None, Some(_)) => {}
        (Some(Err(reason)), None) => report.add("init", Problem::new("from", reason)),
        (None, None) => {
            report.add("init", Problem::new("weights", "is missing, and nobody looks at the weights here"))
        }
    }
}

fn probes(top: &Map<String, Value>, validation: bool, report: &mut Report) -> Vec<ProbeSpec> {
    let entries = list("probes", top.get("probes").unwrap_or(&Value::Null), report);
    let spec = |(path, entry): (String, &Value)| {
        probe(&path, entry, report).map(|probe| ProbeSpec { validation, ..probe })
    };
    entries.into_iter().filter_map(spec).collect()
}

/// The probes of a configuration as a run folder keeps it; what this program cannot build is left out.
pub(crate) fn stored_probes(configuration: &Value) -> Vec<ProbeSpec> {
    let places = SourceMap::new(Span::Override("".into()));
    let section = configuration.get("probes").unwrap_or(&Value::Null);
    list("probes", section, &mut Report::new(&places, Vec::new()))
        .into_iter()
        .filter_map(|(path, entry)| probe(&path, entry, &mut Report::new(&places, Vec::new())))
        .collect()
}

fn collapse(top: &Map<String, Value>, report: &mut Report) -> Vec<CollapseRule> {
    let rules = list("collapse", top.get("collapse").unwrap_or(&Value::Null), report);
    let rule = |(path, value): (String, &Value)| decode(&path, value.clone(), "a collapse rule", report);
    rules.into_iter().filter_map(rule).collect()
}

fn probe(path: &str, entry: &Value, report: &mut Report) -> Option<ProbeSpec> {
    let (options, settings, keys) = divided(<dyn Probe>::NAME, entry);
    let options = decode::<ProbeOptions>(path, options, "a probe", report);
    let component: Option<Component<dyn Probe>> = component::read(path, &settings, &names(&keys), report);
    let (options, component) = (options?, component?);
    Some(ProbeSpec {
        name: options.name.unwrap_or_else(|| component.kind.clone()),
        every: options.every,
        encoders: options.encoders,
        controls: options.controls,
        labels: options.labels,
        predictions: options.predictions,
        validation: false,
        component,
    })
}

fn regularizers(top: &Map<String, Value>, report: &mut Report) -> Vec<RegularizerSpec> {
    let entries = list("regularizers", top.get("regularizers").unwrap_or(&Value::Null), report);
    entries.into_iter().filter_map(|(path, entry)| regularizer(&path, entry, report)).collect()
}

fn regularizer(path: &str, entry: &Value, report: &mut Report) -> Option<RegularizerSpec> {
    let (mut options, settings, keys) = divided(<dyn RegularizerSettings>::NAME, entry);
    let weight = options.as_object_mut().and_then(|options| options.shift_remove(WEIGHT.section));
    let weight: Option<Component<dyn Schedule>> = match weight {
        Some(weight) => component::read(&join(path, WEIGHT.section), &weight, &[], report),
        None => {
            let help = format!("write `{}: 0.1`, or a schedule", WEIGHT.section);
            report.add(path, Problem::new(WEIGHT.section, "a term of the loss needs a weight").help(help));
            None
        }
    };
    let options = decode::<RegularizerOptions>(path, options, "a regularizer", report);
    let component: Option<Component<dyn RegularizerSettings>> =
        component::read(path, &settings, &names(&keys), report);
    let (options, component) = (options?, component?);
    Some(RegularizerSpec {
        name: options.name.unwrap_or_else(|| component.kind.clone()),
        weight: weight?,
        on: options.on,
        component,
    })
}

/// Reads settings that belong to no component.
pub(super) fn decode<S: DeserializeOwned + JsonSchema>(
    path: &str,
    mut value: Value,
    owner: &str,
    report: &mut Report,
) -> Option<S> {
    let schema = schema_of::<S>().to_value();
    settle(&schema, &mut value);
    if !report.clean(path, violations(&schema, &value, owner, &[])) {
        return None;
    }
    serde_json::from_value(value).map_err(|e| report.add(path, Problem::new("", e.to_string()))).ok()
}
