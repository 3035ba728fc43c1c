//! The tables of a run as series to draw.

use std::path::Path;

use crate::{
    analysis::Series,
    results::{
        FileError,
        columns::{METRICS, PROBES, ProbeRow},
        read,
    },
};

/// Points of a drawn line, at most: neighbouring rows are averaged beyond.
const MOST_POINTS: usize = 400;

/// Charts of probes, at most.
const MOST_PROBES: usize = 12;

/// Columns of a chart, and what the line of each is.
type Lines = &'static [(&'static str, &'static str)];

/// What stands in `metrics.csv`: title of a chart, its lines.
const CHARTS: [(&str, Lines); 6] = [
    ("training loss", &[("loss", "")]),
    (
        "explained variance",
        &[
            ("explained_variance", "prediction"),
            ("explained_variance_position", "position alone"),
            ("explained_variance_constant", "a constant"),
        ],
    ),
    ("standard deviation", &[("target_std", "targets"), ("prediction_std", "predictions")]),
    ("gradient norm", &[("gradient_norm", "")]),
    ("learning rate", &[("learning_rate", "")]),
    ("EMA momentum", &[("ema_momentum", "")]),
];

/// One chart over the optimizer steps.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chart {
    pub title: String,
    pub unit: String,
    /// What each line is, and its points.
    pub lines: Vec<(String, Series)>,
}

/// The numbers of a run.
#[derive(Default)]
pub(super) struct Tables {
    /// Training: `metrics.csv`.
    pub training: Vec<Chart>,
    /// Measurements over training: `probes.csv`.
    pub probes: Vec<Chart>,
    /// The last measurement of every metric of the encoders: name, value, unit.
    pub last: Vec<(String, f64, String)>,
}

impl Tables {
    /// Of the run in `folder`.
    pub fn read(folder: &Path) -> Result<Self, FileError> {
        let rows: Vec<ProbeRow> = read::rows(folder, &PROBES)?;
        let mut series: Vec<(String, String, Series)> = Vec::new();
        for row in &rows {
            let name = row.name();
            match series.iter_mut().find(|(n, ..)| *n == name) {
                Some((.., points)) => points.push((row.step, row.value)),
                None => series.push((name, row.unit.clone(), vec![(row.step, row.value)])),
            }
        }
        let last =
            series.iter().filter_map(|(name, unit, s)| Some((name.clone(), s.last()?.1, unit.clone())));
        let several = series.iter().filter(|(.., s)| s.len() > 1).take(MOST_PROBES);
        let chart = |(name, unit, s): &(String, String, Series)| Chart {
            title: name.clone(),
            // The unit of plain numbers says nothing.
            unit: if unit == "1" { String::new() } else { unit.clone() },
            lines: vec![(String::new(), s.clone())],
        };
        Ok(Tables { training: training(folder)?, probes: several.map(chart).collect(), last: last.collect() })
    }
}

fn training(folder: &Path) -> Result<Vec<Chart>, FileError> {
    let Some(table) = read::table(folder, &METRICS)? else { return Ok(Vec::new()) };
    let series = |column: &str| -> Result<Option<Series>, FileError> {
        let Some(place) = table.find(column) else { return Ok(None) };
        Ok(Some(thinned(table.pairs("step", place)?)).filter(|s| !s.is_empty()))
    };
    let mut charts = Vec::new();
    for (title, columns) in CHARTS {
        let mut lines = Vec::new();
        for (column, what) in columns {
            lines.extend(series(column)?.map(|s| ((*what).to_owned(), s)));
        }
        charts.push(Chart { title: title.into(), unit: String::new(), lines });
    }
    let terms = table.header.iter().filter(|name| name.starts_with("loss."));
    for (place, name) in terms.enumerate() {
        let lines = series(name)?.map(|s| (String::new(), s)).into_iter().collect();
        charts.insert(1 + place, Chart { title: name.clone(), unit: String::new(), lines });
    }
    charts.retain(|chart| !chart.lines.is_empty());
    Ok(charts)
}

/// Means of neighbouring points, so that at most [`MOST_POINTS`] are left.
fn thinned(series: Series) -> Series {
    let size = series.len().div_ceil(MOST_POINTS).max(1);
    let of = |some: &[(u64, f64)]| {
        let last = some[some.len() - 1].0;
        (last, some.iter().map(|(_, v)| v).sum::<f64>() / some.len() as f64)
    };
    if size == 1 { series } else { series.chunks(size).map(of).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_series_are_averaged() {
        let long: Series = (0..1000).map(|i| (i, (i % 2) as f64)).collect();
        let short = thinned(long);
        assert!(short.len() <= MOST_POINTS && short[0] == (2, 1.0 / 3.0) && short.last().unwrap().0 == 999);
        assert_eq!(thinned(vec![(1, 2.0)]), [(1, 2.0)]);
    }
}
