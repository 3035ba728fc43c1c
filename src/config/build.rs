//! From what was typed to what was meant: reads every section, checks it, reports everything.

use std::path::Path;

use ijepa_registry::{
    catalogue,
    problem::{Problem, nearest},
};
use serde_json::{Map, Value};

use super::{
    checks,
    error::{ConfigError, Finding, Located, Report, UNKNOWN_SECTION},
    experiment::Experiment,
    layers::Spec,
    naming,
    parts::{Parts, decode},
    sections::{COMPONENTS, Header, SECTIONS},
    span::{Span, join},
    wording::did_you_mean,
};

/// Judges and builds everything.
pub(crate) fn build(file_name: &str, spec: Spec) -> Result<Experiment, ConfigError> {
    let Spec { document, notes, problems, variables, models, extended } = spec;
    let empty = Map::new();
    let top = document.value.as_object().unwrap_or(&empty);
    let mut report = Report::new(&document.places, problems)
        .with_variables(&variables)
        .with_models(models)
        .with_misspelled(unknown_keys(top).flat_map(|key| naming::sections_of(key)).collect());
    report.clean("", catalogue::duplicates().into_iter().map(|message| Problem::new("", message)));
    report.clean("", unknown_sections(top));
    left_empty("", &document.value, &mut report);
    // `null` at the top means that the section is as if it were not there.
    let given = top.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone()));
    let top = &given.collect::<Map<_, _>>();
    let header = header(file_name, top, &mut report);
    let parts = Parts::read(top, &mut report);
    let advice = checks::check(&parts, &mut report);
    report.into_result().map_err(|error| inherited(file_name, &extended, error))?;
    let notes = [notes, advice].concat();
    let start = document.places.key("");
    let experiment = header.and_then(|(name, header)| parts.finish(name, header, notes, document.places));
    experiment.ok_or_else(|| ConfigError::new(vec![Located { span: start, ..lost() }]))
}

/// Every part that is missing has been reported, so this is only seen if the program is wrong.
fn lost() -> Located {
    let message = "a section was lost without a reason: this is a mistake in the program".into();
    Located { span: Span::Override("".into()), path: String::new(), message, help: None }
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
        None => did_you_mean(key, &SECTIONS),
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
    path == "train" || COMPONENTS.iter().any(|c| c.section == path && c.default.is_none())
}

/// Says of mistakes in an extended file how they got here and what undoes them.
fn inherited(file_name: &str, extended: &[String], error: ConfigError) -> ConfigError {
    let explain = |problem: Located| {
        let Span::File { name, .. } = &problem.span else { return problem };
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
