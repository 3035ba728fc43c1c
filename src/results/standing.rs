//! How a run of a sweep stands, from its files.

use std::path::Path;

use super::{State, Status, columns::PROBES};

/// State and measurements of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Last status in the run folder.
    pub status: Option<Status>,
    /// Why the process of this run failed, where it could not say so itself.
    pub failure: Option<String>,
    /// Why the sweep does not carry the run further, if so.
    pub ended_early: Option<String>,
    /// Every metric in the order of their first rows.
    pub metrics: Vec<(String, Vec<Measured>)>,
}

/// One row of `probes.csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Epochs completed.
    pub epoch: u64,
    /// Optimizer steps done.
    pub step: u64,
    /// The value as it is written.
    pub text: String,
}

impl Measured {
    /// As a number; not a number if it cannot be read.
    pub fn value(&self) -> f64 {
        self.text.parse().unwrap_or(f64::NAN)
    }
}

impl Standing {
    /// How the run in `folder` stands, from its files.
    pub fn read(folder: &Path) -> Self {
        let status = Status::read(folder);
        let metrics = if status.is_some() { metrics(folder) } else { Vec::new() };
        Standing { status, metrics, ..Standing::default() }
    }

    /// State in a word.
    pub fn word(&self) -> &'static str {
        match (&self.failure, &self.status) {
            (Some(_), _) => State::Failed.name(),
            (_, None) => "pending",
            (_, Some(status)) => status.state.name(),
        }
    }

    /// Why it stands like that; empty for `done`.
    pub fn reason(&self) -> String {
        let status = self.status.as_ref().map(|s| s.reason.clone());
        self.failure.clone().or(self.ended_early.clone()).or(status).unwrap_or_default()
    }

    /// Nothing is left to compute.
    pub fn is_over(&self) -> bool {
        self.ended_early.is_some() || matches!(self.word(), "done" | "diverged" | "collapsed")
    }

    /// It broke down: no value of it counts.
    pub fn is_broken(&self) -> bool {
        matches!(self.word(), "diverged" | "collapsed")
    }

    /// Whether it has been trained for `epoch` of its `epochs`.
    pub fn has_reached(&self, epoch: u64, epochs: u64) -> bool {
        let reached = |s: &Status| s.steps > 0 && s.step * epochs >= epoch * s.steps;
        self.failure.is_none() && self.status.as_ref().is_some_and(reached)
    }

    /// All measurements of a metric, oldest first.
    pub fn measurements(&self, metric: &str) -> &[Measured] {
        self.metrics.iter().find(|(name, _)| name == metric).map_or(&[], |(_, all)| all)
    }
}

fn metrics(folder: &Path) -> Vec<(String, Vec<Measured>)> {
    let mut found: Vec<(String, Vec<Measured>)> = Vec::new();
    let Ok(mut reader) = csv::ReaderBuilder::new().flexible(true).from_path(folder.join(PROBES.file)) else {
        return found;
    };
    // A torn last row has fewer cells.
    let whole = |r: &csv::StringRecord| r.len() == PROBES.columns.len();
    for row in reader.records().flatten().filter(whole) {
        let name = crate::config::metric_name([&row[2], &row[3], &row[4], &row[5]]);
        let number = |i: usize| row[i].parse().unwrap_or(0);
        let measured = Measured { epoch: number(0), step: number(1), text: row[7].to_owned() };
        match found.iter_mut().find(|(n, _)| *n == name) {
            Some((_, all)) => all.push(measured),
            None => found.push((name, vec![measured])),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_are_read_by_name_and_a_torn_row_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let head = PROBES.columns.iter().map(|c| c.name).collect::<Vec<_>>().join(",");
        let rows = "1,4,knn,target,class,top1,%,50\n1,4,rankme,target,,rankme,1,7.5\n2,8,knn,target,class,top1,%,60\n3,12,knn";
        std::fs::write(folder.path().join(PROBES.file), format!("{head}\n{rows}")).unwrap();
        let status = r#"{"state": "stopped", "step": 8, "steps": 12}"#;
        std::fs::write(folder.path().join("status.json"), status).unwrap();
        let standing = Standing::read(folder.path());
        let values =
            |m: &str| standing.measurements(m).iter().map(|m| (m.epoch, m.value())).collect::<Vec<_>>();
        assert_eq!(values("knn/target/class/top1"), [(1, 50.0), (2, 60.0)]);
        assert_eq!(values("rankme/target/rankme"), [(1, 7.5)]);
        assert!(standing.has_reached(2, 3) && !standing.has_reached(3, 3) && !standing.is_over());
    }
}
