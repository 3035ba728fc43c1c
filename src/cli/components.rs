//! `ijepa-run components [KIND [NAME]]`

use clap::Args;
use ijepa_registry::{
    catalogue::{self, Listing},
    metric::MetricDecl,
    problem::nearest,
};
use serde_json::{Value, json};

use super::{Exit, print};
use crate::{config::describe_range, results::meanings::example_metrics};

#[derive(Args, Debug)]
pub(crate) struct ComponentsArgs {
    /// One kind only, such as masking; or the name of a component.
    kind: Option<String>,
    /// One component: what it does, its settings, an example.
    #[arg(requires = "kind")]
    name: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists components, or explains one.
pub(crate) fn components(args: &ComponentsArgs) -> Exit {
    let all = catalogue::list();
    match select(&all, args) {
        Ok(chosen) if args.json => print::stdout(&format!("{:#}\n", as_json(&chosen))),
        Ok(chosen) if args.name.is_some() || by_name(&all, args).is_some() => {
            print::stdout(&chosen.iter().map(|l| explain(l)).collect::<Vec<_>>().join("\n\n"))
        }
        Ok(chosen) => print::stdout(&table(&chosen)),
        Err(message) => {
            print::stderr(&message);
            Exit::Config
        }
    }
}

fn select<'a>(all: &'a [Listing], args: &ComponentsArgs) -> Result<Vec<&'a Listing>, String> {
    let mut chosen: Vec<&Listing> = all.iter().collect();
    if let Some(named) = by_name(all, args) {
        return Ok(named);
    }
    if let Some(kind) = &args.kind {
        chosen = narrow(chosen, kind, "kind", |l| l.kind)?;
    }
    if let Some(name) = &args.name {
        chosen = narrow(chosen, name, args.kind.as_deref().unwrap_or("component"), |l| l.name)?;
    }
    Ok(chosen)
}

/// The components of this name, if it is no kind and stands alone: `components multiblock`.
fn by_name<'a>(all: &'a [Listing], args: &ComponentsArgs) -> Option<Vec<&'a Listing>> {
    let word = args.kind.as_deref().filter(|w| args.name.is_none() && all.iter().all(|l| l.kind != *w))?;
    Some(all.iter().filter(|l| l.name == word).collect::<Vec<_>>()).filter(|named| !named.is_empty())
}

fn narrow<'a>(
    from: Vec<&'a Listing>,
    word: &str,
    noun: &str,
    key: fn(&Listing) -> &'static str,
) -> Result<Vec<&'a Listing>, String> {
    let mut words: Vec<&str> = from.iter().map(|l| key(l)).collect();
    words.dedup();
    if words.contains(&word) {
        return Ok(from.into_iter().filter(|l| key(l) == word).collect());
    }
    let close = nearest(word, words.iter().copied());
    let question =
        if close.is_empty() { String::new() } else { format!("did you mean {}? ", close.join(" or ")) };
    let known_as = from.iter().flat_map(|l| l.aliases.iter().map(move |alias| (l, alias)));
    let alias = known_as
        .filter(|(_, (other, _))| *other == word)
        .map(|(l, _)| format!("{} {}", l.kind, l.name))
        .next();
    let question = alias.map_or(question, |known| format!("did you mean `components {known}`? "));
    Err(format!("there is no {noun} `{word}`\n  help: {question}there are: {}", words.join(", ")))
}

