//! YAML text to a plain tree and the place of everything in it. The only file that knows saphyr.

use std::sync::Arc;

use saphyr::{LoadableYamlNode, MarkedYaml, Marker, Scalar, YamlData};
use serde_json::{Map, Number, Value};

use super::{
    characters::{
        Unseen, control_characters, first_odd_space, odd_spaces, typographic_start, without_odd_spaces,
    },
    error::Located,
    span::{EntrySpans, SourceMap, Span, join},
    wording::bare,
};

/// A tree and the places of its entries.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub value: Value,
    pub places: SourceMap,
}

impl Document {
    /// Reads a file.
    pub fn from_file(name: &str, text: &str) -> Result<Self, Vec<Located>> {
        let name: Arc<str> = name.into();
        let file = move |m: Marker| Span::File { name: name.clone(), line: m.line(), column: m.col() + 1 };
        parse(text.strip_prefix('\u{feff}').unwrap_or(text), "", &file)
    }

    /// Reads the value of an override, to be put at `path`.
    pub fn from_override(whole: &str, path: &str, value: &str) -> Result<Self, Vec<Located>> {
        let whole: Arc<str> = whole.into();
        parse(value, path, &|_| Span::Override(whole.clone()))
    }
}

fn parse(text: &str, path: &str, span: &dyn Fn(Marker) -> Span) -> Result<Document, Vec<Located>> {
    let start = span(Marker::new(0, 1, 0));
    let problem =
        |span, message: String, help: Option<String>| Located { span, path: path.into(), message, help };
    let at = |line: usize, column: usize| span(Marker::new(0, line, column - 1));
    let unreadable: Vec<Located> = control_characters(text)
        .into_iter()
        .map(|c| problem(at(c.line, c.column), format!("holds {}", c.name), Some("remove it".into())))
        .collect();
    if !unreadable.is_empty() {
        return Err(unreadable);
    }
    if let Some(line) = too_deep(text) {
        let message = format!("is nested more than {MAX_INDENT} columns deep");
        return Err(vec![problem(at(line, 1), message, None)]);
    }
    let nodes = MarkedYaml::load_from_str(text).map_err(|e| {
        let help = syntax_help(text, e.info(), e.marker().line());
        vec![problem(span(*e.marker()), e.info().to_owned(), help)]
    })?;
    if nodes.len() > 1 {
        let message = "holds several YAML documents; one is expected".into();
        return Err(vec![problem(span(nodes[1].span.start), message, Some("remove the `---` line".into()))]);
    }
    let Some(node) = nodes.first() else {
        return Ok(Document { value: Value::Null, places: SourceMap::new(start) });
    };
    let root = span(node.span.start);
    let text = text.chars().collect();
    let mut walk = Walk { text, span, places: SourceMap::new(root.clone()), problems: Vec::new() };
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

/// What a syntax error on this line most likely comes from.
fn syntax_help(text: &str, info: &str, line: usize) -> Option<String> {
    if let Some(odd) = odd_spaces(text).into_iter().find(|odd| (odd.line..odd.line + 3).contains(&line)) {
        let Unseen { line, column, name } = odd;
        return Some(format!("line {line}, column {column} holds {name}; type an ordinary space there"));
    }
    let near: Vec<&str> = text.lines().skip(line.saturating_sub(2)).take(2).collect();
    let hints = [
        ("tab", "indent with spaces"),
        ("duplicate", "keep one of the two entries"),
        ("mapping values", "a value that contains `: ` needs quotes; or the indentation is off"),
    ];
    let known = hints.iter().find(|(word, _)| info.to_lowercase().contains(word)).map(|(_, hint)| *hint);
    let variable = near
        .iter()
        .any(|l| l.contains("${"))
        .then_some("a variable inside { } or [ ] needs quotes: \"${DATA}\"");
    variable.or(known).map(str::to_owned)
}

/// One pass over the marked tree.
struct Walk<'a> {
    text: Vec<char>,
    span: &'a dyn Fn(Marker) -> Span,
    places: SourceMap,
    problems: Vec<Located>,
}

