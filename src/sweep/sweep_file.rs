//! The sweep file, typed. All mistakes that need no experiment are found here.

use std::{collections::BTreeSet, path::Path};

use serde_json::{Map, Value, json};

use super::{
    axes::{Axis, PARAMETERS, axis},
    budget::{self, Budget},
    early_section::{self, WantedRule},
    gpus::{self, Gpus},
    metric::{self, Wanted},
    reader::Reader,
};
use crate::config::{Change, ConfigError, Document, Span, describe, drop_anchors, join, mapping};

pub(super) const KEYS: &[&str] = &[
    "version",
    "name",
    "base",
    "method",
    "parameters",
    "arms",
    "exclude",
    "seeds",
    "samples",
    "run_cap",
    "metric",
    "early_terminate",
    "budget",
    "gpus",
];

/// Planned runs allowed where the file sets no `run_cap`.
const DEFAULT_CAP: u64 = 256;

/// How the axes make points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Grid,
    Zip,
    Random,
    Sobol,
    OneAtATime,
}

pub(super) const METHODS: [Method; 5] =
    [Method::Grid, Method::Zip, Method::Random, Method::Sobol, Method::OneAtATime];

impl Method {
    /// The word in a file.
    pub fn name(self) -> &'static str {
        match self {
            Method::Grid => "grid",
            Method::Zip => "zip",
            Method::Random => "random",
            Method::Sobol => "sobol",
            Method::OneAtATime => "one_at_a_time",
        }
    }

    /// Whether it draws `samples` points instead of walking all of them.
    pub fn draws(self) -> bool {
        matches!(self, Method::Random | Method::Sobol)
    }
}

/// A named ablation.
#[derive(Clone, Debug)]
pub(super) struct Arm {
    pub name: String,
    pub set: Vec<Change>,
}

/// Paths and the values they must all have for a point to be left out.
#[derive(Clone, Debug)]
pub(super) struct Exclusion {
    pub span: Span,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub path: String,
    pub value: Value,
    pub span: Span,
}

/// A sweep as typed.
#[derive(Debug)]
pub(super) struct SweepFile {
    pub name: String,
    pub base: String,
    pub base_place: Span,
    pub method: Method,
    pub axes: Vec<Axis>,
    pub arms: Vec<Arm>,
    pub exclude: Vec<Exclusion>,
    /// None: the seed of the base.
    pub seeds: Option<Vec<u64>>,
    pub samples: u64,
    pub run_cap: u64,
    pub cap_place: Span,
    pub budget: Option<Budget>,
    pub gpus: Option<Gpus>,
    pub early: Option<WantedRule>,
    pub metric: Option<Wanted>,
    pub parameters_place: Span,
}

/// Whether a file describes a sweep and not one experiment.
pub fn is_sweep(text: &str) -> bool {
    let Ok(document) = Document::from_file("", text) else { return false };
    mapping(&document.value)
        .is_ok_and(|top| ["base", "parameters", "arms"].iter().any(|k| top.contains_key(*k)))
}

/// Reads a sweep file.
pub(super) fn read(file_name: &str, text: &str) -> Result<SweepFile, ConfigError> {
    let mut document = Document::from_file(file_name, text).map_err(ConfigError::new)?;
    drop_anchors(&mut document);
    let mut reader = Reader::of(&document, "a sweep");
    let file = sweep(file_name, &mut reader);
    match file {
        Some(file) if reader.problems.is_empty() => Ok(file),
        _ => Err(ConfigError::new(reader.problems)),
    }
}

