//! From what was typed to what was meant: reads every section, checks it, reports everything.

use std::{fmt::Debug, path::Path};

use ijepa_registry::{
    catalogue,
    entry::{Kind, schema_of},
    kinds::{
        Augmentation, Dataset, EncoderSettings, LossSettings, Masking, OptimizerSettings, PredictorSettings,
        Probe, Schedule,
    },
    problem::{Problem, nearest},
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    checks,
    collapse::CollapseRule,
    component::{self, Component},
    document::describe,
    error::{ConfigError, Finding, Located, MISSING_SECTION, Report, UNKNOWN_SECTION},
    experiment::{Experiment, ProbeSpec},
    naming,
    place::{Place, Places, join},
    sections::{COMPONENTS, DataOptions, Device, Header, ProbeOptions, SECTIONS, TrainSettings},
    sentences::did_you_mean,
    settings::{settle, violations},
    spec::Spec,
};

/// Sections that could be read; the others have been reported.
pub(crate) struct Parts {
    pub dataset: Option<Component<dyn Dataset>>,
    pub validation: usize,
    pub augmentation: Vec<Component<dyn Augmentation>>,
    pub encoder: Option<Component<dyn EncoderSettings>>,
    pub predictor: Option<Component<dyn PredictorSettings>>,
    pub masking: Option<Component<dyn Masking>>,
    pub loss: Option<Component<dyn LossSettings>>,
    pub optimizer: Option<Component<dyn OptimizerSettings>>,
    pub learning_rate: Option<Component<dyn Schedule>>,
    pub weight_decay: Option<Component<dyn Schedule>>,
    pub ema: Option<Component<dyn Schedule>>,
    pub train: Option<TrainSettings>,
    pub probes: Vec<ProbeSpec>,
    pub collapse: Vec<CollapseRule>,
}

/// Judges and builds everything.
pub(crate) fn build(file_name: &str, spec: Spec) -> Result<Experiment, ConfigError> {
    let Spec { document, notes, problems, variables, extended } = spec;
    let empty = Map::new();
    let top = document.value.as_object().unwrap_or(&empty);
    let mut report = Report::new(&document.places, problems)
        .with_variables(&variables)
        .with_misspelled(unknown_keys(top).flat_map(|key| naming::sections_of(key)).collect());
    report.clean("", catalogue::duplicates().into_iter().map(|message| Problem::new("", message)));
    report.clean("", unknown_sections(top));
    left_empty("", &document.value, &mut report);
    // `null` at the top means that the section is as if it were not there.
    let given = top.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone()));
    let top = &given.collect::<Map<_, _>>();
    let header = header(file_name, top, &mut report);
    let parts = parts(top, &mut report);
    let advice = checks::check(&parts, &mut report);
    report.into_result().map_err(|error| inherited(file_name, &extended, error))?;
    let notes = [notes, advice].concat();
    let start = document.places.key("");
    let experiment = header.and_then(|header| finish(header, parts, notes, document.places));
    experiment.ok_or_else(|| ConfigError::new(vec![Located { place: start, ..lost() }]))
}

/// Every part that is missing has been reported, so this is only seen if the program is wrong.
fn lost() -> Located {
    let message = "a section was lost without a reason: this is a mistake in the program".into();
    Located { place: Place::Override("".into()), path: String::new(), message, help: None }
}

fn finish(
    (name, header): (String, Header),
    parts: Parts,
    notes: Vec<String>,
    places: Places,
) -> Option<Experiment> {
    Some(Experiment {
        name,
        seed: header.seed,
        device: header.device.parse::<Device>().ok()?,
        dataset: parts.dataset?,
        validation: parts.validation,
        data: None,
        augmentation: parts.augmentation,
        encoder: parts.encoder?,
        predictor: parts.predictor?,
        masking: parts.masking?,
        loss: parts.loss?,
        optimizer: parts.optimizer?,
        learning_rate: parts.learning_rate?,
        weight_decay: parts.weight_decay?,
        ema: parts.ema?,
        train: parts.train?,
        probes: parts.probes,
        collapse: parts.collapse,
        notes,
        places,
    })
}

fn unknown_sections(top: &Map<String, Value>) -> Vec<Finding> {
    unknown_keys(top)
        .map(|key| {
            let problem = Problem::new(key, format!("{UNKNOWN_SECTION} `{key}`"));
            Finding { at_key: true, problem: problem.help(section_help(key)) }
        })
        .collect()
}

fn unknown_keys(top: &Map<String, Value>) -> impl Iterator<Item = &String> {
    top.keys().filter(|key| !SECTIONS.contains(&key.as_str()))
}

/// The section or setting that `key` may have meant, and all sections.
pub(super) fn section_help(key: &str) -> String {
    let near = nearest(key, SECTIONS.iter().copied());
    match naming::elsewhere(key).filter(|_| near.is_empty()) {
        Some(question) => format!("{question}\nsections: {}", SECTIONS.join(", ")),
        None => did_you_mean(key, SECTIONS),
    }
}

/// Entries that were typed without a value: an empty shell variable, a list whose items are comments.
fn left_empty(path: &str, value: &Value, report: &mut Report) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, v)| left_empty(&join(path, key), v, report)),
        Value::Array(items) => {
            // An empty entry is reported where entries are read.
            let entries = items.iter().enumerate().filter(|(_, v)| !v.is_null());
            entries.for_each(|(i, v)| left_empty(&join(path, &i.to_string()), v, report));
        }
        Value::Null if report.was_left_empty(path) && !is_required(path) && !path.ends_with(".kind") => {
            let help = match path {
                "augmentation" | "probes" | "collapse" => {
                    format!("write `{path}: []` for none, or leave the line out for the default")
                }
                _ => "write a value, or leave the line out for the default".into(),
            };
            report.add("", Problem::new(path, "has no value").help(help));
        }
        _ => {}
    }
}

