//! Numbers for readers: four digits as in `compare`, with a typographic minus.

use crate::analysis::render::short;

/// A number; a dash if there is none.
pub(crate) fn plain(x: f64) -> String {
    if x.is_finite() { short(x).replacen('-', "\u{2212}", usize::from(x < 0.0)) } else { "–".into() }
}

/// A number with its sign.
pub(crate) fn signed(x: f64) -> String {
    let text = plain(x);
    if x > 0.0 && x.is_finite() { format!("+{text}") } else { text }
}

/// `low to high`; a dash if there is no interval.
pub(crate) fn interval(low: f64, high: f64) -> String {
    let known = low.is_finite() && high.is_finite();
    if known { format!("{} to {}", plain(low), plain(high)) } else { "–".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_set_in_type() {
        assert_eq!([1.5, -0.5, 0.0, f64::NAN].map(signed), ["+1.500", "\u{2212}0.5000", "0.000", "–"]);
        assert_eq!(plain(-1e-9), "\u{2212}1.000e-9");
        assert_eq!(interval(-1.0, f64::INFINITY), "–");
    }
}
