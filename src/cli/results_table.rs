//! The last measurements of a run: results first, then what the probes chose and diagnostics.

use std::path::Path;

use super::print;
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

    /// The first result of every probe, then all others.
    pub fn results(&self) -> String {
        let first_of = |row: &ProbeRow| {
            self.results.iter().position(|r| r.probe == row.probe && r.labels == row.labels).unwrap_or(0)
        };
        let is_first = |row: &&ProbeRow| metric(&self.results[first_of(row)]) == metric(row);
        let (mut headlines, rest): (Vec<&ProbeRow>, Vec<&ProbeRow>) = self.results.iter().partition(is_first);
        headlines.sort_by_key(|row| first_of(row));
        table(&headlines, &rest)
    }

    /// What is no result.
    pub fn others(&self) -> String {
        table(&self.others.iter().collect::<Vec<_>>(), &[])
    }
}

fn meanings(folder: &Path) -> MetricMeanings {
    let stored = MetricMeanings::read(folder).ok().flatten();
    stored.unwrap_or_else(|| {
        let text = crate::results::read::text(&folder.join(EXPERIMENT)).ok().flatten().unwrap_or_default();
        MetricMeanings::of_configuration(&serde_yaml::from_str(&text).unwrap_or_default())
    })
}

/// The metric's name without the encoder that it was measured on.
fn without_encoder(row: &ProbeRow) -> String {
    row.name().replacen(&format!("/{}/", row.encoder), "/", 1)
}

/// The metric, with what it was measured on unless that is the test images.
fn metric(row: &ProbeRow) -> String {
    row.name().rsplit('/').next().unwrap_or_default().to_owned()
}

/// Rows under their heads; an empty line sets the first rows off from the rest.
fn table(first: &[&ProbeRow], rest: &[&ProbeRow]) -> String {
    if first.is_empty() {
        return String::new();
    }
    let head = ["probe", "encoder", "labels", "metric", "value", "unit"].map(str::to_owned);
    let cells = |row: &&ProbeRow| {
        let value = measured(row.value);
        [&row.probe, &row.encoder, &row.labels, &metric(row), &value, &row.unit].map(String::clone)
    };
    let rows: Vec<[String; 6]> = [head].into_iter().chain(first.iter().chain(rest).map(cells)).collect();
    let text = print::columns(&rows);
    let lines: Vec<&str> = text.lines().collect();
    let (set_off, others) = lines.split_at(1 + first.len());
    let gap = if rest.is_empty() { "" } else { "\n" };
    let block = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    format!("{}{gap}{}", block(set_off), block(others))
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
        let head = "epoch,step,probe,encoder,labels,metric,unit,value";
        let rows = "1,4,linear,target,class,top1,%,50\n\
                    2,8,linear,target,class,top1,%,60\n\
                    2,8,linear,target,class,learning_rate,1/step,0.3\n\
                    2,8,linear,random_init,class,top1,%,10\n";
        std::fs::write(folder.path().join(PROBES.file), format!("{head}\n{rows}")).unwrap();
        let experiment = "probes: [{ kind: linear, name: linear, protocol: tuned, every: 1, encoders: [target], controls: [random_init], labels: [class] }]\n";
        std::fs::write(folder.path().join(EXPERIMENT), experiment).unwrap();
        let last = LastProbes::read(folder.path()).unwrap();
        assert_eq!(last.headline().as_deref(), Some("60.00 % linear/class/top1"));
        let results = last.results();
        let lines: Vec<Vec<&str>> = results.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["probe", "encoder", "labels", "metric", "value", "unit"]);
        assert_eq!(lines[1], ["linear", "target", "class", "top1", "60.00", "%"]);
        assert_eq!(lines[2], ["linear", "random_init", "class", "top1", "10.00", "%"]);
        assert!(last.others().contains("learning_rate") && !results.contains("learning_rate"));
    }
}
