//! A masking strategy as a setting of another one.

use ijepa_registry::{catalogue, prelude::*, problem::nearest};
use serde_json::{Map, Value};

/// A strategy by name with its settings, as in a section: `{ kind: block, scale: [0.6, 0.6] }`, or its name alone.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "Value", into = "Value")]
#[schemars(with = "Section")]
pub(crate) struct Nested {
    pub kind: String,
    /// All settings, defaults filled in.
    pub settings: Value,
    pub object: Box<dyn Masking>,
}

/// What a nested strategy looks like in a file, for the schema; the mark has its settings read as those of a section.
#[derive(JsonSchema)]
#[schemars(extend("x-component" = "masking"))]
#[allow(dead_code)]
struct Section {
    /// Name of the strategy.
    kind: String,
    /// Its settings.
    #[schemars(flatten)]
    settings: Map<String, Value>,
}

impl Clone for Nested {
    fn clone(&self) -> Self {
        // Settings that were read once can be read again.
        Nested::new(&self.kind, &self.settings).unwrap_or_else(|why| unreachable!("{why}"))
    }
}

impl Nested {
    pub fn new(kind: &str, settings: &Value) -> Result<Self, String> {
        let names = catalogue::names::<dyn Masking>();
        let entry = catalogue::find::<dyn Masking>(kind).ok_or_else(|| {
            let close =
                nearest(kind, names.iter().copied()).first().map(|name| format!("did you mean `{name}`? "));
            let close = close.unwrap_or_default();
            format!("there is no masking `{kind}` in this program; {close}there are: {}", names.join(", "))
        })?;
        let (settings, object) = (entry.build)(settings).map_err(|why| format!("masking `{kind}`: {why}"))?;
        Ok(Nested { kind: kind.into(), settings, object })
    }

    /// The key of draw number `i` of `count` that a strategy makes of one: no two share a stream.
    pub fn own_draw(draw: &BatchDraw, i: usize, count: usize) -> BatchDraw {
        BatchDraw { repeat: draw.repeat * count as u64 + i as u64, ..draw.clone() }
    }

    /// Problems of the strategy, at `path`.
    pub fn check(&self, grid: Grid, path: &str) -> Vec<Problem> {
        let at = |p: Problem| {
            let path = if p.path.is_empty() { path.to_owned() } else { format!("{path}.{}", p.path) };
            Problem { path, ..p }
        };
        self.object.check(grid).into_iter().map(at).collect()
    }
}

impl TryFrom<Value> for Nested {
    type Error = String;
    fn try_from(value: Value) -> Result<Self, String> {
        let Value::Object(mut settings) = value else {
            return match value.as_str() {
                Some(kind) => Nested::new(kind, &Value::Object(Map::new())),
                None => Err("a masking is a mapping with `kind`, such as { kind: block }".into()),
            };
        };
        match settings.remove("kind") {
            Some(Value::String(kind)) => Nested::new(&kind, &Value::Object(settings)),
            _ => Err("a masking says which by `kind`, such as { kind: block }".into()),
        }
    }
}

impl From<Nested> for Value {
    fn from(nested: Nested) -> Value {
        let mut section = Map::from_iter([("kind".to_owned(), nested.kind.into())]);
        section.extend(nested.settings.as_object().cloned().unwrap_or_default());
        Value::Object(section)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Nested, String> {
        serde_json::from_value(serde_yaml::from_str(yaml).unwrap())
            .map_err(|e: serde_json::Error| e.to_string())
    }

    #[test]
    fn names_and_mappings_are_read_and_written_with_all_settings() {
        let block = read("{ kind: block, scale: [0.5, 0.5] }").unwrap();
        let written = serde_json::to_value(&block).unwrap();
        assert_eq!(written["kind"], "block");
        assert_eq!(written["aspect"], serde_json::json!([0.75, 1.5]), "defaults are filled in");
        assert_eq!(read("random").unwrap().kind, "random");
        let problem =
            &read("{ kind: block, scale: [0.9, 0.2] }").unwrap().check(Grid { rows: 8, cols: 8 }, "of.1")[0];
        assert_eq!(problem.path, "of.1.scale");
    }

    #[test]
    fn mistakes_say_what_to_write() {
        assert!(read("blok").unwrap_err().contains("did you mean `block`?"));
        assert!(read("{ scale: 1 }").unwrap_err().contains("by `kind`"));
        assert!(read("{ kind: block, skale: [0.5, 0.5] }").unwrap_err().contains("unknown field `skale`"));
        assert!(read("3").unwrap_err().contains("mapping with `kind`"));
    }
}
