//! `timing.csv` of a sweep: what the clock said of its runs, apart from the deterministic tables.

use std::{io, path::Path};

use super::{
    RunRow, SweepFolder,
    card::RunCard,
    columns::{SWEEP_TIMING, TIMING, number},
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
        let mut clock = Clock { cards: RunCard::read_all(folder), ..Clock::default() };
        let reader = csv::ReaderBuilder::new().flexible(true).from_path(folder.join(TIMING.file));
        for row in reader.into_iter().flat_map(|r| r.into_records().flatten()) {
            let cell = |i: usize| row.get(i).and_then(|c| c.parse::<f64>().ok());
            let seconds = cell(2).unwrap_or(0.0);
            clock.seconds += seconds;
            clock.images += seconds * cell(3).unwrap_or(0.0);
            clock.peak = clock.peak.into_iter().chain(cell(4)).reduce(f64::max);
        }
        clock
    }

    /// Cells in the order of [`SWEEP_TIMING`], after those that name the run.
    fn cells(&self) -> [String; 10] {
        let last = self.cards.last();
        let text = |get: fn(&RunCard) -> String| last.map_or(String::new(), get);
        let measured = |x: f64| if x > 0.0 { number(x) } else { String::new() };
        let rate = (self.images / self.seconds.max(1e-9) * 10.0).round() / 10.0;
        [
            self.cards.len().to_string(),
            self.cards.first().map_or(String::new(), |c| c.started_at.clone()),
            measured((self.seconds * 1e3).round() / 1e3),
            measured(rate),
            self.peak.map_or(String::new(), number),
            text(|c| c.device.clone()),
            text(|c| c.threads.to_string()),
            text(|c| c.cpu.clone()),
            text(|c| c.version.clone()),
            text(|c| c.git.clone()),
        ]
    }
}

impl SweepFolder {
    /// Writes `timing.csv` of runs whose folders lie in `output`.
    pub fn write_timing<'r>(&self, output: &Path, runs: impl Iterator<Item = &'r RunRow>) -> io::Result<()> {
        let rows = runs.map(|run| {
            let mut cells = vec![run.run_id.clone(), run.arm.clone(), run.seed.to_string()];
            cells.extend(Clock::read(&output.join(&run.run_id)).cells());
            cells
        });
        let header = SWEEP_TIMING.columns.iter().map(|c| c.name.to_owned()).collect();
        write_atomic(&self.path().join(SWEEP_TIMING.file), &table(header, rows)?)
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
        // The torn row has its seconds but no rate yet.
        assert_eq!((clock.seconds, clock.images, clock.peak), (4.0, 600.0, Some(90.0)));
        assert_eq!(clock.cells().len() + 3, SWEEP_TIMING.columns.len());
        assert_eq!(Clock::read(&folder.path().join("none")).cells()[2], "");
    }
}
