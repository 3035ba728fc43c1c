//! `arms.csv` and `comparisons.csv`.

use super::super::{
    compare::Report, contrast::Contrast, metric::Absence, settings::ABSENT, summary::Summary,
};
use crate::results::columns::{ARMS, COMPARISONS, number};

/// The column that stands for one column per differing setting.
const PARAMETERS: &str = "param.<path>";

/// The text of `arms.csv`.
pub fn arms_csv(report: &Report) -> String {
    let parameters = || report.differences.iter().map(|d| format!("param.{}", d.path));
    let head = ARMS.columns.iter().flat_map(|column| match column.name {
        PARAMETERS => parameters().collect(),
        name => vec![name.to_string()],
    });
    let rows = report.arms.iter().enumerate().map(|(i, arm)| arm_cells(report, i, arm));
    written(head.collect(), rows)
}

/// The text of `comparisons.csv`.
pub fn comparisons_csv(report: &Report) -> String {
    let head = COMPARISONS.columns.iter().map(|c| c.name.to_string()).collect();
    written(head, report.contrasts.iter().map(|c| comparison_cells(report, c)))
}

/// Cells in the order of [`ARMS`].
fn arm_cells(report: &Report, index: usize, arm: &Summary) -> Vec<String> {
    let present = |value: &String| if value == ABSENT { String::new() } else { word(value) };
    let without = arm.readings.len() - arm.values.len();
    let (diverged, collapsed) = (arm.absent(Absence::Diverged), arm.absent(Absence::Collapsed));
    let ends = arm.interval(report.step).map_or([f64::NAN; 2], |i| [i.low, i.high]);
    let mut cells = vec![word(&arm.label)];
    cells.extend(report.differences.iter().map(|d| present(&d.values[index])));
    cells.push(word(&report.metric));
    cells.extend([arm.values.len(), without - arm.broken(), diverged, collapsed].map(|n| n.to_string()));
    cells.extend([arm.mean, arm.std, arm.standard_error, arm.median, arm.iqm].map(measured));
    cells.extend(ends.map(measured));
    cells.extend([arm.min, arm.max, report.sampling_error(arm)].map(measured));
    cells
}

/// Cells in the order of [`COMPARISONS`].
fn comparison_cells(report: &Report, c: &Contrast) -> Vec<String> {
    let label = |arm: usize| word(&report.arms[arm].label);
    let design = if c.paired() { "paired" } else { "unpaired" };
    let pairs = if c.paired() { c.judged.1.to_string() } else { String::new() };
    let (low, high) = c.interval();
    let mut cells = vec![label(report.baseline), label(c.arm), word(&report.metric)];
    cells.extend([report.role(), report.goal.name(), design].map(String::from));
    cells.extend([pairs, c.judged.0.to_string(), c.judged.1.to_string()]);
    cells.extend([c.difference.estimate, low, high, c.relative()].map(measured));
    cells.push(c.test.name().into());
    let exact = [c.p_exact(), c.p_equivalence].map(|p| p.unwrap_or(f64::NAN));
    cells.extend([c.p, c.p_holm, exact[0], exact[1], c.p_improve, c.effect, c.detectable()].map(measured));
    cells.extend([c.verdict.name().into(), c.remark(), word(&c.reason)]);
    cells
}

/// A name as a cell. A spreadsheet would compute one that starts like a formula; an apostrophe in front makes
/// it text.
fn word(name: &str) -> String {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{name}") } else { name.into() }
}

/// What could not be computed is empty, not `nan`: nothing was measured.
fn measured(x: f64) -> String {
    if x.is_nan() { String::new() } else { number(x) }
}

fn written(head: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for cells in std::iter::once(head).chain(rows) {
        writer.write_record(&cells).expect("rows have the width of the head, memory takes them");
    }
    let bytes = writer.into_inner().expect("memory takes every byte");
    String::from_utf8(bytes).expect("written from strings")
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn names_are_no_formulas() {
        let found = ["=HYPERLINK(1)", "+1", "-x", "@a", "base", "a=1"].map(word);
        assert_eq!(found, ["'=HYPERLINK(1)", "'+1", "'-x", "'@a", "base", "a=1"]);
    }
}
