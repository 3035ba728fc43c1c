//! Names that a component may have.

use ijepa_registry::catalogue;

/// Keywords, and names of modules and crates that a file beside them would hide.
const TAKEN: [&str; 63] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "dfdx",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "ijepa_registry",
    "ijepa_run",
    "impl",
    "in",
    "inventory",
    "let",
    "lib",
    "loop",
    "macro",
    "main",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "schemars",
    "self",
    "serde",
    "shared",
    "static",
    "std",
    "struct",
    "super",
    "tests",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
];

/// What is wrong with this name for a component of this kind, and a name that would do.
pub(super) fn check(kind: &str, name: &str) -> Result<(), String> {
    let snake = snake_case(name);
    if snake != name || name.is_empty() {
        let near = if snake.is_empty() { format!("my_{kind}") } else { snake };
        let allowed = "lower-case letters, digits and `_`, a letter first";
        return Err(format!("`{name}` is no name of a component\n  help: allowed: {allowed}; try `{near}`"));
    }
    if TAKEN.contains(&name) || super::SKELETONS.iter().any(|s| s.kind == name || s.folder == name) {
        return Err(format!("`{name}` means something else in Rust or here\n  help: try `my_{name}`"));
    }
    let listings = catalogue::list();
    let mut own = listings.iter().filter(|l| l.kind == kind);
    if let Some(there) = own.clone().find(|l| l.name == name) {
        let help = format!("`ijepa-run components {kind} {name}` describes it; take another name");
        return Err(format!("there is a {kind} `{name}` already, from {}\n  help: {help}", there.origin));
    }
    let known = own.find_map(|l| l.aliases.iter().find(|(alias, _)| *alias == name).map(|_| l.name));
    known.map_or(Ok(()), |known| {
        let help = format!("take another name, such as `my_{name}`");
        Err(format!("others call the {kind} `{known}` `{name}`: it would be mistaken for it\n  help: {help}"))
    })
}

/// `Left-Half mask` becomes `left_half_mask`; nothing if no letter is left.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    let mut after_small = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && after_small {
            snake.push('_');
        }
        after_small = c.is_ascii_lowercase() || c.is_ascii_digit();
        snake.push(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    }
    let words: Vec<&str> = snake.split('_').filter(|word| !word.is_empty()).collect();
    words.join("_").trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').to_owned()
}

/// The type that holds the settings: `left_half` of kind `masking` is `LeftHalfMasking`. With the kind at its end it
/// cannot be a name of the prelude.
pub(super) fn type_name(kind: &str, name: &str) -> String {
    let camel = |words: &str| -> String {
        let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
        words.split('_').filter(|word| !word.is_empty()).map(capital).collect()
    };
    let (name, kind) = (camel(name), camel(kind));
    if name.ends_with(&kind) { name } else { name + &kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_are_refused_with_one_that_can() {
        for (name, near) in [
            ("Left-Half", "try `left_half`"),
            ("leftHalf", "try `left_half`"),
            ("2d_blocks", "try `d_blocks`"),
            ("_blocks", "try `blocks`"),
            ("", "try `my_masking`"),
            ("ä/..", "try `my_masking`"),
            ("match", "try `my_match`"),
            ("serde", "try `my_serde`"),
            ("masking", "try `my_masking`"),
        ] {
            let error = check("masking", name).expect_err(name);
            assert!(error.contains(near), "{name}: {error}");
        }
        assert_eq!(check("masking", "left_half"), Ok(()));
        assert!(check("loss", "l2").unwrap_err().contains("components loss l2"));
        assert!(check("loss", "mse").unwrap_err().contains("others call the loss `l2` `mse`"));
        assert_eq!(check("masking", "l2"), Ok(()));
    }

    #[test]
    fn types_end_with_their_kind() {
        assert_eq!(type_name("loss", "focal"), "FocalLoss");
        assert_eq!(type_name("loss", "my_loss"), "MyLoss");
        assert_eq!(type_name("targets", "last_4_blocks"), "Last4BlocksTargets");
    }
}
