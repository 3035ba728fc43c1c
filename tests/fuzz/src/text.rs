//! Edits of a text, as a strategy that can be made smaller: fewer edits, earlier places.

use proptest::{prelude::*, sample::Index};

/// Values at the edges of what settings and cells may be.
pub const EDGES: [&str; 46] = [
    "0",
    "1",
    "-1",
    "2",
    "0.5",
    "-0.0",
    "1e-300",
    "1e308",
    "1e400",
    ".nan",
    ".inf",
    "-.inf",
    "NaN",
    "inf",
    "4294967296",
    "2305843009213693952",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "999999999999",
    "null",
    "~",
    "true",
    "no",
    "''",
    "\"\"",
    "[]",
    "{}",
    "[1, 2",
    "{a: ",
    "[[[[[[[[]]]]]]]]",
    "- - -",
    "&a",
    "*a",
    "<<",
    "!!int 3",
    "---",
    "...",
    "%YAML 1.2",
    "\u{0}",
    "\u{feff}",
    "\u{202e}",
    "é",
    "\t",
    "0x10",
    "1_000",
];

/// One change of a text.
#[derive(Clone, Debug)]
pub enum ImageOp {
    /// A word or number becomes another.
    Word(Index, String),
    /// A line is left out.
    Drop(Index),
    /// A line stands twice.
    Double(Index),
    /// Two lines change places.
    Swap(Index, Index),
    /// A line moves to the right.
    Indent(Index, u8),
    /// Something is put in anywhere.
    Insert(Index, String),
    /// Some characters are left out.
    Cut(Index, u8),
    /// The rest is left out.
    End(Index),
    /// Other lines are put in.
    Lines(Index, String),
}

/// One to four edits with `words` as material and `blocks` of lines to put in.
pub fn edits(words: Vec<String>, blocks: Vec<String>) -> impl Strategy<Value = Vec<ImageOp>> {
    let place = any::<Index>;
    let words = words.into_iter().chain(EDGES.map(str::to_owned)).collect::<Vec<_>>();
    let word = || proptest::sample::select(words.clone());
    let number =
        || prop_oneof![any::<i64>().prop_map(|n| n.to_string()), any::<f64>().prop_map(|x| format!("{x:e}"))];
    let edge = || proptest::sample::select(EDGES.map(str::to_owned).to_vec());
    let one = prop_oneof![
        4 => (place(), word()).prop_map(|(a, w)| ImageOp::Word(a, w)),
        3 => (place(), edge()).prop_map(|(a, w)| ImageOp::Word(a, w)),
        2 => (place(), number()).prop_map(|(a, w)| ImageOp::Word(a, w)),
        1 => place().prop_map(ImageOp::Drop),
        1 => place().prop_map(ImageOp::Double),
        1 => (place(), place()).prop_map(|(a, b)| ImageOp::Swap(a, b)),
        1 => (place(), 1..12_u8).prop_map(|(a, n)| ImageOp::Indent(a, n)),
        1 => (place(), prop_oneof![edge(), any::<char>().prop_map(String::from)]).prop_map(|(a, w)| ImageOp::Insert(a, w)),
        1 => (place(), 1..30_u8).prop_map(|(a, n)| ImageOp::Cut(a, n)),
        1 => place().prop_map(ImageOp::End),
        2 => (place(), proptest::sample::select(blocks)).prop_map(|(a, b)| ImageOp::Lines(a, b)),
    ];
    prop::collection::vec(one, 1..=4)
}

/// The text after all edits.
pub fn apply(text: &str, edits: &[ImageOp]) -> String {
    edits.iter().fold(text.to_owned(), |text, edit| change(&text, edit))
}

fn change(text: &str, edit: &ImageOp) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let characters: Vec<char> = text.chars().collect();
    if characters.is_empty() {
        return text.to_owned();
    }
    let (line, character) = (|i: &Index| i.index(lines.len()), |i: &Index| i.index(characters.len()));
    let text_of = |part: &[char]| part.iter().collect::<String>();
    match edit {
        ImageOp::Word(at, word) => return replace_word(text, at, word),
        ImageOp::Drop(at) => drop(lines.remove(line(at))),
        ImageOp::Double(at) => {
            let at = line(at);
            lines.insert(at, lines[at]);
        }
        ImageOp::Swap(a, b) => {
            let (a, b) = (line(a), line(b));
            lines.swap(a, b);
        }
        ImageOp::Indent(at, n) => {
            let indented = format!("{}{}", " ".repeat(usize::from(*n)), lines[line(at)]);
            let at = line(at);
            return [&lines[..at], &[indented.as_str()], &lines[at + 1..]].concat().concat();
        }
        ImageOp::Insert(at, what) => {
            let at = character(at);
            return format!("{}{what}{}", text_of(&characters[..at]), text_of(&characters[at..]));
        }
        ImageOp::Cut(at, n) => {
            let (from, to) = (character(at), (character(at) + usize::from(*n)).min(characters.len()));
            return text_of(&characters[..from]) + &text_of(&characters[to..]);
        }
        ImageOp::End(at) => return text_of(&characters[..character(at)]),
        ImageOp::Lines(at, block) => {
            let at = line(at);
            lines.insert(at, block);
        }
    }
    lines.concat()
}

/// Puts `word` in place of one of the words of the text.
fn replace_word(text: &str, at: &Index, word: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || "._-+".contains(c);
    let mut starts = Vec::new();
    let mut inside = false;
    for (i, c) in text.char_indices() {
        if is_part(c) && !inside {
            starts.push(i);
        }
        inside = is_part(c);
    }
    let Some(from) = (!starts.is_empty()).then(|| starts[at.index(starts.len())]) else {
        return text.to_owned();
    };
    let length = text[from..].find(|c| !is_part(c)).unwrap_or(text.len() - from);
    format!("{}{word}{}", &text[..from], &text[from + length..])
}
