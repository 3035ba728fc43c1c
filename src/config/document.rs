//! YAML text to a plain tree and the place of everything in it. The only file that knows saphyr.

use std::sync::Arc;

use saphyr::{LoadableYamlNode, MarkedYaml, Marker, Scalar, YamlData};
use serde_json::{Map, Number, Value};

use super::{
    error::Located,
    place::{Place, Places, Spot, join},
};

/// A tree and the places of its entries.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub value: Value,
    pub places: Places,
}

impl Document {
    /// Reads a file.
    pub fn from_file(name: &str, text: &str) -> Result<Self, Vec<Located>> {
        let name: Arc<str> = name.into();
        let file = move |m: Marker| Place::File { name: name.clone(), line: m.line(), column: m.col() + 1 };
        parse(text, "", &file)
    }

    /// Reads the value of an override, to be put at `path`.
    pub fn from_override(whole: &str, path: &str, value: &str) -> Result<Self, Vec<Located>> {
        let whole: Arc<str> = whole.into();
        parse(value, path, &|_| Place::Override(whole.clone()))
    }
}

fn parse(text: &str, path: &str, place: &dyn Fn(Marker) -> Place) -> Result<Document, Vec<Located>> {
    let start = place(Marker::new(0, 1, 0));
    let problem = |place, message: String, help: Option<&str>| {
        vec![Located { place, path: path.into(), message, help: help.map(Into::into) }]
    };
    if let Some(line) = too_deep(text) {
        let message = format!("is nested more than {MAX_INDENT} columns deep");
        return Err(problem(place(Marker::new(0, line, 0)), message, None));
    }
    let nodes = MarkedYaml::load_from_str(text)
        .map_err(|e| problem(place(*e.marker()), e.info().to_owned(), syntax_help(e.info())))?;
    if nodes.len() > 1 {
        let message = "holds several YAML documents; one is expected".into();
        return Err(problem(place(nodes[1].span.start), message, Some("remove the `---` line")));
    }
    let Some(node) = nodes.first() else {
        return Ok(Document { value: Value::Null, places: Places::new(start) });
    };
    let root = place(node.span.start);
    let mut walk = Walk { text, place, places: Places::new(root.clone()), problems: Vec::new() };
    let value = walk.visit(path, &root, node);
    if walk.problems.is_empty() { Ok(Document { value, places: walk.places }) } else { Err(walk.problems) }
}

/// Columns before the first word of a line. The parser limits brackets itself, but recurses once
/// per column of indentation or `- - -`, and would overflow the stack.
const MAX_INDENT: usize = 500;

/// The first line that is nested too deep.
fn too_deep(text: &str) -> Option<usize> {
    let is_deep = |line: &str| line.bytes().take_while(|b| b" -?\t".contains(b)).count() > MAX_INDENT;
    text.lines().position(is_deep).map(|i| i + 1)
}

fn syntax_help(info: &str) -> Option<&'static str> {
    let hints = [
        ("tab", "indent with spaces"),
        ("duplicate", "keep one of the two entries"),
        ("mapping values", "a value that contains `: ` needs quotes; or the indentation is off"),
    ];
    hints.iter().find(|(word, _)| info.to_lowercase().contains(word)).map(|(_, hint)| *hint)
}

/// One pass over the marked tree.
struct Walk<'a> {
    text: &'a str,
    place: &'a dyn Fn(Marker) -> Place,
    places: Places,
    problems: Vec<Located>,
}

