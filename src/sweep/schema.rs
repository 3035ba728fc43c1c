//! JSON schema of a sweep file, for editors: completion, documentation, ranges.

use serde_json::{Map, Value, json};

use super::{
    budget::Equal,
    early::RULES,
    metric::GOALS,
    ranges::SCALES,
    sweep_file::{METHODS, Method},
};

/// The schema of every sweep file. What the paths mean is the experiment's business.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ijepa-run sweep",
        "type": "object",
        "properties": properties(),
        "additionalProperties": false,
        "required": ["base"],
        "anyOf": [{ "required": ["parameters"] }, { "required": ["arms"] }],
    })
}

fn properties() -> Map<String, Value> {
    let name = json!({ "type": "string", "pattern": "^[a-z0-9_-]{1,80}$" });
    let all = [
        ("version", json!({ "const": 1, "description": "Version of the file format." })),
        (
            "name",
            described(name.clone(), "First part of the sweep folder's name; the file's name if left out."),
        ),
        ("base", text("The experiment that is varied, relative to this file.")),
        ("method", words(&METHODS.map(Method::name), "How the parameters make points.")),
        (
            "parameters",
            json!({
                "type": "object",
                "minProperties": 1,
                "additionalProperties": parameter(),
                "description": "Paths of the experiment and the values they take; whole components too.",
            }),
        ),
        (
            "arms",
            json!({
                "type": "array",
                "minItems": 1,
                "items": object(&["name"], json!({ "name": name, "set": { "type": "object" } })),
                "description": "Named ablations; nothing set is the base itself.",
            }),
        ),
        (
            "exclude",
            json!({
                "type": "array",
                "items": { "type": "object", "minProperties": 1 },
                "description": "Points that are left out: those that have all these values.",
            }),
        ),
        (
            "seeds",
            json!({
                "oneOf": [
                    whole(1, "So many seeds, from 0."),
                    { "type": "array", "minItems": 1, "uniqueItems": true, "items": whole(0, "A seed.") },
                ],
                "description": "Replications of every point.",
            }),
        ),
        ("samples", whole(1, "Points that `method: random` and `method: sobol` draw.")),
        ("run_cap", whole(1, "More planned runs than this are refused; 256 if left out.")),
        ("metric", metric()),
        ("early_terminate", early()),
        (
            "budget",
            object(
                &["equal"],
                json!({
                    "equal": words(&Equal::ALL.map(Equal::name), "What all arms have in common; sets their epochs."),
                }),
            ),
        ),
        (
            "gpus",
            object(
                &["devices"],
                json!({
                    "devices": {
                        "type": "array", "minItems": 1, "uniqueItems": true, "items": whole(0, "Number of a GPU."),
                    },
                    "slots": whole(1, "Runs at a time on each GPU; 1 if left out."),
                }),
            ),
        ),
    ];
    all.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()
}

fn parameter() -> Value {
    let mut forms = one_path();
    let together =
        json!({ "type": "object", "minProperties": 2, "additionalProperties": { "oneOf": forms } });
    let names = json!({ "type": "array", "minItems": 1, "uniqueItems": true, "items": { "type": "string" } });
    let zip = described(together, "Settings that are walked together, first with first.");
    let names = described(names, "What the values are called in tables and figures.");
    forms.push(object(&["zip"], json!({ "zip": zip, "names": names })));
    json!({ "oneOf": forms })
}

/// The values of one path.
fn one_path() -> Vec<Value> {
    let values = json!({ "type": "array", "minItems": 1, "uniqueItems": true });
    let values = described(values, "Values; one may have a name: `{ name: slow, value: ... }`.");
    let number = json!({ "type": "number" });
    vec![
        values.clone(),
        object(&["values"], json!({ "values": values })),
        object(
            &["min", "max"],
            json!({
                "min": number,
                "max": number,
                "points": whole(1, "Values of a grid, both ends included."),
                "distribution": words(SCALES, "Where values between the ends lie."),
            }),
        ),
    ]
}

fn metric() -> Value {
    object(
        &["name"],
        json!({
            "name": text("probe/encoder/labels/metric, such as linear/target/class/top1."),
            "goal": words(&GOALS.map(|(word, _)| word), "Which direction is good; by default what the probe declares."),
            "at": { "oneOf": [{ "enum": ["last", "best"] }, whole(0, "An optimizer step.")] },
        }),
    )
}

fn early() -> Value {
    object(
        &["kind"],
        json!({
            "kind": words(RULES, "Which rule ends arms that will not win."),
            "min_epochs": whole(1, "Epochs before anything is judged; 1 if left out."),
            "eta": { "type": "number", "exclusiveMinimum": 1, "description": "successive_halving: one arm in eta goes on." },
            "every": whole(1, "median: epochs between judgements."),
            "metric": metric(),
        }),
    )
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({
        "type": "object",
        "required": required,
        "additionalProperties": false,
        "properties": properties,
    })
}

fn described(mut schema: Value, text: &str) -> Value {
    schema["description"] = text.into();
    schema
}

fn text(about: &str) -> Value {
    json!({ "type": "string", "description": about })
}

fn words(words: &[&str], about: &str) -> Value {
    json!({ "enum": words, "description": about })
}

fn whole(least: u64, about: &str) -> Value {
    json!({ "type": "integer", "minimum": least, "description": about })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::sweep_file::KEYS;

    #[test]
    fn it_knows_every_key_and_refuses_others() {
        let known: Vec<String> = properties().into_iter().map(|(key, _)| key).collect();
        assert_eq!(known.iter().collect::<Vec<_>>().len(), KEYS.len());
        assert!(KEYS.iter().all(|key| known.iter().any(|k| k == key)), "{known:?}");
        let validator = jsonschema::draft202012::new(&schema()).expect("valid schema");
        let sweep = json!({
            "base": "a.yaml", "method": "sobol", "samples": 4, "seeds": 3,
            "parameters": {
                "ema.start": { "min": 0.9, "max": 0.99 }, "loss": ["l2", "cosine"],
                "weights": { "zip": { "a.b": [1, 2], "a.c": { "values": [3, 4] } }, "names": ["low", "high"] },
            },
            "metric": { "name": "knn/target/class/top1", "at": "best" },
            "early_terminate": { "kind": "successive_halving", "eta": 3 },
            "budget": { "equal": "flops" },
        });
        assert!(validator.is_valid(&sweep));
        for (key, wrong) in [("method", json!("gird")), ("arm", json!([])), ("seeds", json!(0))] {
            let mut sweep = sweep.clone();
            sweep[key] = wrong;
            assert!(!validator.is_valid(&sweep), "{key}");
        }
    }
}
