//! Text from files on its way to a terminal: control characters could move the cursor or forge lines.

/// With control characters and those that turn the direction of writing spelled out; a line break too.
pub fn one_line(text: &str) -> String {
    escaped(text, &[])
}

/// The same for text of several lines: line breaks and tabs stay.
pub fn lines(text: &str) -> String {
    escaped(text, &['\n', '\t'])
}

fn escaped(text: &str, kept: &[char]) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if is_control(c) && !kept.contains(&c) {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// C0, DEL and C1, and the marks, embeddings, overrides and isolates of bidirectional text.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_acts_on_the_terminal() {
        assert_eq!(one_line("a\x1b[31mb\nc\td"), r"a\u{1b}[31mb\nc\td");
        assert_eq!(lines("a\u{9b}b\nc\td\re"), "a\\u{9b}b\nc\td\\re");
        assert_eq!(one_line("evil\u{202e}txt"), r"evil\u{202e}txt");
        assert_eq!(one_line("größe 深い ±"), "größe 深い ±");
    }
}
