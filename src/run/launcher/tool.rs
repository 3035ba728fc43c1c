//! Calling the commands of an engine.

use std::process::{Command, Stdio};

/// What a command printed; an error says what it was, in its own words.
pub fn call(words: &[String]) -> Result<String, String> {
    let [program, arguments @ ..] = words else { return Err("no command".into()) };
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("cannot run {program}: {e}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let said = text(&output.stderr);
    let said = said.lines().last().unwrap_or("it says nothing");
    Err(format!("{program}: {said} ({})", output.status))
}

/// Words of a command line.
pub fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}

/// A word as a shell reads it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_more_into_them() {
        let all = ["a/b-1.yaml", "a b", "it's", "", "$HOME"];
        assert_eq!(all.map(quoted), ["a/b-1.yaml", "'a b'", r"'it'\''s'", "''", "'$HOME'"]);
        assert_eq!(call(&words(&["sh", "-c", "echo one; echo two"])), Ok("one\ntwo".into()));
        let error = call(&words(&["sh", "-c", "echo why >&2; exit 3"])).unwrap_err();
        assert!(error.contains("why") && error.contains('3'), "{error}");
        assert!(call(&words(&["there-is-no-such-program"])).unwrap_err().contains("cannot run"));
    }
}