impl Walk<'_> {
    /// Converts `node`, which stands at `path` under a key at `key`.
    fn visit(&mut self, path: &str, key: &Place, node: &MarkedYaml) -> Value {
        let own = (self.place)(node.span.start);
        let is_group = node.data.is_mapping() || node.data.is_sequence();
        let value = if is_group { key.clone() } else { own.clone() };
        self.places.insert(path, Spot { key: key.clone(), value });
        match &node.data {
            YamlData::Value(scalar) => self.scalar(path, own, node, scalar),
            YamlData::Sequence(items) => {
                let item = |(i, n): (usize, &MarkedYaml)| {
                    let at = (self.place)(n.span.start);
                    self.visit(&join(path, &i.to_string()), &at, n)
                };
                Value::Array(items.iter().enumerate().map(item).collect())
            }
            YamlData::Mapping(entries) => {
                Value::Object(entries.iter().filter_map(|(k, v)| self.entry(path, k, v)).collect())
            }
            YamlData::Tagged(..) => self.refuse(path, own, "YAML tags (`!name`) are not used here"),
            _ => self.refuse(path, own, "is not a value YAML defines"),
        }
    }

    fn entry(&mut self, path: &str, key: &MarkedYaml, value: &MarkedYaml) -> Option<(String, Value)> {
        let at = (self.place)(key.span.start);
        let YamlData::Value(Scalar::String(name)) = &key.data else {
            self.refuse(path, at, "a key is not text: put it in quotes");
            return None;
        };
        let child = self.visit(&join(path, name), &at, value);
        Some((name.to_string(), child))
    }

    fn scalar(&mut self, path: &str, place: Place, node: &MarkedYaml, scalar: &Scalar) -> Value {
        match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(b) => Value::Bool(*b),
            Scalar::Integer(i) => Value::from(*i),
            Scalar::String(s) => Value::String(s.to_string()),
            Scalar::FloatingPoint(x) => match (self.large_integer(node), Number::from_f64(x.0)) {
                (Some(n), _) => Value::from(n),
                (None, Some(n)) => Value::Number(n),
                (None, None) => self.refuse(path, place, "is not a finite number"),
            },
        }
    }

    /// Seeds above `i64::MAX` reach us as floats; the text still holds every digit.
    fn large_integer(&self, node: &MarkedYaml) -> Option<u64> {
        let typed: String = self.text.chars().skip(node.span.start.index()).take(node.span.len()).collect();
        typed.parse().ok()
    }

    fn refuse(&mut self, path: &str, place: Place, message: &str) -> Value {
        self.problems.push(Located { place, path: path.into(), message: message.into(), help: None });
        Value::Null
    }
}

/// `value` as a mapping, or what to say if it is not one.
pub(crate) fn mapping(value: &Value) -> Result<&Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("is {}; expected a mapping", describe(value)))
}

/// A value in words: `the text "abc"`, `the number 3`, `a list`.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "empty".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) => format!("the text `{s}`"),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a mapping".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Document {
        Document::from_file("a.yaml", text).expect("valid")
    }

    fn fails(text: &str) -> String {
        Document::from_file("a.yaml", text).expect_err("invalid")[0].to_string()
    }

    #[test]
    fn scalars_follow_yaml_1_2() {
        let doc = read("[1e-3, no, 1, -2.5, true, ~, '7', 0x10, 18446744073709551615, 1.0e+3, .5]");
        assert_eq!(doc.value, json!([0.001, "no", 1, -2.5, true, null, "7", 16, u64::MAX, 1000.0, 0.5]));
    }

    #[test]
    fn every_key_and_value_has_a_place() {
        let doc = read("a: 1\nb:\n  c: [x, yy]\nd: {e: 3}\n");
        let at = |path: &str| (doc.places.key(path).to_string(), doc.places.value(path).to_string());
        let pair = |a: &str, b: &str| (format!("a.yaml:{a}"), format!("a.yaml:{b}"));
        assert_eq!(at("a"), pair("1:1", "1:4"));
        assert_eq!(at("b"), pair("2:1", "2:1"));
        assert_eq!(at("b.c.1"), pair("3:10", "3:10"));
        assert_eq!(at("d.e"), pair("4:5", "4:8"));
    }

    #[test]
    fn syntax_errors_have_places() {
        assert!(fails("a: 1\na: 2\n").starts_with("a.yaml:2:1: "), "{}", fails("a: 1\na: 2\n"));
        assert!(fails("a:\n\tb: 1\n").starts_with("a.yaml:2:"), "{}", fails("a:\n\tb: 1\n"));
        assert!(fails("a: [1, 2\n").starts_with("a.yaml:"), "{}", fails("a: [1, 2\n"));
        assert_eq!(fails("a: .nan\n"), "a.yaml:1:4: a: is not a finite number");
        assert_eq!(fails("1: 2\n"), "a.yaml:1:1: a key is not text: put it in quotes");
        assert!(fails("a: !x 3\n").contains("tags"), "{}", fails("a: !x 3\n"));
        assert!(fails("a: 1\n---\nb: 2\n").starts_with("a.yaml:3:1: "));
    }
}
