//! One name for one experiment: a hash of everything that can change its results.

use serde_json::{Map, Number, Value};

/// Hexadecimal digits of an identity.
const DIGITS: usize = 12;

/// Hash of a resolved configuration. Order of keys, comments and spelling of numbers do not matter.
pub(crate) fn identity(resolved: &Value) -> String {
    let mut text = String::new();
    write_canonical(resolved, &mut text);
    blake3::hash(text.as_bytes()).to_hex()[..DIGITS].to_owned()
}

/// JSON with sorted keys and one spelling per number.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Number(n) => out.push_str(&canonical_number(n)),
        Value::Array(items) => {
            out.push('[');
            items.iter().enumerate().for_each(|(i, item)| {
                out.push_str(if i == 0 { "" } else { "," });
                write_canonical(item, out);
            });
            out.push(']');
        }
        Value::Object(map) => write_map(map, out),
        other => out.push_str(&other.to_string()),
    }
}

fn write_map(map: &Map<String, Value>, out: &mut String) {
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort();
    out.push('{');
    for (i, key) in keys.into_iter().enumerate() {
        out.push_str(if i == 0 { "" } else { "," });
        out.push_str(&Value::from(key.as_str()).to_string());
        out.push(':');
        write_canonical(&map[key], out);
    }
    out.push('}');
}

/// Integers as they are; floats in Rust's shortest form, which has no exponent and no `-0`.
fn canonical_number(n: &Number) -> String {
    match n.as_f64() {
        Some(x) if n.is_f64() => format!("{}", x + 0.0),
        _ => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn canonical(value: Value) -> String {
        let mut text = String::new();
        write_canonical(&value, &mut text);
        text
    }

    #[test]
    fn numbers_and_keys_have_one_spelling() {
        let value = json!({"b": [1.0, 1, -0.0, 1e-7, 0.1], "a": {"y": "é\"", "x": null}});
        assert_eq!(canonical(value), r#"{"a":{"x":null,"y":"é\""},"b":[1,1,0,0.0000001,0.1]}"#);
    }

    #[test]
    fn identities_are_short_and_fixed() {
        assert_eq!(identity(&json!({"a": 1})), identity(&json!({"a": 1.0})));
        assert_eq!(identity(&json!({"a": 1})).len(), DIGITS);
        assert_ne!(identity(&json!({"a": 1})), identity(&json!({"a": 2})));
    }
}
