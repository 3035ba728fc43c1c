//! Words of sweep files that were spelled otherwise in earlier versions. In a file that a person hands in
//! they are refused with the new spelling; what earlier versions left in sweep folders is read.

/// Where a word stands, how it was spelled, and how it is spelled now.
const RENAMED: &[(&str, &str, &str)] = &[(RULE, "asha", "successive_halving")];

/// Where the rule of early termination stands.
const RULE: &str = "early_terminate.kind";

/// The spelling of today, if `word` at `path` is an earlier one.
pub(super) fn renamed(path: &str, word: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(at, old, _)| *at == path && *old == word).map(|(_, _, new)| *new)
}

/// The rule of early termination that a sweep folder of any version calls `word`.
pub fn rule_of_today(word: &str) -> &str {
    renamed(RULE, word).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::early::RULES;

    #[test]
    fn old_words_lead_to_words_that_are_known() {
        assert!(RENAMED.iter().filter(|r| r.0 == RULE).all(|(_, old, new)| {
            RULES.contains(new) && !RULES.contains(old) && rule_of_today(old) == *new
        }));
        assert_eq!([rule_of_today("median"), rule_of_today("other")], ["median", "other"]);
        assert_eq!(renamed("method", "asha"), None, "only where it stood");
    }
}
