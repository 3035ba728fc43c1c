//! A run under way, from its files: how far it is, how fast, and its last loss. Nothing is locked.

use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use super::{
    Care, RunOverview,
    columns::{METRICS, TIMING, Table, TimingRow},
    read::{self, TableFile},
};
use crate::data::regular_file;

/// Bytes at the end of a table that are read: some dozens of rows, however long the run is.
const TAIL: u64 = 1 << 14;

/// What a run's files say about it now.
#[derive(Clone, Debug, Default)]
pub struct LiveRun {
    /// How it stands.
    pub standing: RunOverview,
    /// Optimizer steps done, by the newest row or checkpoint.
    pub step: u64,
    /// Steps of the whole run; 0 where nobody knows yet.
    pub steps: u64,
    /// Loss of the last rows of `metrics.csv`, oldest first.
    pub losses: Vec<f64>,
    /// Steps per second of its last epoch, probes excluded.
    pub pace: Option<f64>,
}

impl LiveRun {
    /// Looks into a run folder.
    pub fn read(folder: &Path) -> Self {
        let standing = RunOverview::without_metrics(folder, Care::Lengths);
        let metrics = tail(folder, &METRICS);
        let numbers = |name: &str| metrics.as_ref().map_or(Vec::new(), |table| column(table, name));
        let (checkpoint, steps) = standing.status.as_ref().map_or((0, 0), |s| (s.step, s.steps));
        let row = numbers("step").last().copied().unwrap_or(0.0) as u64;
        let over = standing.is_over();
        LiveRun {
            step: if over { checkpoint } else { checkpoint.max(row) },
            steps,
            losses: numbers("loss"),
            pace: pace(folder),
            standing,
        }
    }

    /// Steps that are left.
    pub fn left(&self) -> u64 {
        if self.standing.is_over() { 0 } else { self.steps.saturating_sub(self.step) }
    }
}

/// Steps per second between the last two rows of `timing.csv`.
fn pace(folder: &Path) -> Option<f64> {
    let rows: Vec<TimingRow> = tail(folder, &TIMING)?.typed().ok()?;
    let last = rows.last()?;
    let before = rows.len().checked_sub(2).map_or(0, |i| rows[i].step);
    let steps = last.step.checked_sub(before)? as f64;
    (last.seconds > 0.0 && steps > 0.0).then(|| steps / last.seconds)
}

/// The head and the last rows of a table; none where there is nothing that can be read.
fn tail(folder: &Path, table: &Table) -> Option<TableFile> {
    let path = folder.join(table.file);
    let length = fs::metadata(&path).ok()?.len();
    if length <= 2 * TAIL {
        return TableFile::parse(&path, read::bytes(&path).ok()??).ok();
    }
    let mut file = regular_file(&path).ok()?;
    let mut bytes = vec![0; TAIL as usize];
    file.read_exact(&mut bytes).ok()?;
    let head = bytes.iter().position(|&b| b == b'\n')? + 1;
    bytes.truncate(head);
    file.seek(SeekFrom::Start(length - TAIL)).ok()?;
    let mut end = Vec::new();
    file.read_to_end(&mut end).ok()?;
    // The first row is likely cut.
    let whole = end.iter().position(|&b| b == b'\n')? + 1;
    bytes.extend(&end[whole..]);
    TableFile::parse(&path, bytes).ok()
}

fn column(table: &TableFile, name: &str) -> Vec<f64> {
    let Some(place) = table.find(name) else { return Vec::new() };
    table.rows.iter().filter_map(|row| row.get(place)?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::STATUS;

    #[test]
    fn the_newest_row_says_how_far_a_run_is_however_long_its_table() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let rows: String = (1..=5000).map(|i| format!("{},{}.5\n", 10 * i, i)).collect();
        write("metrics.csv", &format!("step,loss\n{rows}50010,0."));
        write("timing.csv", "epoch,step,seconds,images_per_second,peak_memory\n1,100,5,9,\n2,300,10,9,\n");
        write(STATUS, r#"{"state": "running", "step": 8, "steps": 60000}"#);
        let live = LiveRun::read(folder.path());
        assert_eq!((live.step, live.steps, live.left()), (50_000, 60_000, 10_000));
        assert_eq!(live.losses.last(), Some(&5000.5));
        assert!(live.losses.len() > 100 && live.losses.len() < 5000, "{}", live.losses.len());
        assert_eq!(live.pace, Some(20.0));
        let nothing = LiveRun::read(&folder.path().join("none"));
        assert_eq!((nothing.step, nothing.pace), (0, None));
    }
}
