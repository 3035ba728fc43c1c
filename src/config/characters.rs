//! Characters that cannot be seen: refused or named, because a person cannot find them.

/// What is wrong with a character, and where it stands.
#[derive(Debug, PartialEq)]
pub(super) struct Unseen {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Such as `a no-break space (U+00A0)`.
    pub name: String,
}

/// Control characters, which YAML forbids.
pub(super) fn control_characters(text: &str) -> Vec<Unseen> {
    find(text, |c| {
        let allowed = matches!(c, '\t' | '\n' | '\r' | '\u{85}');
        let noncharacter = matches!(c, '\u{fffe}' | '\u{ffff}');
        (c.is_control() && !allowed || noncharacter).then_some(match c {
            '\0' => "a NUL byte",
            _ => "a control character",
        })
    })
}

/// Characters that look like a space, or like nothing, and are not taken for one, outside of comments.
pub(super) fn odd_spaces(text: &str) -> Vec<Unseen> {
    let uncommented: Vec<&str> =
        text.lines().map(|l| l.split_once(" #").map_or(l, |(code, _)| code)).collect();
    find(&uncommented.join("\n"), odd_space)
}

/// The first odd space of a word.
pub(super) fn first_odd_space(word: &str) -> Option<(usize, String)> {
    let found = find(word, odd_space).into_iter().next()?;
    Some((found.column, found.name))
}

/// The word without odd spaces.
pub(super) fn without_odd_spaces(word: &str) -> String {
    word.chars().filter(|c| odd_space(*c).is_none()).collect()
}

fn odd_space(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{a0}' => "a no-break space",
        '\u{202f}' => "a narrow no-break space",
        '\u{3000}' | '\u{1680}' | '\u{205f}' | '\u{2000}'..='\u{200a}' => "a typographic space",
        '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' => "a character without width",
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "a writing direction mark"
        }
        '\u{2028}' | '\u{2029}' | '\u{85}' => "a typographic line break",
        '\u{feff}' => "a byte order mark",
        '\u{ad}' => "a soft hyphen",
        _ => return None,
    })
}

/// What a word processor makes of a quote or a minus sign, at the start of a word.
pub(super) fn typographic_start(word: &str) -> Option<(char, &'static str)> {
    let first = word.chars().next()?;
    match first {
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{ab}' => {
            Some((first, "YAML knows the straight quotes \" and ' only"))
        }
        '\u{2013}' | '\u{2014}' | '\u{2212}' => Some((first, "write the minus sign - of the keyboard")),
        _ => None,
    }
}

fn find(text: &str, name: impl Fn(char) -> Option<&'static str>) -> Vec<Unseen> {
    let mut found = Vec::new();
    for (i, line) in text.split('\n').enumerate() {
        for (j, c) in line.chars().enumerate() {
            if let Some(name) = name(c) {
                let name = format!("{name} (U+{:04X})", c as u32);
                found.push(Unseen { line: i + 1, column: j + 1, name });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unseen_characters_are_found_and_named() {
        let nul = Unseen { line: 2, column: 3, name: "a NUL byte (U+0000)".into() };
        assert_eq!(control_characters("a: 1\nb:\0 2\r\n\t"), [nul]);
        let space = Unseen { line: 1, column: 3, name: "a no-break space (U+00A0)".into() };
        assert_eq!(odd_spaces("a:\u{a0}1 # in a comment\u{a0}\n"), [space]);
        assert_eq!(without_odd_spaces("1\u{202f}000"), "1000");
        assert_eq!(
            typographic_start("\u{201c}a"),
            Some(('\u{201c}', "YAML knows the straight quotes \" and ' only"))
        );
    }
}
