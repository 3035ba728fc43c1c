//! Labels of arms where room is short: what differs between the arms, and no more.

use std::collections::BTreeMap;

use serde_json::Value;

use super::settings::Settings;

/// A label in its parts: a name, and settings with their values.
struct Parts {
    name: String,
    settings: Vec<(String, String)>,
}

/// One label per arm with only the settings in which the arms differ, each under the last word of its path
/// where that is enough: `targets=4, start=0.9` for `masking.targets=4,ema={kind: linear, start: 0.9, end: 1}`.
/// The labels as they are where nothing shorter tells the arms apart.
pub(super) fn short(labels: &[&str]) -> Vec<String> {
    let mut arms: Vec<Parts> = labels.iter().map(|label| parts(label)).collect();
    drop_shared(&mut arms);
    let names = last_words(&arms);
    let words = |arm: &Parts| {
        let name = Some(arm.name.clone()).filter(|n| !n.is_empty());
        let settings = arm.settings.iter().map(|(path, value)| format!("{}={value}", names[path]));
        name.into_iter().chain(settings).collect::<Vec<_>>().join(", ")
    };
    let short: Vec<String> = arms.iter().map(words).collect();
    let distinct = (0..short.len()).all(|i| !short[i].is_empty() && !short[..i].contains(&short[i]));
    if distinct { short } else { labels.iter().map(|label| (*label).into()).collect() }
}

/// The values of one setting in a few words each: of whole components, what differs between them.
pub fn short_values(values: &[String]) -> Vec<String> {
    if !values.iter().any(|value| value.starts_with('{')) {
        return values.to_vec();
    }
    // Arms may share a value; an arm without the setting keeps its empty one.
    let mut distinct: Vec<&str> = values.iter().map(String::as_str).filter(|v| !v.is_empty()).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let labels: Vec<String> = distinct.iter().map(|value| format!("value={value}")).collect();
    let short = short(&labels.iter().map(String::as_str).collect::<Vec<_>>());
    let own = |text: &String| text.strip_prefix("value=").unwrap_or(text).to_owned();
    let of =
        |value: &String| distinct.binary_search(&value.as_str()).map_or(String::new(), |i| own(&short[i]));
    values.iter().map(of).collect()
}

/// Whether every word of `wanted` is one of the label: `masking.targets=4` of `masking.targets=4,ema.start=0.9`.
pub(super) fn has_words(label: &str, wanted: &str) -> bool {
    let (words, asked) = (split(label), split(wanted));
    !asked.is_empty() && asked.iter().all(|word| words.contains(word))
}

/// `a=1,b=2` of a sweep, or `name a=1 b=2` of other runs.
fn parts(label: &str) -> Parts {
    let mut parts = Parts { name: String::new(), settings: Vec::new() };
    for word in split(label) {
        match word.split_once('=') {
            Some((path, value)) => parts.settings.extend(flat(path, value)),
            None if parts.settings.is_empty() => parts.name = format!("{} {word}", parts.name).trim().into(),
            None => parts.settings.extend([(word.into(), String::new())]),
        }
    }
    parts
}

/// Parts between commas and blanks outside of brackets.
fn split(label: &str) -> Vec<&str> {
    let (mut depth, mut from, mut words) = (0usize, 0, Vec::new());
    for (at, c) in label.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            ',' | ' ' if depth == 0 => {
                words.push(&label[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    words.push(&label[from..]);
    words.retain(|word| !word.is_empty());
    words
}

/// A setting, or all settings of a component: `ema={kind: linear, start: 0.9}` holds two.
fn flat(path: &str, value: &str) -> Vec<(String, String)> {
    let component =
        serde_yaml::from_str::<Value>(value).ok().filter(|v| value.starts_with('{') && v.is_object());
    let Some(component) = component else { return vec![(path.into(), value.into())] };
    let Settings(all) = Settings::all(&component);
    let whole = |inner: &str| if inner == "kind" { path.to_owned() } else { format!("{path}.{inner}") };
    all.into_iter().map(|(inner, value)| (whole(&inner), value)).collect()
}

/// Takes away what all arms with settings have in common.
fn drop_shared(arms: &mut [Parts]) {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    let with_settings = arms.iter().filter(|arm| !arm.settings.is_empty()).count();
    for setting in arms.iter().flat_map(|arm| &arm.settings) {
        *counts.entry(setting.clone()).or_default() += 1;
    }
    if with_settings > 1 {
        arms.iter_mut().for_each(|arm| arm.settings.retain(|setting| counts[setting] < with_settings));
    }
    let all_named_alike = arms.windows(2).all(|pair| pair[0].name == pair[1].name);
    if all_named_alike && arms.iter().all(|arm| !arm.settings.is_empty()) {
        arms.iter_mut().for_each(|arm| arm.name.clear());
    }
}

/// The last word of every path, or the path where two have the same one.
fn last_words(arms: &[Parts]) -> BTreeMap<String, String> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
    let mut paths: Vec<&String> = arms.iter().flat_map(|arm| &arm.settings).map(|(path, _)| path).collect();
    paths.sort_unstable();
    paths.dedup();
    let unique = |path: &str| paths.iter().filter(|p| last(p) == last(path)).count() == 1;
    paths.iter().map(|p| ((*p).clone(), if unique(p) { last(p) } else { (*p).clone() })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_what_differs() {
        let sweep = [
            "masking.targets=1,ema={kind: linear, start: 0.9, end: 0.99}",
            "masking.targets=1,ema={kind: linear, start: 0.99, end: 0.99}",
            "masking.targets=4,ema={kind: linear, start: 0.99, end: 0.99}",
        ];
        assert_eq!(short(&sweep), ["targets=1, start=0.9", "targets=1, start=0.99", "targets=4, start=0.99"]);
        let others = ["tiny encoder.depth=4 masking=random", "tiny encoder.depth=6 masking=random"];
        assert_eq!(short(&others), ["depth=4", "depth=6"]);
        let mixed = ["baseline", "ema.start=0.9", "masking.scale=[0.1, 0.2]"];
        assert_eq!(short(&mixed), ["baseline", "start=0.9", "scale=[0.1, 0.2]"]);
        let last = [
            "ema.start=1,optimizer.start=2",
            "ema.start=2,optimizer.start=2",
            "ema.start=2,optimizer.start=1",
        ];
        assert_eq!(short(&last)[0], "ema.start=1, optimizer.start=2", "the last word is not enough");
        assert_eq!(short(&["a", "a"]), ["a", "a"], "nothing shorter tells them apart");
        assert_eq!(short(&["a=1"]), ["a=1"]);
    }

    #[test]
    fn values_keep_what_differs() {
        let values = [
            "{kind: linear, start: 0.9, end: 1}",
            "",
            "{kind: constant, value: 0.9}",
            "{kind: linear, start: 0.8, end: 1}",
        ];
        let expected = ["value=linear, start=0.9, end=1", "", "value=constant, value.value=0.9", "x"];
        let found = short_values(&values.map(String::from));
        assert_eq!(found[1], expected[1]);
        assert!(found.iter().all(|v| !v.contains('{')), "{found:?}");
        assert_eq!(short_values(&["1".into(), "2".into()]), ["1", "2"]);
    }
}
