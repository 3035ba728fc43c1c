//! The last measurements of a run: results first, then what the probes chose and diagnostics.

use std::path::Path;

use super::out;
use crate::{
    analysis::render::short,
    results::{
        EXPERIMENT, MetricMeanings,
        columns::{PROBES, ProbeRow},
        read,
    },
};

/// The rows of the last epoch of `probes.csv`, told apart by what they mean.
pub(super) struct LastProbes {
    /// Metrics of which one direction is good.
    results: Vec<ProbeRow>,
    /// All others: tuning choices, diagnostics.
    others: Vec<ProbeRow>,
}

impl LastProbes {
    /// Reads a run folder; the error says what is wrong with its table.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let rows: Vec<ProbeRow> = read::rows(folder, &PROBES).map_err(|e| e.to_string())?;
        let last = rows.last().map(|row| row.epoch);
        let meanings = meanings(folder);
        let is_result = |row: &ProbeRow| meanings.find(&row.name()).is_none_or(|m| m.direction.decides());
        let (results, others) = rows.into_iter().filter(|row| Some(row.epoch) == last).partition(is_result);
        Ok(LastProbes { results, others })
    }

    /// The first result on the target encoder: value, unit and name.
    pub fn headline(&self) -> Option<String> {
        let row = self.results.iter().find(|row| row.encoder == "target").or(self.results.first())?;
        let unit = if row.unit == "1" { String::new() } else { format!(" {}", row.unit) };
        Some(format!("{}{unit} {}", measured(row.value), without_encoder(row)))
    }

    /// A line per metric, a column per encoder.
    pub fn results(&self) -> String {
        side_by_side(&self.results)
    }

    /// The same of what is no result.
    pub fn others(&self) -> String {
        side_by_side(&self.others)
    }
}

fn meanings(folder: &Path) -> MetricMeanings {
    let stored = MetricMeanings::read(folder).ok().flatten();
    stored.unwrap_or_else(|| {
        let text = std::fs::read_to_string(folder.join(EXPERIMENT)).unwrap_or_default();
        MetricMeanings::of_configuration(&serde_yaml::from_str(&text).unwrap_or_default())
    })
}

/// The metric's name without the encoder that it was measured on.
fn without_encoder(row: &ProbeRow) -> String {
    row.name().replacen(&format!("/{}/", row.encoder), "/", 1)
}

fn side_by_side(rows: &[ProbeRow]) -> String {
    let (mut encoders, mut metrics): (Vec<&str>, Vec<(String, &str)>) = (Vec::new(), Vec::new());
    for row in rows {
        let metric = (without_encoder(row), row.unit.as_str());
        if !encoders.contains(&row.encoder.as_str()) {
            encoders.push(&row.encoder);
        }
        if !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    if metrics.is_empty() {
        return String::new();
    }
    let value = |name: &str, encoder: &str| {
        let row = rows.iter().find(|row| row.encoder == encoder && without_encoder(row) == name);
        row.map_or("-".into(), |row| measured(row.value))
    };
    let line = |(name, unit): &(String, &str)| {
        let values = encoders.iter().map(|encoder| value(name, encoder));
        [name.clone()].into_iter().chain(values).chain([(*unit).to_owned()]).collect()
    };
    let head = ["metric"].into_iter().chain(encoders.iter().copied()).chain(["unit"]).map(str::to_owned);
    let table: Vec<Vec<String>> = [head.collect()].into_iter().chain(metrics.iter().map(line)).collect();
    out::columns(&table)
}

/// Two decimals, or the first digits of a small number.
fn measured(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.1 { short(value) } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_side_by_side_and_choices_apart() {
        let folder = tempfile::tempdir().unwrap();
        let head = PROBES.columns.iter().map(|c| c.name).collect::<Vec<_>>().join(",");
        let rows = "1,4,linear,target,class,top1,%,50\n\
                    2,8,linear,target,class,top1,%,60\n\
                    2,8,linear,target,class,learning_rate,1/step,0.3\n\
                    2,8,linear,random_init,class,top1,%,10\n";
        std::fs::write(folder.path().join(PROBES.file), format!("{head}\n{rows}")).unwrap();
        let experiment = "probes: [{ kind: linear, name: linear, every: 1, encoders: [target], controls: [random_init], labels: [class] }]\n";
        std::fs::write(folder.path().join(EXPERIMENT), experiment).unwrap();
        let last = LastProbes::read(folder.path()).unwrap();
        assert_eq!(last.headline().as_deref(), Some("60.00 % linear/class/top1"));
        let results = last.results();
        let lines: Vec<Vec<&str>> = results.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["metric", "target", "random_init", "unit"]);
        assert_eq!(lines[1], ["linear/class/top1", "60.00", "10.00", "%"]);
        assert!(last.others().contains("learning_rate") && !results.contains("learning_rate"));
    }
}
