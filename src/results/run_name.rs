//! What the name of a run folder says.

/// `NAME-sSEED-IDENTITY` or `NAME-sSEED-IDENTITY-DATA`, taken apart; the data stay with the identity.
pub fn run_name_parts(folder: &str) -> Option<(&str, &str, &str)> {
    let is_seed = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // The last one: a name may look like a seed.
    let starts = folder.match_indices("-s").map(|(at, _)| at).filter(|at| *at > 0);
    let split = |at: usize| {
        let (seed, identity) = folder[at + 2..].split_once('-')?;
        let parts = identity.split('-').count();
        (is_seed(seed) && parts <= 2 && !identity.is_empty()).then_some((&folder[..at], seed, identity))
    };
    starts.filter_map(split).last()
}

#[cfg(test)]
mod tests {
    use super::run_name_parts as parts;

    #[test]
    fn names_may_hold_dashes() {
        assert_eq!(parts("my-small-run-s12-0123456789ab"), Some(("my-small-run", "12", "0123456789ab")));
        let on_files = parts("cats-s3-x-s12-0123456789ab-01234567");
        assert_eq!(on_files, Some(("cats-s3-x", "12", "0123456789ab-01234567")));
        assert_eq!(parts("sweeps"), None);
        assert_eq!(parts("a-b"), None);
    }
}