/// One line per component under a heading per kind.
fn table(listings: &[&Listing]) -> String {
    let width = listings.iter().map(|l| l.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut kind = "";
    for listing in listings {
        if listing.kind != kind {
            let gap = if kind.is_empty() { "" } else { "\n" };
            text += &format!("{gap}{}: {}\n", listing.kind, listing.kind_summary);
            kind = listing.kind;
        }
        text += &format!("  {:<width$}  {}\n", listing.name, listing.summary());
    }
    text
}

fn explain(listing: &Listing) -> String {
    let docs: String = listing.docs.trim().lines().map(|l| format!("{}\n", l.trim())).collect();
    let Listing { kind, name, origin, file, .. } = listing;
    let example = example(listing);
    format!(
        "{kind} {name}\n\n{docs}\nsettings:\n{}{}\nexample:\n{example}\nfrom {origin} ({file})\n",
        settings(listing),
        metrics(listing)
    )
}

/// The example as it stands in an experiment file.
fn example(listing: &Listing) -> String {
    let section = match listing.kind {
        "schedule" => "learning_rate",
        "probe" => "probes",
        "regularizer" => "regularizers",
        kind => kind,
    };
    let body = listing.example.trim();
    let name = match listing.kind {
        // A setting of the section, which every term needs.
        "regularizer" => format!("{}, weight: 0.1", listing.name),
        _ => listing.name.to_owned(),
    };
    let component = match body.strip_prefix('{').and_then(|b| b.strip_suffix('}')).map(str::trim) {
        Some("") if name == listing.name => name,
        Some("") => format!("{{ kind: {name} }}"),
        Some(settings) => format!("{{ kind: {name}, {settings} }}"),
        None => {
            let lines: String = body.lines().map(|l| format!("\n      {l}")).collect();
            format!("\n      kind: {}{lines}", listing.name)
        }
    };
    match section {
        "augmentation" | "probes" | "regularizers" => {
            format!("  {section}:\n    - {}\n", component.trim_start())
        }
        _ => format!("  {section}: {component}\n"),
    }
}

/// One line per setting: name, type, default, range, meaning.
fn settings(listing: &Listing) -> String {
    let schema = listing.schema.clone().to_value();
    let Some(properties) = schema["properties"].as_object().filter(|p| !p.is_empty()) else {
        return "  none\n".into();
    };
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let rows: Vec<[String; 5]> = properties
        .iter()
        .map(|(name, setting)| {
            let default =
                if required.contains(&name.as_str()) { "required".into() } else { default(setting) };
            let meaning = setting["description"].as_str().unwrap_or("").replace('\n', " ");
            [name.clone(), type_of(setting), default, describe_range(setting), meaning]
        })
        .collect();
    print::aligned(["setting", "type", "default", "allowed", "meaning"].map(str::to_owned), rows)
}

/// The metrics of a probe as its example sets it up; empty for other kinds.
fn metrics(listing: &Listing) -> String {
    if listing.kind != "probe" {
        return String::new();
    }
    let rows = example_metrics(listing.name)
        .into_iter()
        .map(|m| [m.name, m.unit, m.direction.name(), m.meaning].map(str::to_owned));
    let head = ["metric", "unit", "better", "meaning"].map(str::to_owned);
    format!("\nmetrics (with the settings of the example):\n{}", print::aligned(head, rows.collect()))
}

fn default(setting: &Value) -> String {
    match setting.get("default") {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(s)) => s.clone(),
        Some(value) => value.to_string(),
    }
}

/// The type in a word; choices in full.
fn type_of(setting: &Value) -> String {
    let branches = ["oneOf", "anyOf"].iter().find_map(|k| setting[*k].as_array());
    if let Some(branches) = branches {
        let names: Vec<String> = branches.iter().map(type_of).filter(|n| n != "null").collect();
        return names.join(" | ");
    }
    if let Some(word) = setting.get("const").and_then(Value::as_str) {
        return word.into();
    }
    if let Some(words) = setting["enum"].as_array() {
        return words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | ");
    }
    let names: Vec<&str> = match &setting["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).filter(|n| *n != "null").collect(),
        _ => vec!["any"],
    };
    if names == ["array"] { list_type(setting) } else { names.join(" | ") }
}

fn list_type(setting: &Value) -> String {
    let item = setting["prefixItems"].get(0).unwrap_or(&setting["items"]);
    match setting["maxItems"].as_u64() {
        Some(n) => format!("{n} x {}", type_of(item)),
        None => format!("list of {}", type_of(item)),
    }
}

fn metrics_json(listing: &Listing) -> Value {
    if listing.kind != "probe" {
        return Value::Null;
    }
    let entry = |m: MetricDecl| json!({ "name": m.name, "unit": m.unit, "direction": m.direction, "meaning": m.meaning });
    example_metrics(listing.name).into_iter().map(entry).collect()
}

fn as_json(listings: &[&Listing]) -> Value {
    let entry = |l: &&Listing| {
        json!({
            "kind": l.kind,
            "name": l.name,
            "summary": l.summary(),
            "docs": l.docs.trim(),
            "example": l.example,
            "origin": l.origin,
            "file": l.file,
            "schema": l.schema,
            "metrics": metrics_json(l),
        })
    };
    listings.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_like_yaml() {
        let cases = [
            (json!({"type": "integer"}), "integer"),
            (json!({"type": ["number", "null"]}), "number"),
            (json!({"type": "array", "prefixItems": [{"type": "number"}], "maxItems": 2}), "2 x number"),
            (json!({"type": "array", "items": {"type": "string"}}), "list of string"),
            (json!({"oneOf": [{"const": "a"}, {"const": "b"}]}), "a | b"),
            (json!({"anyOf": [{"enum": ["x"]}, {"type": "null"}]}), "x"),
        ];
        for (setting, expected) in cases {
            assert_eq!(type_of(&setting), expected);
        }
    }
}
