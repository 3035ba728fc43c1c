//! Wording shared by all configuration errors.

use ijepa_registry::problem::nearest;

/// `did you mean ...?` and the allowed words.
pub(crate) fn did_you_mean(word: &str, allowed: &[&str]) -> String {
    let allowed_list = format!("allowed: {}", allowed.join(", "));
    match nearest(word, allowed.iter().copied()).as_slice() {
        [] => allowed_list,
        close => format!("did you mean {}?\n{allowed_list}", ticked(close, " or ")),
    }
}

/// Words in backticks.
pub(crate) fn ticked(words: &[&str], between: &str) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(between)
}

/// `an encoder`, `a loss`.
pub(crate) fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

/// `1 entry`, `3 entries`.
pub(crate) fn entries(count: usize) -> String {
    format!("{count} {}", if count == 1 { "entry" } else { "entries" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_gets_the_list_only() {
        assert_eq!(did_you_mean("dept", &["depth", "dim"]), "did you mean `depth`?\nallowed: depth, dim");
        assert_eq!(did_you_mean("zzz", &["depth"]), "allowed: depth");
    }

    #[test]
    fn grammar() {
        assert_eq!([with_article("encoder"), with_article("loss")], ["an encoder", "a loss"]);
        assert_eq!([entries(1), entries(2)], ["1 entry", "2 entries"]);
    }
}
