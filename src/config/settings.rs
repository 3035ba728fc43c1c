//! Settings against their schema: every violation as a sentence.

use ijepa_registry::{
    catalogue::{self, Listing},
    problem::{Problem, nearest},
};
use jsonschema::{ValidationError, error::TypeKind, error::ValidationErrorKind as Kind};
use serde_json::Value;

use super::{
    document::describe,
    error::Finding,
    naming::elsewhere,
    wording::{bare, did_you_mean, entries, first_line, item_count, range, ticked, type_name},
};

/// Everything in `settings` that `schema` does not allow. `owner` names the component in
/// sentences; `extra` are allowed keys that the schema does not know.
pub(crate) fn violations(schema: &Value, settings: &Value, owner: &str, extra: &[&str]) -> Vec<Finding> {
    let schema = closed(schema);
    let validator = match jsonschema::draft202012::new(&schema) {
        Ok(validator) => validator,
        Err(e) => return vec![Problem::new("", format!("the schema of {owner} is invalid: {e}")).into()],
    };
    let reader = Reader { schema: &schema, owner, extra };
    validator.iter_errors(settings).flat_map(|e| reader.findings(&e)).collect()
}

/// Settings as they are meant: `null` asks for the default where it is no value of its own, and whole
/// floats are integers where the schema wants those: `epochs: 1e2`.
pub(crate) fn settle(schema: &Value, settings: &mut Value) {
    let Value::Object(map) = settings else { return };
    let of = |key: &str| schema["properties"].get(key);
    map.retain(|key, value| !value.is_null() || of(key).is_none_or(|s| allows(s, "null")));
    for (key, value) in map {
        of(key).into_iter().for_each(|setting| whole_numbers(setting, value));
    }
}

fn whole_numbers(schema: &Value, value: &mut Value) {
    if let Value::Array(items) = value {
        items.iter_mut().for_each(|item| whole_numbers(&schema["items"], item));
        return;
    }
    let whole = value.as_f64().filter(|x| value.is_f64() && x.fract() == 0.0 && x.abs() < 9e15);
    if let (true, Some(x)) = (allows(schema, "integer"), whole) {
        *value = if x < 0.0 { Value::from(x as i64) } else { Value::from(x as u64) };
    }
}

/// Whether a schema says that values may have this JSON type.
pub(super) fn allows(schema: &Value, json_type: &str) -> bool {
    let named = match &schema["type"] {
        Value::String(one) => one == json_type,
        Value::Array(several) => several.iter().any(|t| t == json_type),
        _ => false,
    };
    let branches = ["anyOf", "oneOf"].iter().filter_map(|k| schema[*k].as_array()).flatten();
    named || branches.into_iter().any(|branch| allows(branch, json_type))
}

/// The schema with unknown keys refused, also if the settings struct forgot to, and with the limits of
/// whole numbers that the machine has.
pub(super) fn closed(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Value::Object(map) = &mut schema {
        map.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(limit);
    }
    schema
}

/// States the greatest value of an unsigned format.
fn limit(setting: &mut Value) {
    let most = match setting["format"].as_str() {
        Some("uint8") => u64::from(u8::MAX),
        Some("uint16") => u64::from(u16::MAX),
        Some("uint32") => u64::from(u32::MAX),
        Some("uint" | "uint64") => u64::MAX,
        _ => return,
    };
    if let Value::Object(map) = setting
        && !map.contains_key("maximum")
    {
        map.insert("maximum".into(), most.into());
        map.insert(MACHINE_LIMIT.into(), true.into());
    }
}

/// Marks a greatest value that nobody has to know unless it is exceeded.
const MACHINE_LIMIT: &str = "x-machine-limit";

fn without_machine_limit(setting: &Value) -> Value {
    let mut setting = setting.clone();
    if let Some(map) = setting.as_object_mut().filter(|m| m.contains_key(MACHINE_LIMIT)) {
        map.remove("maximum");
    }
    setting
}

struct Reader<'a> {
    schema: &'a Value,
    owner: &'a str,
    extra: &'a [&'a str],
}

