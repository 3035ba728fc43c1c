//! What earlier versions called otherwise or did not have: names in run folders are translated, so that their
//! runs stay readable and are not trained again. In a user's file an old name is refused with the new one.

use std::{borrow::Cow, sync::LazyLock};

use ijepa_registry::problem::Problem;
use serde_json::{Map, Value, json};

use super::{component::default_component, sections::COMPONENTS};

/// A value of a setting that is spelled otherwise now, in an experiment file or in a sweep file.
struct Renamed {
    section: &'static str,
    setting: &'static str,
    old: &'static str,
    new: &'static str,
}

const RENAMED: &[Renamed] = &[
    Renamed { section: "masking", setting: "kind", old: "multiblock_seed", new: "multiblock_batch" },
    Renamed { section: "encoder", setting: "preset", old: "seed", new: "cifar_small" },
    Renamed { section: "early_terminate", setting: "kind", old: "asha", new: "successive_halving" },
];

/// What stands for each section that may be absent, in its decisive form; built once, because `compare` asks
/// for every run.
static DEFAULTS: LazyLock<Vec<(&str, Value)>> = LazyLock::new(|| {
    let parts = COMPONENTS.iter().filter_map(|part| Some((part, part.default?)));
    let components = parts.map(|(part, name)| (part.section, default_component(part.kind, name)));
    components.chain([("regularizers", json!([]))]).collect()
});

/// The spelling of today, if `word` is an earlier one of a setting; `path` is `section.setting`.
pub(crate) fn renamed(path: &str, word: &str) -> Option<&'static str> {
    let is_old = |r: &&Renamed| r.old == word && path.split_once('.') == Some((r.section, r.setting));
    RENAMED.iter().find(is_old).map(|r| r.new)
}

/// The problem of an old spelling in a user's section.
pub(super) fn outdated(name: &str, section: &Value) -> Option<Problem> {
    let is_old = |r: &&Renamed| r.section == name && section[r.setting] == r.old;
    let Renamed { setting, old, new, .. } = RENAMED.iter().find(is_old)?;
    Some(
        Problem::new(*setting, format!("`{old}` is called `{new}` now"))
            .help(format!("write `{setting}: {new}`")),
    )
}

/// Puts `to` where a setting is `from`.
fn translate(top: &mut Map<String, Value>, (section, setting): (&str, &str), from: &str, to: &str) {
    let value = top.get_mut(section).and_then(|section| section.get_mut(setting));
    if let Some(value) = value.filter(|value| **value == *from) {
        *value = json!(to);
    }
}

/// A configuration as a run folder keeps it, in today's words: names translated, sections added that did not
/// exist when it was written.
pub(crate) fn modernize(configuration: &mut Value) {
    let Some(top) = configuration.as_object_mut() else { return };
    for Renamed { section, setting, old, new } in RENAMED {
        translate(top, (section, setting), old, new);
    }
    let dated = top.contains_key("encoder");
    for (section, default) in DEFAULTS.iter().filter(|_| dated) {
        if !top.contains_key(*section) {
            top.insert((*section).into(), default.clone());
        }
    }
}

/// The text of a stored experiment in today's words; as it is where it needs no translation.
pub(crate) fn modern(text: &str) -> Cow<'_, str> {
    let stored: Value = serde_yaml::from_str(text).unwrap_or_default();
    let is_old = |r: &Renamed| stored[r.section][r.setting] == r.old;
    if !RENAMED.iter().any(is_old) {
        return text.into();
    }
    let mut modern = stored;
    modernize(&mut modern);
    serde_yaml::to_string(&modern).map_or(text.into(), Cow::from)
}

/// Takes out of a configuration what says the same as its absence, and puts first names back, so that an
/// identity stays what it was before there was a choice.
pub(super) fn forget_defaults(top: &mut Map<String, Value>) {
    for Renamed { section, setting, old, new } in RENAMED {
        translate(top, (section, setting), new, old);
    }
    for (section, default) in DEFAULTS.iter() {
        if top.get(*section) == Some(default) {
            top.shift_remove(*section);
        }
    }
}