/// Sections that are reported by themselves when they are empty.
fn is_required(path: &str) -> bool {
    path == "train" || COMPONENTS.iter().any(|c| c.section == path)
}

/// Says of mistakes in an extended file how they got here and what undoes them.
fn inherited(file_name: &str, extended: &[String], error: ConfigError) -> ConfigError {
    let explain = |problem: Located| {
        let Place::File { name, .. } = &problem.place else { return problem };
        if !extended.iter().any(|e| **e == **name) {
            return problem;
        }
        let section = problem.path.split('.').next().unwrap_or_default();
        let remedy = match section {
            "collapse" | "probes" | "augmentation" => {
                format!("`{section}: []` there drops what is inherited")
            }
            _ => format!("`{section}` there replaces what is inherited"),
        };
        let line = format!("{file_name} inherits this from {name}; {remedy}");
        let help = problem.help.clone().map_or(line.clone(), |help| format!("{help}\n{line}"));
        Located { help: Some(help), ..problem }
    };
    ConfigError::new(error.problems.into_iter().map(explain).collect())
}

fn header(file_name: &str, top: &Map<String, Value>, report: &mut Report) -> Option<(String, Header)> {
    let keys = ["version", "name", "seed", "device"];
    let given = keys.iter().filter_map(|k| top.get(*k).map(|v| (k.to_string(), v.clone())));
    let header: Header = decode("", Value::Object(given.collect()), "the experiment", report)?;
    let name = header.name.clone().or_else(|| name_of(file_name));
    if name.is_none() {
        let message = format!("is missing, and `{file_name}` holds other characters than a-z, 0-9, - and _");
        report.add("", Problem::new("name", message).help("write `name: my-experiment`"));
    }
    Some((name?, header))
}

/// The file's name without its ending, if that can name an experiment.
fn name_of(file_name: &str) -> Option<String> {
    let stem = Path::new(file_name).file_stem()?.to_str()?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    (!stem.is_empty() && stem.len() <= 80 && stem.chars().all(allowed)).then(|| stem.to_owned())
}

fn parts(top: &Map<String, Value>, report: &mut Report) -> Parts {
    let (dataset, validation) = dataset(top, report);
    Parts {
        dataset,
        validation,
        augmentation: augmentation(top, report),
        encoder: section("encoder", top, report),
        predictor: section("predictor", top, report),
        masking: section("masking", top, report),
        loss: section("loss", top, report),
        optimizer: section("optimizer", top, report),
        learning_rate: section("learning_rate", top, report),
        weight_decay: section("weight_decay", top, report),
        ema: section("ema", top, report),
        train: train(top, report),
        probes: probes(top, validation > 0, report),
        collapse: collapse(top, report),
    }
}

fn section<K: Kind + Debug + ?Sized>(
    name: &str,
    top: &Map<String, Value>,
    report: &mut Report,
) -> Option<Component<K>> {
    match top.get(name) {
        None if is_excused(name, report) => None,
        None => {
            let help = format!("write `{name}: NAME`; {}", component::choices::<K>());
            report.add("", missing(name, report).help(help));
            None
        }
        Some(value) => component::read(name, value, &[], report),
    }
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

/// Splits the section into the keys of all data sets and the settings of this one.
fn dataset(top: &Map<String, Value>, report: &mut Report) -> (Option<Component<dyn Dataset>>, usize) {
    const KEYS: [&str; 1] = ["validation"];
    let Some(Value::Object(whole)) = top.get("dataset") else { return (section("dataset", top, report), 0) };
    let (options, settings): (Map<_, _>, Map<_, _>) =
        whole.clone().into_iter().partition(|(k, _)| KEYS.contains(&k.as_str()));
    let options = decode::<DataOptions>("dataset", Value::Object(options), "`dataset`", report);
    let component = component::read("dataset", &Value::Object(settings), &KEYS, report);
    (component, options.unwrap_or_default().validation)
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
    let places = Places::new(Place::Override("".into()));
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

/// Splits an entry into the keys of the list and the settings of the component.
fn probe(path: &str, entry: &Value, report: &mut Report) -> Option<ProbeSpec> {
    let keys = ["name", "every", "encoders", "controls", "labels"];
    let whole = entry.as_object().cloned();
    let (options, settings): (Map<_, _>, Map<_, _>) =
        whole.clone().unwrap_or_default().into_iter().partition(|(k, _)| keys.contains(&k.as_str()));
    let settings = if whole.is_some() { Value::Object(settings) } else { entry.clone() };
    let options = decode::<ProbeOptions>(path, Value::Object(options), "a probe", report);
    let component: Option<Component<dyn Probe>> = component::read(path, &settings, &keys, report);
    let (options, component) = (options?, component?);
    Some(ProbeSpec {
        name: options.name.unwrap_or_else(|| component.kind.clone()),
        every: options.every,
        encoders: options.encoders,
        controls: options.controls,
        labels: options.labels,
        validation: false,
        component,
    })
}

/// Reads settings that belong to no component.
fn decode<S: DeserializeOwned + JsonSchema>(
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