fn sweep(file_name: &str, reader: &mut Reader) -> Option<SweepFile> {
    let document = reader.document;
    let top = reader.mapping("", &document.value, KEYS)?;
    if let Some(version) = top.get("version") {
        reader.whole("version", version, 1, 1);
    }
    let words = METHODS.map(Method::name);
    let method = top.get("method").map_or(Some(0), |m| reader.word("method", m, &words));
    let method = METHODS[method.unwrap_or(0)];
    let (axes, arms) = (axes(top, method, reader), arms(top, reader));
    if !top.contains_key("parameters") && !top.contains_key("arms") {
        reader.wrong("", "neither `parameters` nor `arms` is there: nothing is varied", "");
    }
    let base = base(top, reader);
    let metric = metric::read(top, reader);
    let early = early_section::read(top, metric.as_ref(), reader);
    let at = |key: &str| document.places.value(key);
    Some(SweepFile {
        name: name(file_name, top, reader)?,
        base: base?,
        base_place: at("base"),
        method,
        axes,
        arms,
        exclude: exclusions(top, reader),
        seeds: seeds(top, reader),
        samples: samples(top, method, reader),
        run_cap: top
            .get("run_cap")
            .and_then(|c| reader.whole("run_cap", c, 1, 1_000_000))
            .unwrap_or(DEFAULT_CAP),
        cap_place: at("run_cap"),
        budget: budget::read(top, reader),
        gpus: gpus::read(top, reader),
        early,
        metric,
        parameters_place: document.places.key("parameters"),
    })
}

fn name(file_name: &str, top: &Map<String, Value>, reader: &mut Reader) -> Option<String> {
    let stem = Path::new(file_name).file_stem().map(|s| json!(s.to_string_lossy())).unwrap_or_default();
    // A problem is reported; the placeholder lets the rest be read.
    Some(reader.name("name", top.get("name").unwrap_or(&stem)).unwrap_or_default())
}

fn base(top: &Map<String, Value>, reader: &mut Reader) -> Option<String> {
    match top.get("base") {
        Some(Value::String(file)) => return Some(file.clone()),
        Some(other) => reader.wrong("base", format!("is {}; expected a file name", describe(other)), ""),
        None => {
            let help = "write `base: experiment.yaml`, relative to this file";
            reader.wrong("base", "is missing: the experiment that is varied", help);
        }
    }
    Some(String::new())
}

fn axes(top: &Map<String, Value>, method: Method, reader: &mut Reader) -> Vec<Axis> {
    let Some(value) = top.get(PARAMETERS) else { return Vec::new() };
    let Some(map) =
        reader.free_mapping(PARAMETERS, value, "a mapping such as `masking.targets: { values: [1, 2] }`")
    else {
        return Vec::new();
    };
    if map.is_empty() {
        reader.wrong(PARAMETERS, "is empty", "give at least one parameter, or leave the section out");
    }
    let axes: Vec<Axis> =
        map.iter().filter_map(|(path, form)| axis(PARAMETERS, path, form, method, reader)).collect();
    twice(&axes, reader);
    if method == Method::Zip {
        unequal(&axes, reader);
    }
    axes
}

/// A setting that two axes change has two values.
fn twice(axes: &[Axis], reader: &mut Reader) {
    for (i, axis) in axes.iter().enumerate() {
        let other = |path: &&str| axes[..i].iter().find(|a| a.paths().contains(path));
        let Some((path, first)) = axis.paths().into_iter().find_map(|p| Some((p, other(&p)?))) else {
            continue;
        };
        let message = format!("varies `{path}`, as `{}` does above", first.name);
        reader.wrong(&join(PARAMETERS, &axis.name), message, "vary a setting in one place");
    }
}

/// Axes that are walked together need the same number of values.
fn unequal(axes: &[Axis], reader: &mut Reader) {
    let Some(first) = axes.first() else { return };
    for axis in &axes[1..] {
        if axis.count() != first.count() {
            let message = format!(
                "has {} values, but `{}` has {}; method `zip` walks them together",
                axis.count(),
                first.name,
                first.count()
            );
            reader.wrong(
                &join(PARAMETERS, &axis.name),
                message,
                "give the same number, or use `method: grid`",
            );
        }
    }
}

/// Whether an experiment's path may be varied; reported if not.
pub(super) fn may_vary(path: &str, at: &str, reader: &mut Reader) -> bool {
    let (message, help) = match path {
        "seed" => {
            ("a seed is a replication, not a parameter", "write `seeds: 3` or `seeds: [0, 1, 2]` at the top")
        }
        "version" | "extends" | "name" => ("cannot be varied", "it belongs in the experiment file"),
        _ if path.is_empty() || path.split('.').any(str::is_empty) => ("is no path", "write masking.targets"),
        _ => return true,
    };
    reader.wrong(at, message, help);
    false
}

