//! A report as text: terminal, Markdown, LaTeX, CSV, JSON. Returns strings; printing is not done here.

mod csv_tables;
mod grid;
mod json;
mod sections;

use super::compare::Report;

pub use csv_tables::{arms_csv, comparisons_csv};
pub use json::json;

/// Aligned columns for a terminal.
pub fn table(report: &Report) -> String {
    let sections = sections::sections(report).into_iter();
    let body: Vec<String> = sections.map(|s| format!("{}\n{}", s.title, s.grid.aligned())).collect();
    let notes: String = sections::notes(report).iter().map(|note| format!("  {note}\n")).collect();
    let notes = if notes.is_empty() { notes } else { format!("\nnotes\n{notes}") };
    format!("{}\n\n{}{notes}", sections::headline(report), body.join("\n"))
}

/// GitHub-flavoured Markdown.
pub fn markdown(report: &Report) -> String {
    let sections = sections::sections(report).into_iter();
    let body: Vec<String> = sections.map(|s| format!("**{}**\n\n{}", s.title, s.grid.markdown())).collect();
    let notes: String = sections::notes(report).iter().map(|note| format!("- {note}\n")).collect();
    let notes = if notes.is_empty() { notes } else { format!("\n{notes}") };
    format!("{}\n\n{}{notes}", sections::headline(report), body.join("\n"))
}

/// `tabular` environments with `booktabs` rules; what goes around them is the paper's choice.
pub fn latex(report: &Report) -> String {
    let sections = sections::sections(report).into_iter();
    let body: Vec<String> = sections.map(|s| format!("% {}\n{}", s.title, s.grid.latex())).collect();
    let notes: String = sections::notes(report).iter().map(|note| format!("% {note}\n")).collect();
    format!("% {}\n\n{}{notes}", sections::headline(report), body.join("\n"))
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