impl Reader<'_> {
    fn findings(&self, error: &ValidationError) -> Vec<Finding> {
        let path = dotted(error.instance_path().as_str());
        match error.kind() {
            Kind::AdditionalProperties { unexpected } => {
                unexpected.iter().map(|key| self.unknown(&path, key, error)).collect()
            }
            Kind::Required { property } => vec![self.missing(&path, property, error)],
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                self.alternatives(&path, context, error)
            }
            _ => vec![Problem::new(path, self.sentence(error)).into()],
        }
    }

    fn unknown(&self, path: &str, key: &str, error: &ValidationError) -> Finding {
        let known = self.around(error)["properties"].as_object();
        let mut allowed: Vec<&str> = known.into_iter().flatten().map(|(k, _)| k.as_str()).collect();
        if path.is_empty() {
            allowed.extend(self.extra);
        }
        let message = format!("{} has no setting `{key}`", self.owner);
        let near = !nearest(key, allowed.iter().copied()).is_empty();
        let list = if allowed.is_empty() { "it has no settings".into() } else { did_you_mean(key, &allowed) };
        let of_others = || self.of_other_components(key).filter(|_| path.is_empty());
        let known = self.by_alias(key, error).or_else(of_others).or_else(|| elsewhere(key)).filter(|_| !near);
        let help = known.map_or(list.clone(), |question| format!("{question}\n{list}"));
        Finding { at_key: true, problem: Problem::new(super::span::join(path, key), message).help(help) }
    }

    /// The setting here that others call `key`.
    fn by_alias(&self, key: &str, error: &ValidationError) -> Option<String> {
        let key = key.to_lowercase().replace('-', "_");
        let is_alias =
            |setting: &Value| setting["x-aliases"].as_array().is_some_and(|a| a.iter().any(|a| *a == key));
        let settings = self.around(error)["properties"].as_object()?;
        let (name, _) = settings.iter().find(|(_, setting)| is_alias(setting))?;
        Some(format!("did you mean `{name}`?"))
    }

    /// Other components of the same kind that have a setting `key`.
    fn of_other_components(&self, key: &str) -> Option<String> {
        let kind = self.owner.split(' ').next()?;
        let has = |l: &Listing| l.schema.as_value()["properties"].get(key).is_some();
        let owners: Vec<&str> =
            catalogue::list().iter().filter(|l| l.kind == kind && has(l)).map(|l| l.name).collect();
        (!owners.is_empty()).then(|| format!("it is a setting of {}", ticked(&owners, ", ")))
    }

    fn missing(&self, path: &str, property: &Value, error: &ValidationError) -> Finding {
        let key = property.as_str().unwrap_or_default();
        let problem = Problem::new(path, format!("setting `{key}` of {} is missing", self.owner));
        match self.around(error)["properties"][key]["description"].as_str() {
            Some(meaning) => problem.help(format!("{key}: {}", first_line(meaning))).into(),
            None => problem.into(),
        }
    }

    /// A list of words reads as such; otherwise the branch that fits best speaks.
    fn alternatives(
        &self,
        path: &str,
        context: &[Vec<ValidationError>],
        error: &ValidationError,
    ) -> Vec<Finding> {
        let given = error.instance();
        if let Some(words) = self.words(error) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let problem = Problem::new(
                path,
                format!("is {}; expected one of {}", describe(given), ticked(&words, ", ")),
            );
            return vec![with_nearest(problem, given, &words)];
        }
        let root = error.instance_path().as_str();
        let is_mismatch = |e: &ValidationError| {
            e.instance_path().as_str() == root
                && matches!(e.kind(), Kind::Type { .. } | Kind::Constant { .. } | Kind::Enum { .. })
        };
        let mut fitting = context.iter().filter(|branch| !branch.iter().any(is_mismatch));
        match (fitting.next(), fitting.next()) {
            (Some(branch), None) => branch.iter().flat_map(|e| self.findings(e)).collect(),
            _ => {
                let wanted: Vec<String> =
                    context.iter().flatten().filter(|e| is_mismatch(e)).map(expected).collect();
                let message = format!("is {}; expected {}", describe(given), wanted.join(" or "));
                vec![Problem::new(path, message).into()]
            }
        }
    }

    fn words(&self, error: &ValidationError) -> Option<Vec<String>> {
        let branches = self.schema.pointer(error.schema_path().as_str())?.as_array()?;
        let mut words = Vec::new();
        for branch in branches {
            match (branch.get("const"), branch.get("enum")) {
                (Some(word), _) => words.push(bare(word)),
                (_, Some(Value::Array(list))) => words.extend(list.iter().map(bare)),
                _ if branch["type"] == "null" => {}
                _ => return None,
            }
        }
        Some(words)
    }

    fn sentence(&self, error: &ValidationError) -> String {
        let given = describe(error.instance());
        match error.kind() {
            Kind::Minimum { .. } | Kind::ExclusiveMinimum { .. } => {
                format!("is {given}; allowed: {}", range(&without_machine_limit(self.around(error))))
            }
            Kind::Maximum { .. } | Kind::ExclusiveMaximum { .. } => {
                format!("is {given}; allowed: {}", range(self.around(error)))
            }
            Kind::Type { .. } | Kind::Constant { .. } | Kind::Enum { .. } => {
                format!("is {given}; expected {}", expected(error))
            }
            Kind::MinItems { .. } | Kind::MaxItems { .. } => {
                let count = error.instance().as_array().map_or(0, Vec::len);
                format!("has {}; expected {}", entries(count), item_count(self.around(error)))
            }
            Kind::UniqueItems => "lists the same entry twice".into(),
            Kind::Pattern { pattern } => {
                let words = self.around(error)["x-words"].as_str();
                format!("is {given}; allowed: {}", words.unwrap_or(pattern))
            }
            _ => format!("is not allowed: {error}"),
        }
    }

    /// The schema object that holds the violated keyword.
    fn around(&self, error: &ValidationError) -> &Value {
        let path = error.schema_path().as_str();
        let parent = path.rfind('/').map_or("", |end| &path[..end]);
        self.schema.pointer(parent).unwrap_or(&Value::Null)
    }
}

