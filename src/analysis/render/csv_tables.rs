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
    let present = |value: &String| if value == ABSENT { String::new() } else { value.clone() };
    let without = arm.readings.len() - arm.values.len();
    let (diverged, collapsed) = (arm.absent(Absence::Diverged), arm.absent(Absence::Collapsed));
    let ends = arm.interval.map_or([f64::NAN; 2], |i| [i.low, i.high]);
    let mut cells = vec![arm.label.clone()];
    cells.extend(report.differences.iter().map(|d| present(&d.values[index])));
    cells.push(report.metric.clone());
    cells.extend([arm.values.len(), without - arm.broken(), diverged, collapsed].map(|n| n.to_string()));
    cells.extend([arm.mean, arm.std, arm.standard_error, arm.median, arm.iqm].map(measured));
    cells.extend(ends.map(measured));
    cells.push(arm.interval.map_or(String::new(), |i| i.method.name().into()));
    cells.extend([arm.min, arm.max].map(measured));
    cells
}

/// Cells in the order of [`COMPARISONS`].
fn comparison_cells(report: &Report, c: &Contrast) -> Vec<String> {
    let label = |arm: usize| report.arms[arm].label.clone();
    let words = if c.paired() { ["paired", "paired_t"] } else { ["unpaired", "welch_t"] };
    let [design, test] = words.map(String::from);
    let pairs = if c.paired() { c.values.len().to_string() } else { String::new() };
    let (low, high) = c.difference.interval();
    let goal = report.goal.name().into();
    let mut cells = vec![label(report.baseline), label(c.arm), report.metric.clone(), goal, design, pairs];
    cells.extend([c.difference.estimate, low, high, c.relative()].map(measured));
    cells.push(test);
    cells.extend([c.p, c.p_holm, c.p_improve, c.effect].map(measured));
    cells.push(c.seeds_needed.map_or(String::new(), |n| n.to_string()));
    cells.push(c.verdict.name().into());
    cells
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
