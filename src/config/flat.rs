//! A configuration as a flat list of settings.

use std::collections::HashMap;

use serde_json::Value;

/// Every setting in the order of the file: dotted path, value as a cell.
pub fn flat_settings(configuration: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    flatten("", configuration, &mut all);
    all
}

fn flatten(path: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| flatten(&under(path, key), value, out)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let names = item_names(items);
            out.push((path.into(), format!("[{}]", names.join(", "))));
            names.iter().zip(items).for_each(|(name, item)| flatten(&under(path, name), item, out));
        }
        other => out.push((path.into(), cell(other))),
    }
}

fn under(path: &str, key: &str) -> String {
    if path.is_empty() { key.into() } else { format!("{path}.{key}") }
}

/// Items of a list of sections by name or kind; a second one of the same name gets a number.
fn item_names(items: &[Value]) -> Vec<String> {
    let mut used: HashMap<String, usize> = HashMap::new();
    let mut name = |item: &Value| {
        let word = item["name"].as_str().or(item["kind"].as_str()).map_or_else(|| cell(item), Into::into);
        let count = used.entry(word.clone()).or_insert(0);
        *count += 1;
        if *count == 1 { word } else { format!("{word}#{count}") }
    };
    items.iter().map(&mut name).collect()
}

/// A value as a cell: strings bare, numbers in one spelling.
pub fn cell(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Number(n) if n.is_f64() => n.as_f64().map_or(n.to_string(), |x| (x + 0.0).to_string()),
        Value::Array(items) => format!("[{}]", items.iter().map(cell).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}
