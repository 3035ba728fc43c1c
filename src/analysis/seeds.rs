//! What a number of seeds can show, known before anything runs.

/// What so few seeds per arm cannot show, if so. The smallest p of an exact test on n pairs is 2 / 2^n, and
/// Holm's method multiplies it by the number of comparisons.
pub fn too_few_seeds(arms: usize, seeds: usize) -> Option<String> {
    let contrasts = arms.saturating_sub(1);
    let smallest = |n: usize| contrasts as f64 * 2.0 / 2f64.powi(n as i32);
    let needed = (1..).find(|n| smallest(*n) < 0.05)?;
    let comparisons = if contrasts == 1 { "comparison".into() } else { format!("{contrasts} comparisons") };
    match seeds {
        _ if contrasts == 0 => None,
        0..=2 => Some(format!(
            "seeds: {seeds} per arm give no verdict; at least 3 are needed, {needed} for an exact test"
        )),
        n if n < needed => Some(format!(
            "seeds: {n} per arm can show a difference only if values are normal: an exact test of the {comparisons} \
             cannot go below p = {:.2}; {needed} seeds can",
            smallest(n).min(1.0)
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_seeds_are_spoken_of() {
        let said = |arms, seeds| too_few_seeds(arms, seeds).unwrap_or_default();
        assert_eq!(said(1, 1), "");
        assert_eq!(
            said(2, 2),
            "seeds: 2 per arm give no verdict; at least 3 are needed, 6 for an exact test"
        );
        assert!(said(3, 4).contains("2 comparisons cannot go below p = 0.25; 7 seeds can"), "{}", said(3, 4));
        assert_eq!(said(3, 7), "");
    }
}
