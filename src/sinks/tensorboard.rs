//! TensorBoard while a run goes on: `tensorboard/` of the run folder holds an event file of every process that worked on
//! it. `tensorboard --logdir results` shows them; the tables remain what counts.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use super::{Sink, event_file};
use crate::events::{Event, MetricsRow, Outcome, Row, number};

/// Folder of the event files in a run folder.
pub const TENSORBOARD: &str = "tensorboard";

/// Names of the series, here and in an export.
pub(crate) mod tensorboard_tags {
    /// Loss of an epoch.
    pub const EPOCH_LOSS: &str = "epoch/loss";
    /// Images per second.
    pub const RATE: &str = "timing/images_per_second";

    /// A column of `metrics.csv`.
    pub fn step(column: &str) -> String {
        format!("train/{column}")
    }
}

/// What the table of hyperparameters says of a run.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// What runs that differ only in their seed share.
    pub group: String,
    /// Its settings.
    pub settings: Vec<(String, String)>,
}

/// Appends the numbers of a run to an event file.
pub struct TensorBoard {
    file: File,
    /// Steps done and when, at the end of the last epoch: what the rate is measured from.
    since: (u64, Instant),
    batch_size: u64,
}

impl TensorBoard {
    /// A new event file in the run folder `run`, which goes on from `step`: what older files hold of later steps is no
    /// longer shown.
    pub fn open(run: &Path, info: &SessionInfo, step: u64) -> io::Result<Self> {
        let folder = run.join(TENSORBOARD);
        let at = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", folder.display()));
        fs::create_dir_all(&folder).map_err(at)?;
        let now = now();
        // The number of the process sets two apart that start within a second.
        let name = format!("events.out.tfevents.{}.ijepa-run.{}.{step}", now as u64, std::process::id());
        let mut file = OpenOptions::new().write(true).create_new(true).open(folder.join(name)).map_err(at)?;
        let mut bytes = event_file::version(now);
        bytes.extend(event_file::session_start(now, &info.group, &info.settings));
        if step > 0 {
            bytes.extend(event_file::restart(now, step + 1));
        }
        file.write_all(&bytes).map_err(at)?;
        Ok(TensorBoard { file, since: (step, Instant::now()), batch_size: 0 })
    }

    /// Values of one step, in one write: a reader sees whole records but for the last one.
    fn scalars(&mut self, step: u64, values: impl IntoIterator<Item = (String, f64)>) -> io::Result<()> {
        let now = now();
        // As the tables round them, so that an export afterwards says the same.
        let rounded = |value: f64| number(value).parse().unwrap_or(value);
        let record = |(tag, value): (String, f64)| event_file::scalar(now, step, &tag, rounded(value));
        let records: Vec<u8> = values.into_iter().flat_map(record).collect();
        self.file.write_all(&records)
    }

    /// Images per second since the last epoch, or since the last pause.
    fn rate(&mut self, step: u64) -> f64 {
        let (from, then) = self.since;
        self.since = (step, Instant::now());
        (step.saturating_sub(from) * self.batch_size) as f64 / then.elapsed().as_secs_f64().max(1e-9)
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// The numbers of a row but those that say where it stands.
fn columns(row: &MetricsRow) -> impl Iterator<Item = (String, f64)> {
    let place = ["step", "epoch", "images"];
    let own = MetricsRow::COLUMNS.iter().map(|column| column.name).filter(move |name| !place.contains(name));
    let own = own.filter_map(|name| Some((tensorboard_tags::step(name), row.number(name)?)));
    let terms = row.further().iter().map(|(name, value)| (tensorboard_tags::step(name), *value));
    own.chain(terms)
}

impl Sink for TensorBoard {
    fn take(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Started(started) => {
                self.batch_size = started.batch_size;
                self.since = (started.first_step, Instant::now());
                Ok(())
            }
            Event::Metrics(row) => self.scalars(row.step, columns(row)),
            Event::Epoch(row) => {
                let rate = self.rate(row.step);
                let values = [(tensorboard_tags::EPOCH_LOSS, row.loss), (tensorboard_tags::RATE, rate)];
                self.scalars(row.step, values.map(|(tag, value)| (tag.to_owned(), value)))
            }
            Event::Probe(row) => {
                self.since.1 = Instant::now();
                self.scalars(row.step, [(row.name(), row.value)])
            }
            // Time that goes by outside training is no part of the rate.
            Event::Phase(_) | Event::Checkpoint(_) | Event::Keep(..) => {
                self.since.1 = Instant::now();
                Ok(())
            }
            Event::Ended(Outcome::Stopped) => Ok(()),
            Event::Ended(outcome) => {
                let success = !matches!(outcome, Outcome::Diverged { .. });
                self.file.write_all(&event_file::session_end(now(), success))
            }
            Event::Tick(_) | Event::Artifact(_) | Event::Predictions(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EpochRow;

    #[test]
    fn every_process_has_a_file_and_numbers_of_every_table_go_into_it() {
        let run = tempfile::tempdir().unwrap();
        let info = SessionInfo { group: "arm".into(), settings: vec![("ema.start".into(), "0.99".into())] };
        for step in [0, 4] {
            let mut board = TensorBoard::open(run.path(), &info, step).unwrap();
            let row = MetricsRow {
                step: 5,
                loss: 0.25,
                terms: vec![("loss.vicreg".into(), 2.0)],
                ..Default::default()
            };
            board.take(&Event::Metrics(row)).unwrap();
            board.take(&Event::Epoch(EpochRow { step: 6, ..Default::default() })).unwrap();
            board.take(&Event::Ended(Outcome::Done)).unwrap();
        }
        let files: Vec<Vec<u8>> = fs::read_dir(run.path().join(TENSORBOARD))
            .unwrap()
            .map(|e| fs::read(e.unwrap().path()).unwrap())
            .collect();
        assert_eq!(files.len(), 2);
        let wanted =
            ["train/loss", "train/loss.vicreg", "epoch/loss", "timing/images_per_second", "ema.start", "arm"];
        for file in files {
            let has = |text: &str| file.windows(text.len()).any(|bytes| bytes == text.as_bytes());
            assert!(wanted.iter().all(|text| has(text)));
            assert!(!has("train/step") && has("session_end_info"));
        }
    }
}
