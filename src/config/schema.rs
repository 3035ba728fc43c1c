//! JSON schema of a whole experiment file, for editors: completion, documentation, ranges.

use ijepa_registry::{
    catalogue::{self, Listing},
    entry::schema_of,
};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::{
    collapse::CollapseRule,
    init::InitSettings,
    sections::{COMPONENT_LISTS, COMPONENTS, Header, Section, TrainSettings, WEIGHT, options_of},
    settings::{allows, closed},
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
        "anyOf": [{ "required": ["extends"] }, alone()],
        "$defs": definitions(&listings),
    })
}

/// What a file that extends nothing must have: every section whole. A file that does may change single
/// settings of what it inherits.
fn alone() -> Value {
    let required = COMPONENTS.iter().filter(|c| c.default.is_none());
    let required: Vec<&str> = required.map(|c| c.section).chain(["train"]).collect();
    let chosen = json!({ "anyOf": [{ "not": { "type": "object" } }, { "required": ["kind"] }] });
    let components = COMPONENTS.iter().map(|c| (c.section.to_owned(), chosen.clone()));
    let train = json!({ "required": schema_of::<TrainSettings>().to_value()["required"] });
    let sections: Map<String, Value> = components.chain([("train".to_owned(), train)]).collect();
    json!({ "required": required, "properties": sections })
}

fn properties() -> Map<String, Value> {
    let mut all = object_of(&plain::<Header>(), "properties");
    all.insert("extends".into(), json!({
        "type": "string",
        "pattern": "\\S",
        "description": "Another experiment file, relative to this one. This file's entries are laid over it; lists and components of another kind replace.",
    }));
    for part in COMPONENTS {
        all.insert(part.section.into(), reference(part));
    }
    for part in COMPONENT_LISTS {
        let items = definition_of(part.kind);
        let list = json!({ "type": ["array", "null"], "items": items, "description": part.about });
        all.insert(part.section.into(), list);
    }
    let mut init = plain::<InitSettings>();
    init["description"] = "Weights of another run that training starts from.".into();
    all.insert("init".into(), json!({ "anyOf": [init, { "type": ["string", "null"] }] }));
    let mut train = plain::<TrainSettings>();
    train.as_object_mut().map(|train| train.shift_remove("required"));
    all.insert("train".into(), train);
    all.insert(
        "collapse".into(),
        json!({
            "type": ["array", "null"],
            "items": plain::<CollapseRule>(),
            "description": "When the run counts as collapsed and ends.",
        }),
    );
    all
}

fn plain<S: JsonSchema>() -> Value {
    as_read(&schema_of::<S>().to_value())
}

/// A schema as the program reads by it: no unknown keys, the limits of whole numbers, `null` for a default.
fn as_read(schema: &Value) -> Value {
    let mut schema = closed(schema);
    nested(&mut schema);
    nullable(&mut schema);
    tidy(&mut schema);
    schema
}

/// Components inside of settings are written as those of a section.
fn nested(schema: &mut Value) {
    let of = |setting: &Value| setting["x-component"].as_str().map(definition_of);
    for setting in schema["properties"].as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
        if let Some(whole) = of(setting) {
            *setting = whole;
        } else if let Some(items) = of(&setting["items"]) {
            setting["items"] = items;
        }
    }
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
/// component in the extended file, unless it is an entry of a list, which replaces.
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
    let is_list = COMPONENT_LISTS.iter().any(|list| list.kind == kind);
    forms.extend((!is_list).then(|| {
        json!({
            "type": "object",
            "not": { "required": ["kind"] },
            "description": "Settings laid over the component of the extended file.",
        })
    }));
    json!({ "oneOf": forms })
}

fn component(listing: &Listing) -> Value {
    let mut schema = as_read(&listing.schema.clone().to_value());
    let mut properties = Map::from_iter([("kind".to_owned(), json!({ "const": listing.name }))]);
    if let Some(options) = options_of(listing.kind) {
        properties.extend(object_of(&as_read(&options), "properties"));
    }
    if listing.kind == "regularizer" {
        properties.insert(WEIGHT.section.into(), reference(&WEIGHT));
    }
    properties.extend(object_of(&schema, "properties"));
    let mut required = vec![json!("kind")];
    required.extend((listing.kind == "regularizer").then(|| json!(WEIGHT.section)));
    required.extend(schema["required"].as_array().cloned().unwrap_or_default());
    schema["properties"] = properties.into();
    schema["required"] = required.into();
    schema["description"] = listing.docs.trim().into();
    schema
}

fn no_required(schema: &Value) -> bool {
    schema["required"].as_array().is_none_or(Vec::is_empty)
}

/// What `settle` accepts, said by the schema: `null` for every setting that need not be given.
fn nullable(schema: &mut Value) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let Some(Value::Object(settings)) = schema.get_mut("properties") else { return };
    let optional = settings.iter_mut().filter(|(key, _)| !required.iter().any(|r| r == *key));
    optional.for_each(|(_, setting)| or_null(setting));
}

/// Allows `null` beside what a setting may be.
fn or_null(setting: &mut Value) {
    if allows(setting, "null") {
        return;
    }
    let branches = ["anyOf", "oneOf"].into_iter().find(|k| setting[*k].is_array());
    let null = json!({ "type": "null" });
    let lists_values = setting.get("enum").or(setting.get("const")).is_some();
    match (branches, setting["type"].clone()) {
        (Some(branches), _) => {
            setting[branches].as_array_mut().into_iter().for_each(|all| all.push(null.clone()));
        }
        (None, Value::String(one)) if !lists_values => setting["type"] = json!([one, "null"]),
        _ => *setting = json!({ "anyOf": [setting.take(), null] }),
    }
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
    use super::{
        super::settings::{settle, violations},
        *,
    };

    /// Setting by setting, for every component: what reading does with `null` is what the schema says.
    #[test]
    fn null_is_accepted_where_it_is_read_as_the_default() {
        let mut seen = 0;
        for listing in catalogue::list() {
            let own = listing.schema.clone().to_value();
            let mut whole = component(&listing);
            whole["$defs"] = definitions(&catalogue::list()).into();
            let validator = jsonschema::draft202012::new(&whole).expect("valid schema");
            let example: Value = serde_yaml::from_str(listing.example).expect(listing.example);
            for key in object_of(&own, "properties").keys() {
                let mut settings = example.as_object().cloned().unwrap_or_default();
                settings.insert(key.clone(), Value::Null);
                let mut read = Value::Object(settings.clone());
                settle(&own, &mut read);
                let accepted = violations(&own, &read, listing.name, &[]).is_empty();
                settings.insert("kind".into(), listing.name.into());
                if listing.kind == "regularizer" {
                    settings.insert(WEIGHT.section.into(), 1.into());
                }
                assert_eq!(validator.is_valid(&settings.into()), accepted, "{}.{key}", listing.name);
                seen += usize::from(accepted);
            }
        }
        assert!(seen > 50, "{seen}");
    }

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
