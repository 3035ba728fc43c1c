//! JSON schema of a whole experiment file, for editors: completion, documentation, ranges.

use ijepa_registry::{
    catalogue::{self, Listing},
    entry::schema_of,
};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::{
    collapse::CollapseRule,
    sections::{COMPONENT_LISTS, COMPONENTS, DataOptions, Header, ProbeOptions, Section, TrainSettings},
};

/// The schema of every experiment this program can run.
pub fn schema() -> Value {
    let listings = catalogue::list();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ijepa-run experiment",
        "type": "object",
        "properties": properties(),
        "patternProperties": { "^x-": {} },
        "additionalProperties": false,
        "anyOf": [{ "required": ["extends"] }, { "required": required() }],
        "$defs": definitions(&listings),
    })
}

fn required() -> Vec<&'static str> {
    COMPONENTS.iter().map(|c| c.section).chain(["train"]).collect()
}

fn properties() -> Map<String, Value> {
    let mut all = object_of(&schema_of::<Header>().to_value(), "properties");
    all.insert("extends".into(), json!({
        "type": "string",
        "description": "Another experiment file, relative to this one. This file's entries are laid over it; lists and components of another kind replace.",
    }));
    for part in COMPONENTS {
        all.insert(part.section.into(), reference(part));
    }
    for part in COMPONENT_LISTS {
        let list = json!({ "type": "array", "items": definition_of(part.kind), "description": part.about });
        all.insert(part.section.into(), list);
    }
    all.insert("train".into(), plain::<TrainSettings>());
    all.insert(
        "collapse".into(),
        json!({
            "type": "array",
            "items": plain::<CollapseRule>(),
            "description": "When the run counts as collapsed and ends.",
        }),
    );
    all
}

fn plain<S: JsonSchema>() -> Value {
    let mut schema = schema_of::<S>().to_value();
    tidy(&mut schema);
    schema
}

fn reference(part: &Section) -> Value {
    let mut reference = definition_of(part.kind);
    reference["description"] = part.about.into();
    reference
}

fn definition_of(kind: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{kind}") })
}

fn definitions(listings: &[Listing]) -> Map<String, Value> {
    let kinds = COMPONENTS.iter().chain(COMPONENT_LISTS).map(|part| part.kind);
    kinds.map(|kind| (kind.to_owned(), definition(kind, listings))).collect()
}

/// A name alone, or a mapping with `kind`; without `kind` it changes the settings of the
/// component in the extended file.
fn definition(kind: &str, listings: &[Listing]) -> Value {
    let members: Vec<&Listing> = listings.iter().filter(|l| l.kind == kind).collect();
    let names = members.iter().filter(|l| no_required(&l.schema.clone().to_value()));
    let names = names.map(|l| json!({ "const": l.name, "description": l.docs.trim() }));
    let mut forms: Vec<Value> = names.collect();
    forms.extend(members.iter().map(|l| component(l)));
    if let Some((name, setting)) = catalogue::of_number(kind) {
        let meaning = format!("The `{setting}` of `{name}`.");
        forms.push(json!({ "type": "number", "description": meaning }));
    }
    forms.push(json!({
        "type": "object",
        "not": { "required": ["kind"] },
        "description": "Settings laid over the component of the extended file.",
    }));
    json!({ "oneOf": forms })
}

fn component(listing: &Listing) -> Value {
    let mut schema = listing.schema.clone().to_value();
    tidy(&mut schema);
    let mut properties = Map::from_iter([("kind".to_owned(), json!({ "const": listing.name }))]);
    if listing.kind == "probe" {
        properties.extend(object_of(&schema_of::<ProbeOptions>().to_value(), "properties"));
    }
    if listing.kind == "dataset" {
        properties.extend(object_of(&schema_of::<DataOptions>().to_value(), "properties"));
    }
    properties.extend(object_of(&schema, "properties"));
    let mut required = vec![json!("kind")];
    required.extend(schema["required"].as_array().cloned().unwrap_or_default());
    schema["properties"] = properties.into();
    schema["required"] = required.into();
    schema["additionalProperties"] = false.into();
    schema["description"] = listing.docs.trim().into();
    schema
}

fn no_required(schema: &Value) -> bool {
    schema["required"].as_array().is_none_or(Vec::is_empty)
}

/// Drops what only makes sense at the top of a schema file.
fn tidy(schema: &mut Value) {
    if let Value::Object(map) = schema {
        map.shift_remove("$schema");
        map.shift_remove("title");
    }
}

fn object_of(schema: &Value, key: &str) -> Map<String, Value> {
    schema[key].as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_valid_schema_that_refuses_unknown_sections() {
        let validator = jsonschema::draft202012::new(&schema()).expect("valid schema");
        assert!(!validator.is_valid(&json!({ "extends": "a.yaml", "maskin": 1 })));
        assert!(validator.is_valid(&json!({ "extends": "a.yaml", "seed": 3 })));
        assert!(!validator.is_valid(&json!({ "seed": 3 })), "required sections");
        let free = json!({ "extends": "a.yaml", "x-free": [1], "learning_rate": 1e-3 });
        assert!(validator.is_valid(&free), "numbers as schedules, keys for anchors");
    }
}