impl Walk<'_> {
    /// Converts `node`, which stands at `path` under a key at `key`.
    fn visit(&mut self, path: &str, key: &Span, node: &MarkedYaml) -> Value {
        let own = (self.span)(node.span.start);
        let is_group = node.data.is_mapping() || node.data.is_sequence();
        let value = if is_group { key.clone() } else { own.clone() };
        let empty = matches!(node.data, YamlData::Value(Scalar::Null)) && node.span.is_empty();
        self.places.insert(path, EntrySpans { key: key.clone(), value, empty });
        match &node.data {
            YamlData::Value(scalar) => self.scalar(path, own, node, scalar),
            YamlData::Sequence(items) => {
                let item = |(i, n): (usize, &MarkedYaml)| {
                    let at = (self.span)(n.span.start);
                    self.visit(&join(path, &i.to_string()), &at, n)
                };
                Value::Array(items.iter().enumerate().map(item).collect())
            }
            YamlData::Mapping(entries) => self.mapping(path, entries.iter()),
            YamlData::Tagged(..) => self.refuse(path, own, "YAML tags (`!name`) are not used here"),
            _ => self.refuse(path, own, "is not a value YAML defines"),
        }
    }

    /// The entries as typed; those merged in by `<<` fill in what is not.
    fn mapping<'n, 'y: 'n>(
        &mut self,
        path: &str,
        entries: impl Iterator<Item = Entry<'n, 'y>> + Clone,
    ) -> Value {
        let mut map = Map::new();
        for (key, value) in entries.clone().filter(|(key, _)| !is_merge_key(key)) {
            map.extend(self.entry(path, key, value));
        }
        for (key, value) in entries.filter(|(key, _)| is_merge_key(key)) {
            self.merge(path, (self.span)(key.span.start), value, &mut map);
        }
        Value::Object(map)
    }

    /// The merge key of YAML 1.1: a mapping, or a list of mappings of which the first that has a key
    /// gives it. What stands in the mapping itself comes first.
    fn merge(&mut self, path: &str, at: Span, source: &MarkedYaml, map: &mut Map<String, Value>) {
        match &source.data {
            YamlData::Mapping(entries) => {
                for (key, value) in entries.iter() {
                    if is_merge_key(key) {
                        self.merge(path, at.clone(), value, map);
                    } else if key.data.as_str().is_none_or(|name| !map.contains_key(name)) {
                        map.extend(self.entry(path, key, value));
                    }
                }
            }
            YamlData::Sequence(sources) if sources.iter().all(|s| s.data.is_mapping()) => {
                sources.iter().for_each(|s| self.merge(path, at.clone(), s, map));
            }
            _ => {
                let message = "`<<` merges a mapping or a list of mappings, such as `<<: *name`";
                self.refuse(path, at, message);
            }
        }
    }

    fn entry(&mut self, path: &str, key: &MarkedYaml, value: &MarkedYaml) -> Option<(String, Value)> {
        let at = (self.span)(key.span.start);
        let YamlData::Value(Scalar::String(name)) = &key.data else {
            self.refuse(path, at, "a key is not text: put it in quotes");
            return None;
        };
        if let Some((column, odd)) = first_odd_space(name) {
            self.refuse(path, at, &format!("the key holds {odd} as character {column}: remove it"));
            return None;
        }
        let child = self.visit(&join(path, name), &at, value);
        Some((name.to_string(), child))
    }

    fn scalar(&mut self, path: &str, span: Span, node: &MarkedYaml, scalar: &Scalar) -> Value {
        match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(b) => Value::Bool(*b),
            Scalar::Integer(i) => Value::from(*i),
            Scalar::String(s) => match self.disguised(node, s) {
                Some(why) => self.refuse(path, span, &why),
                None => Value::String(s.to_string()),
            },
            Scalar::FloatingPoint(x) => match (self.large_integer(node), Number::from_f64(x.0)) {
                (Some(n), _) => Value::from(n),
                (None, Some(n)) => Value::Number(n),
                (None, None) => self.refuse(path, span, "is not a finite number"),
            },
        }
    }

    /// Why a word without quotes is not what it looks like.
    fn disguised(&self, node: &MarkedYaml, word: &str) -> Option<String> {
        let quoted = self.text.get(node.span.start.index()).is_some_and(|c| "\"'|>".contains(*c));
        if quoted {
            return None;
        }
        if let Some((c, advice)) = typographic_start(word) {
            return Some(format!("is {}, which starts with `{c}`: {advice}", describe(&word.into())));
        }
        let (_, odd) = first_odd_space(word)?;
        let bare = without_odd_spaces(word);
        let at_an_end = !word.starts_with(bare.chars().next()?) || !word.ends_with(bare.chars().next_back()?);
        let is_number = bare.parse::<f64>().is_ok();
        (at_an_end || is_number).then(|| format!("holds {odd}: write `{}`", bare.trim()))
    }

    /// Seeds above `i64::MAX` reach us as floats; the text still holds every digit.
    fn large_integer(&self, node: &MarkedYaml) -> Option<u64> {
        let from = node.span.start.index();
        let typed: String = self.text.get(from..from + node.span.len())?.iter().collect();
        typed.parse().ok()
    }

    fn refuse(&mut self, path: &str, span: Span, message: &str) -> Value {
        self.problems.push(Located { span, path: path.into(), message: message.into(), help: None });
        Value::Null
    }
}