fn with_nearest(problem: Problem, given: &Value, words: &[&str]) -> Finding {
    let close = nearest(given.as_str().unwrap_or_default(), words.iter().copied());
    if close.is_empty() {
        return problem.into();
    }
    problem.help(format!("did you mean {}?", ticked(&close, " or "))).into()
}

/// What a type, constant or list of words asks for.
fn expected(error: &ValidationError) -> String {
    match error.kind() {
        Kind::Type { kind: TypeKind::Single(t) } => type_name(t.as_str()).into(),
        Kind::Type { kind: TypeKind::Multiple(set) } => {
            let names: Vec<&str> =
                set.iter().filter(|t| t.as_str() != "null").map(|t| type_name(t.as_str())).collect();
            names.join(" or ")
        }
        Kind::Constant { expected_value } => format!("`{}`", bare(expected_value)),
        Kind::Enum { options } => {
            let words: Vec<String> = options.as_array().into_iter().flatten().map(bare).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            format!("one of {}", ticked(&words, ", "))
        }
        _ => "another form".into(),
    }
}

/// JSON pointer to dotted path.
fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use ijepa_registry::entry::schema_of;
    use schemars::JsonSchema;
    use serde_json::json;

    use super::*;

    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Settings {
        /// Number of blocks.
        #[schemars(range(min = 1, max = 64))]
        depth: usize,
        #[serde(default)]
        scale: (f64, f64),
        #[serde(default)]
        mode: Mode,
        #[serde(default)]
        shape: Option<Shape>,
        #[serde(default)]
        #[schemars(extend("exclusiveMinimum" = 0.0))]
        beta: f64,
    }

    #[derive(JsonSchema, Default, serde::Serialize)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code)]
    enum Mode {
        /// One.
        #[default]
        Mean,
        /// Two.
        LayerNorm,
    }

    #[derive(JsonSchema, serde::Serialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        height: u32,
    }

    fn sentences(settings: Value) -> Vec<String> {
        let schema = serde_json::to_value(schema_of::<Settings>()).expect("JSON");
        let found = violations(&schema, &settings, "encoder `vit`", &["kind"]);
        let line = |f: Finding| {
            format!("{}: {} [{}]", f.problem.path, f.problem.message, f.problem.help.unwrap_or_default())
        };
        found.into_iter().map(line).collect()
    }

    fn sentence(settings: Value) -> String {
        sentences(settings).join(" / ")
    }

    #[test]
    fn each_violation_is_a_sentence() {
        let cases = [
            (json!({}), ": setting `depth` of encoder `vit` is missing [depth: Number of blocks.]"),
            (json!({"depth": 0}), "depth: is 0; allowed: 1 to 64 []"),
            (json!({"depth": "x"}), "depth: is the text `x`; expected a whole number []"),
            (json!({"depth": 1.5}), "depth: is 1.5; expected a whole number []"),
            (json!({"depth": 1, "beta": 0}), "beta: is 0; allowed: more than 0 []"),
            (json!({"depth": 1, "scale": [1]}), "scale: has 1 entry; expected 2 []"),
            (
                json!({"depth": 1, "mode": "layernorm"}),
                "mode: is the text `layernorm`; expected one of `mean`, `layer_norm` [did you mean `layer_norm`?]",
            ),
            (json!({"depth": 1, "shape": 3}), "shape: is 3; expected a mapping []"),
            (
                json!({"depth": 1, "shape": {"height": 1, "widht": 2}}),
                // Where no setting here comes close, one elsewhere may be meant.
                "shape.widht: encoder `vit` has no setting `widht` [did you mean `dataset.width`?\nallowed: height]",
            ),
        ];
        for (settings, expected) in cases {
            assert_eq!(sentence(settings), expected);
        }
    }

    #[test]
    fn unknown_keys_come_with_the_nearest_and_all_at_once() {
        let found = sentences(json!({"dept": 3, "mod": 1}));
        assert_eq!(found.len(), 3, "{found:?}");
        let help = "[did you mean `depth`?\nallowed: depth, scale, mode, shape, beta, kind]";
        assert!(found.contains(&format!("dept: encoder `vit` has no setting `dept` {help}")), "{found:?}");
    }

    #[test]
    fn whole_floats_become_integers() {
        let mut settings = json!({"depth": 1e2, "beta": 2.0});
        settle(&serde_json::to_value(schema_of::<Settings>()).expect("JSON"), &mut settings);
        assert_eq!(settings.to_string(), r#"{"depth":100,"beta":2.0}"#);
    }

    #[test]
    fn null_asks_for_the_default_and_stays_where_it_is_a_value() {
        let mut settings = json!({"depth": null, "shape": null, "unknown": null});
        settle(&serde_json::to_value(schema_of::<Settings>()).expect("JSON"), &mut settings);
        assert_eq!(settings, json!({"shape": null, "unknown": null}));
    }
}