fn arms(top: &Map<String, Value>, reader: &mut Reader) -> Vec<Arm> {
    let Some(items) = top.get("arms").and_then(|arms| reader.list("arms", arms)) else { return Vec::new() };
    let arms: Vec<Arm> =
        items.iter().enumerate().filter_map(|(i, v)| arm(&format!("arms.{i}"), v, reader)).collect();
    let mut seen = BTreeSet::new();
    for (i, item) in items.iter().enumerate() {
        let name = item.get("name").and_then(Value::as_str);
        if let Some(name) = name.filter(|n| !seen.insert(*n)) {
            reader.wrong(&format!("arms.{i}.name"), format!("an arm above is named `{name}` too"), "");
        }
    }
    arms
}

fn arm(path: &str, value: &Value, reader: &mut Reader) -> Option<Arm> {
    let map = reader.mapping(path, value, &["name", "set"])?;
    let name_at = join(path, "name");
    let name = match map.get("name") {
        Some(name) => reader.name(&name_at, name),
        None => {
            reader.wrong(path, "has no name", "write `- { name: no-ema, set: { ... } }`");
            None
        }
    };
    let set = map.get("set").map_or(Some(Vec::new()), |set| changes(&join(path, "set"), set, reader));
    Some(Arm { name: name?, set: set? })
}

fn changes(at: &str, set: &Value, reader: &mut Reader) -> Option<Vec<Change>> {
    let document = reader.document;
    let Some(map) = set.as_object() else {
        reader.wrong(at, format!("is {}; expected a mapping such as `masking: random`", describe(set)), "");
        return None;
    };
    let mut changes = Vec::new();
    for (path, value) in map {
        let entry = join(at, path);
        if may_vary(path, &entry, reader) {
            changes.push(Change::typed(path, document, &entry, &entry, value));
        }
    }
    Some(changes)
}

fn exclusions(top: &Map<String, Value>, reader: &mut Reader) -> Vec<Exclusion> {
    let Some(value) = top.get("exclude") else { return Vec::new() };
    let document = reader.document;
    let Some(items) = value.as_array() else {
        reader.wrong(
            "exclude",
            format!("is {}; expected a list", describe(value)),
            "write `- { path: value }`",
        );
        return Vec::new();
    };
    let mut found = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let at = format!("exclude.{i}");
        let Some(map) = item.as_object().filter(|m| !m.is_empty()) else {
            reader.wrong(&at, format!("is {}; expected a mapping of paths to values", describe(item)), "");
            continue;
        };
        let conditions = map.iter().map(|(path, value)| Condition {
            path: crate::config::slot(path).to_owned(),
            value: value.clone(),
            span: document.places.key(&join(&at, path)),
        });
        found.push(Exclusion { span: document.places.value(&at), conditions: conditions.collect() });
    }
    found
}

fn seeds(top: &Map<String, Value>, reader: &mut Reader) -> Option<Vec<u64>> {
    let value = top.get("seeds")?;
    let Some(items) = value.as_array() else {
        return Some((0..reader.whole("seeds", value, 1, 10_000)?).collect());
    };
    if items.is_empty() {
        reader.wrong("seeds", "is empty", "write `seeds: 3` or `seeds: [0, 1, 2]`");
    }
    let mut seeds = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let at = format!("seeds.{i}");
        let Some(seed) = reader.whole(&at, item, 0, u64::MAX) else { continue };
        if seeds.contains(&seed) {
            reader.wrong(&at, format!("the seed {seed} is there twice"), "");
        }
        seeds.push(seed);
    }
    Some(seeds)
}

fn samples(top: &Map<String, Value>, method: Method, reader: &mut Reader) -> u64 {
    match top.get("samples") {
        // Sobol points repeat after 65,536.
        Some(value) if method.draws() => reader.whole("samples", value, 1, 65_536).unwrap_or(1),
        Some(_) => {
            reader.wrong("samples", "belongs to `method: random` and `method: sobol`", "");
            1
        }
        None if method.draws() => {
            let message = format!("is missing: how many points `method: {}` draws", method.name());
            reader.wrong("samples", message, "write `samples: 20`");
            1
        }
        None => 1,
    }
}
