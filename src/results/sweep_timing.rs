//! `timing.csv` of a sweep: what the clock said of its runs, apart from the deterministic tables.

use std::{io, path::Path};

use super::{
    RunRow, SweepFolder,
    card::RunCard,
    columns::{SWEEP_TIMING, SweepTimingRow, TIMING, TimingRow},
    read,
    sweep_folder::table,
    write_atomic,
};

/// What the files of a run folder say of time and place.
#[derive(Default)]
struct Clock {
    cards: Vec<RunCard>,
    seconds: f64,
    images: f64,
    peak: Option<f64>,
}

impl Clock {
    fn read(folder: &Path) -> Self {
        let mut clock = Clock { cards: RunCard::read_all(folder).unwrap_or_default(), ..Clock::default() };
        // What the clock said is told as far as it can be read; no result depends on it.
        let rows: Vec<TimingRow> = read::rows(folder, &TIMING).unwrap_or_default();
        for row in rows {
            clock.seconds += row.seconds;
            clock.images += row.seconds * row.images_per_second;
            clock.peak = clock.peak.into_iter().chain(row.peak_memory).reduce(f64::max);
        }
        clock
    }

    fn row(&self, run: &RunRow) -> SweepTimingRow {
        let last = self.cards.last();
        let text = |get: fn(&RunCard) -> String| last.map_or(String::new(), get);
        let measured = |x: f64, digits: f64| (x > 0.0).then(|| (x * digits).round() / digits);
        SweepTimingRow {
            run_id: run.run_id.clone(),
            arm: run.arm.clone(),
            seed: run.seed,
            processes: self.cards.len() as u64,
            started_at: self.cards.first().map_or(String::new(), |c| c.started_at.clone()),
            seconds: measured(self.seconds, 1e3),
            images_per_second: measured(self.images / self.seconds.max(1e-9), 10.0),
            peak_memory: self.peak,
            device: text(|c| c.device.clone()),
            threads: text(|c| c.threads.to_string()),
            cpu: text(|c| c.cpu.clone()),
            version: text(|c| c.version.clone()),
            git: text(|c| c.git.clone()),
        }
    }
}

impl SweepFolder {
    /// Writes `timing.csv` of runs whose folders lie in `output`.
    pub fn write_timing<'r>(&self, output: &Path, runs: impl Iterator<Item = &'r RunRow>) -> io::Result<()> {
        let rows = runs.map(|run| Clock::read(&output.join(&run.run_id)).row(run));
        write_atomic(&self.path().join(SWEEP_TIMING.file), &table(rows)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_of_all_processes_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let rows = "epoch,step,seconds,images_per_second,peak_memory\n1,4,2,100,80\n2,8,1,400,90\n3,12,1";
        std::fs::write(folder.path().join(TIMING.file), rows).unwrap();
        let clock = Clock::read(folder.path());
        assert_eq!((clock.seconds, clock.images, clock.peak), (3.0, 600.0, Some(90.0)));
        assert_eq!(Clock::read(&folder.path().join("none")).peak, None);
    }
}
