//! Wording shared by all configuration errors.

use ijepa_registry::problem::nearest;
use serde_json::Value;

/// `did you mean ...?` and the allowed words.
pub(crate) fn did_you_mean(word: &str, allowed: &[&str]) -> String {
    let allowed_list = format!("allowed: {}", listed(word, allowed));
    match nearest(word, allowed.iter().copied()).as_slice() {
        [] => allowed_list,
        close => format!("did you mean {}?\n{allowed_list}", ticked(close, " or ")),
    }
}

/// Words that are listed at most.
const SHOWN: usize = 24;

/// All of the allowed words; of very many (metrics) those that begin like `word`, and how many more there are.
fn listed(word: &str, allowed: &[&str]) -> String {
    if allowed.len() <= SHOWN {
        return allowed.join(", ");
    }
    let start = word.rfind('/').map_or("", |end| &word[..=end]);
    let mut shown: Vec<&str> = allowed.iter().copied().filter(|name| name.starts_with(start)).collect();
    if shown.is_empty() {
        shown = allowed.to_vec();
    }
    shown.truncate(SHOWN);
    format!("{} and {} more", shown.join(", "), allowed.len() - shown.len())
}

/// Words in backticks.
pub(crate) fn ticked(words: &[&str], between: &str) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(between)
}

/// `an encoder`, `a loss`.
pub(crate) fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

/// `1 entry`, `3 entries`.
pub(crate) fn entries(count: usize) -> String {
    format!("{count} {}", if count == 1 { "entry" } else { "entries" })
}

/// A JSON type in words.
pub(crate) fn type_name(json: &str) -> &'static str {
    match json {
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "text",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a mapping",
        _ => "nothing",
    }
}

/// The range a schema states, in words; empty if it states none.
pub fn range(schema: &Value) -> String {
    let bound =
        |keyword: &str, words: &str| schema.get(keyword).map(|limit| format!("{words} {}", bare(limit)));
    let low = bound("minimum", "at least").or_else(|| bound("exclusiveMinimum", "more than"));
    let high = bound("maximum", "at most").or_else(|| bound("exclusiveMaximum", "less than"));
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(low), Some(high)) if low == high => bare(low),
        (Some(low), Some(high)) => format!("{} to {}", bare(low), bare(high)),
        _ => [low, high].into_iter().flatten().collect::<Vec<_>>().join(" and "),
    }
}

/// The length a list schema asks for, in words.
pub(crate) fn item_count(schema: &Value) -> String {
    match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
        (Some(low), Some(high)) if low == high => format!("{low}"),
        (Some(low), Some(high)) => format!("{low} to {high}"),
        (Some(low), None) => format!("at least {low}"),
        (_, high) => format!("at most {}", high.unwrap_or(0)),
    }
}

/// A JSON value as one would type it in YAML; whole floats without the fraction.
pub(crate) fn bare(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Number(n) if n.is_f64() => match n.as_f64() {
            Some(x) if x != 0.0 && !(1e-5..1e15).contains(&x.abs()) => format!("{x:e}"),
            Some(x) if x.fract() == 0.0 => format!("{x}"),
            _ => n.to_string(),
        },
        other => other.to_string(),
    }
}

/// What a doc comment says first.
pub(crate) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_gets_the_list_only() {
        assert_eq!(did_you_mean("dept", &["depth", "dim"]), "did you mean `depth`?\nallowed: depth, dim");
        assert_eq!(did_you_mean("zzz", &["depth"]), "allowed: depth");
        let metrics: Vec<String> =
            (0..60).map(|i| format!("{}/target/{i}", if i < 5 { "knn" } else { "linear" })).collect();
        let metrics: Vec<&str> = metrics.iter().map(String::as_str).collect();
        let found = did_you_mean("knn/target/top1", &metrics);
        let allowed =
            "allowed: knn/target/0, knn/target/1, knn/target/2, knn/target/3, knn/target/4 and 55 more";
        assert!(found.ends_with(allowed), "{found}");
        assert!(did_you_mean("zzz", &metrics).ends_with("linear/target/23 and 36 more"));
    }

    #[test]
    fn grammar() {
        assert_eq!([with_article("encoder"), with_article("loss")], ["an encoder", "a loss"]);
        assert_eq!([entries(1), entries(2)], ["1 entry", "2 entries"]);
    }
}
