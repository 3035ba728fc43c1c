//! A report as text: terminal, Markdown, LaTeX, CSV, JSON. Returns strings; printing is not done here.

mod csv_tables;
mod grid;
mod json;
mod keys;
mod sections;

use super::{
    compare::Report,
    headline::{Piece, headline},
};
use keys::Keys;

pub use csv_tables::{arms_csv, comparisons_csv};
pub use json::json;

/// Aligned columns, no line of a table wider than `width`. Sentences are folded to it where `folded`, else each is a
/// line.
pub fn table(report: &Report, width: usize, folded: bool) -> String {
    let fold = |first: &str, rest: &str, text: &str| {
        if folded { fold(text, width, first, rest) } else { format!("{first}{text}") }
    };
    let keys = Keys::for_width(report, width);
    let sections = sections::sections(report, &keys).into_iter();
    let verdict = fold("", "", &sentence(report));
    let mut body: Vec<String> = vec![format!("{verdict}\n{}\n", sections::headline(report))];
    body.extend(keys.legend(width));
    body.extend(sections.map(|s| format!("{}\n{}", s.title, s.grid.aligned(width))));
    let notes: String =
        sections::notes(report, &keys).iter().map(|note| fold("  ", "    ", note) + "\n").collect();
    body.extend((!notes.is_empty()).then(|| format!("notes\n{notes}")));
    body.join("\n")
}

/// A text in lines of at most `width` letters, each with its indent; words stay whole, also at a hyphen.
fn fold(text: &str, width: usize, first: &str, rest: &str) -> String {
    let options = textwrap::Options::new(width).initial_indent(first).subsequent_indent(rest);
    textwrap::fill(text, options.word_splitter(textwrap::WordSplitter::NoHyphenation))
}

/// The verdict in a sentence.
pub fn sentence(report: &Report) -> String {
    let set = |piece: &Piece| match piece {
        Piece::Words(words) => words.clone(),
        Piece::Arm(arm) => format!("`{}`", arm.called()),
        Piece::Value(x) => short(*x),
        Piece::Difference(x) => signed(*x),
        Piece::Interval(low, high) => range(*low, *high),
    };
    headline(report).iter().map(set).collect()
}

/// GitHub-flavoured Markdown.
pub fn markdown(report: &Report) -> String {
    let keys = Keys::full(report);
    let sections = sections::sections(report, &keys).into_iter();
    let body: Vec<String> = sections.map(|s| format!("**{}**\n\n{}", s.title, s.grid.markdown())).collect();
    let notes: String = sections::notes(report, &keys).iter().map(|note| format!("- {note}\n")).collect();
    let notes = if notes.is_empty() { notes } else { format!("\n{notes}") };
    format!("{}\n\n{}\n\n{}{notes}", sentence(report), sections::headline(report), body.join("\n"))
}

/// `tabular` environments with `booktabs` rules; what goes around them is the paper's choice.
pub fn latex(report: &Report) -> String {
    let keys = Keys::full(report);
    let sections = sections::sections(report, &keys).into_iter();
    let body: Vec<String> = sections.map(|s| format!("% {}\n{}", s.title, s.grid.latex())).collect();
    let notes: String = sections::notes(report, &keys).iter().map(|note| format!("% {note}\n")).collect();
    format!("% {}\n% {}\n\n{}{notes}", sentence(report), sections::headline(report), body.join("\n"))
}

/// A number for a reader: four significant digits; `-` if there is none.
pub fn short(x: f64) -> String {
    if !x.is_finite() {
        return "-".into();
    }
    let magnitude = if x == 0.0 { 0 } else { x.abs().log10().floor() as i32 };
    match magnitude {
        -4..=7 => format!("{x:.*}", (3 - magnitude).clamp(0, 7) as usize),
        _ => format!("{x:.3e}"),
    }
}

/// A p-value for a reader.
pub fn short_p(p: f64) -> String {
    match p {
        p if p.is_nan() => "-".into(),
        p if p < 0.001 => "<0.001".into(),
        p => format!("{p:.3}"),
    }
}

/// A difference for a reader.
pub(super) fn signed(x: f64) -> String {
    if x > 0.0 { format!("+{}", short(x)) } else { short(x) }
}

/// `low to high`.
pub fn range(low: f64, high: f64) -> String {
    if low.is_finite() && high.is_finite() {
        format!("{} to {}", short(low), short(high))
    } else {
        "-".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        let found = [61.2345, 0.051234, -3.0, 0.0, 123456.0, 1e-9, f64::NAN].map(short);
        assert_eq!(found, ["61.23", "0.05123", "-3.000", "0.000", "123456", "1.000e-9", "-"]);
        assert_eq!([0.04999, 1e-5, f64::NAN].map(short_p), ["0.050", "<0.001", "-"]);
    }
}