type Entry<'n, 'y> = (&'n MarkedYaml<'y>, &'n MarkedYaml<'y>);

fn is_merge_key(key: &MarkedYaml) -> bool {
    key.data.as_str() == Some("<<")
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
        Value::Number(_) => bare(value),
        // Spelled out: a line break could forge a second message.
        Value::String(s) if s.contains(char::is_control) => format!("the text `{}`", s.escape_debug()),
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
    fn merge_keys_fill_in_what_is_not_typed() {
        let doc =
            read("a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 9}\nd: {y: 0, <<: *a}\n");
        assert_eq!(doc.value["c"], json!({"x": 9, "y": 2, "z": 4}));
        assert_eq!(doc.value["d"], json!({"y": 0, "x": 1}));
        assert_eq!(doc.places.value("c.z").to_string(), "a.yaml:2:17");
        assert_eq!(read("a: &a {x: 1}\nb: &b {<<: *a}\nc: {<<: *b}\n").value["c"], json!({"x": 1}));
        assert!(fails("a: {<<: 3}\n").starts_with("a.yaml:1:5: a: `<<` merges a mapping"));
    }

    #[test]
    fn what_cannot_be_seen_is_named_with_its_place() {
        assert_eq!(fails("a: 1\nb: x\0y\n"), "a.yaml:2:5: holds a NUL byte (U+0000)\n  help: remove it");
        let inside = fails("a: 1\nb:\u{a0}2\nc: 3\n");
        assert!(inside.contains("line 2, column 3 holds a no-break space (U+00A0)"), "{inside}");
        assert_eq!(fails("a: 3\u{a0}\n"), "a.yaml:1:4: a: holds a no-break space (U+00A0): write `3`");
        assert!(fails("\u{a0}a: 3\n").starts_with("a.yaml:1:1: the key holds a no-break space"));
        assert!(fails("a: \u{201c}x\u{201d}\n").contains("straight quotes"));
        assert_eq!(read("a: 'x\u{a0}y'\nb: my\u{a0}pictures\n").value["b"], "my\u{a0}pictures");
        assert_eq!(read("\u{feff}a: 1\n").places.key("a").to_string(), "a.yaml:1:1");
        assert!(fails("a: {b: ${DATA}}\n").contains("needs quotes"), "{}", fails("a: {b: ${DATA}}\n"));
    }

    #[test]
    fn a_missing_value_is_told_from_null() {
        let doc = read("a:\nb: null\nc: ~\nd: {e: , f: 1}\n");
        assert_eq!(["a", "b", "c", "d.e"].map(|p| doc.places.is_empty(p)), [true, false, false, true]);
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
