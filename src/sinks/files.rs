//! The run folder's files: three deterministic tables, timing, status and checkpoints.

use std::{collections::BTreeMap, io, time::Instant};

use super::{
    CheckpointMeta, Sink,
    checkpoint::{write_checkpoint, write_weights},
};
use crate::{
    events::{EpochRow, Event, MetricsRow, Outcome, ProbeRow, Progress, Snapshot},
    results::{
        CsvFile, RunFolder, RunState, Status, WEIGHTS,
        card::peak_memory,
        columns::{EPOCHS, METRICS, PROBES, TIMING, Table, TimingRow},
    },
};

/// Writes everything that a run leaves behind.
pub struct Files {
    folder: RunFolder,
    identity: String,
    data: String,
    metrics: CsvFile<MetricsRow>,
    epochs: CsvFile<EpochRow>,
    probes: CsvFile<ProbeRow>,
    timing: CsvFile<TimingRow>,
    steps: u64,
    /// Step of the last status.
    step: u64,
    clock: Clock,
}

/// Time spent training since the last row of `timing.csv`; stands still during probes.
struct Clock {
    since: Instant,
    seconds: f64,
    images: u64,
    /// Steps done so far, and the images of each.
    step: u64,
    batch_size: u64,
}

impl Files {
    /// Opens the tables of `folder` at the state a checkpoint vouches for (none: from the start).
    pub fn open(
        folder: RunFolder,
        identity: &str,
        data: &str,
        resumed: Option<&CheckpointMeta>,
    ) -> io::Result<Self> {
        let keep =
            |table: &Table| resumed.and_then(|meta| meta.csv_bytes.get(table.file)).copied().unwrap_or(0);
        Ok(Files {
            metrics: CsvFile::open(folder.path(), &METRICS, keep(&METRICS))?,
            epochs: CsvFile::open(folder.path(), &EPOCHS, keep(&EPOCHS))?,
            probes: CsvFile::open(folder.path(), &PROBES, keep(&PROBES))?,
            timing: CsvFile::open(folder.path(), &TIMING, keep(&TIMING))?,
            identity: identity.into(),
            data: data.into(),
            steps: 0,
            step: resumed.map_or(0, |meta| meta.progress.step),
            clock: Clock { since: Instant::now(), seconds: 0.0, images: 0, step: 0, batch_size: 0 },
            folder,
        })
    }

    fn status(&mut self, state: RunState, reason: &str, step: u64) -> io::Result<()> {
        self.step = step;
        let (reason, data) = (reason.into(), self.data.clone());
        self.folder.set_status(&Status { state, reason, step, steps: self.steps, data })
    }

    fn epoch(&mut self, row: &EpochRow) -> io::Result<()> {
        self.epochs.append(row)?;
        let clock = &mut self.clock;
        let rate = clock.images as f64 / clock.seconds.max(1e-9);
        let row = TimingRow {
            epoch: row.epoch,
            step: row.step,
            seconds: (clock.seconds * 1e3).round() / 1e3,
            images_per_second: (rate * 10.0).round() / 10.0,
            peak_memory: peak_memory().map(f64::round),
        };
        (clock.seconds, clock.images) = (0.0, 0);
        self.timing.append(&row)
    }

    fn checkpoint(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let mut csv_bytes = BTreeMap::new();
        csv_bytes.insert(METRICS.file.to_string(), self.metrics.sync()?);
        csv_bytes.insert(EPOCHS.file.to_string(), self.epochs.sync()?);
        csv_bytes.insert(PROBES.file.to_string(), self.probes.sync()?);
        csv_bytes.insert(TIMING.file.to_string(), self.timing.sync()?);
        let meta = CheckpointMeta {
            identity: self.identity.clone(),
            data: self.data.clone(),
            progress: snapshot.progress.clone(),
            optimizer_steps: snapshot.optimizer_steps,
            csv_bytes,
        };
        write_checkpoint(&self.folder.checkpoint(), &meta, snapshot)?;
        let Progress { step, epoch_closed, .. } = snapshot.progress;
        if step == self.steps && epoch_closed {
            write_weights(&self.folder.path().join(WEIGHTS), &self.identity, snapshot)?;
        }
        self.status(RunState::Running, "", step)
    }

    fn ended(&mut self, outcome: &Outcome) -> io::Result<()> {
        let step = self.step;
        match outcome {
            Outcome::Done => self.status(RunState::Done, "", self.steps),
            Outcome::Stopped => self.status(RunState::Stopped, "asked to stop", step),
            Outcome::Diverged { reason } => self.status(RunState::Diverged, reason, step),
            Outcome::Collapsed { reason } => self.status(RunState::Collapsed, reason, step),
        }
    }

    /// Records an error that ended the run from outside.
    pub fn failed(&mut self, reason: &str) -> io::Result<()> {
        let step = self.step;
        self.status(RunState::Failed, reason, step)
    }
}

impl Sink for Files {
    fn take(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Started(started) => {
                self.steps = started.steps;
                (self.clock.step, self.clock.batch_size) = (started.first_step, started.batch_size);
                self.clock.since = Instant::now();
                self.status(RunState::Running, "", started.first_step)
            }
            Event::Tick(tick) => {
                let (clock, now) = (&mut self.clock, Instant::now());
                clock.seconds += (now - clock.since).as_secs_f64();
                clock.images += (tick.step - clock.step) * clock.batch_size;
                (clock.since, clock.step) = (now, tick.step);
                Ok(())
            }
            Event::Metrics(row) => self.metrics.append(row),
            Event::Epoch(row) => self.epoch(row),
            Event::Phase(_) => {
                self.clock.since = Instant::now();
                Ok(())
            }
            Event::Probe(row) => {
                self.clock.since = Instant::now();
                self.probes.append(row)
            }
            Event::Checkpoint(snapshot) => {
                let written = self.checkpoint(snapshot);
                self.clock.since = Instant::now();
                written
            }
            Event::Ended(outcome) => self.ended(outcome),
        }
    }
}
