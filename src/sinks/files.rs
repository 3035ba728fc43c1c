//! The run folder's files: three deterministic tables, timing, status and checkpoints.

use std::{collections::BTreeMap, io, time::Instant};

use super::{
    CheckpointMeta, Sink,
    checkpoint::{write_checkpoint, write_weights},
};
use crate::{
    events::{EpochRow, Event, Outcome, Progress, Snapshot},
    results::{
        CsvFile, RunFolder, State, Status,
        card::peak_memory,
        columns::{EPOCHS, METRICS, PROBES, TIMING, Table, number},
    },
};

/// Writes everything that a run leaves behind.
pub struct Files {
    folder: RunFolder,
    identity: String,
    data: String,
    metrics: CsvFile,
    epochs: CsvFile,
    probes: CsvFile,
    timing: CsvFile,
    steps: u64,
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
        let open = |table: &Table| CsvFile::open(folder.path(), table, keep(table));
        Ok(Files {
            metrics: open(&METRICS)?,
            epochs: open(&EPOCHS)?,
            probes: open(&PROBES)?,
            timing: open(&TIMING)?,
            identity: identity.into(),
            data: data.into(),
            steps: 0,
            clock: Clock { since: Instant::now(), seconds: 0.0, images: 0, step: 0, batch_size: 0 },
            folder,
        })
    }

    fn status(&self, state: State, reason: &str, step: u64) -> io::Result<()> {
        let (reason, data) = (reason.into(), self.data.clone());
        self.folder.set_status(&Status { state, reason, step, steps: self.steps, data })
    }

    fn epoch(&mut self, row: &EpochRow) -> io::Result<()> {
        self.epochs.append(row.cells())?;
        let clock = &mut self.clock;
        let rate = clock.images as f64 / clock.seconds.max(1e-9);
        let cells = [
            row.epoch.to_string(),
            row.step.to_string(),
            number((clock.seconds * 1e3).round() / 1e3),
            number((rate * 10.0).round() / 10.0),
            peak_memory().map_or(String::new(), |m| number(m.round())),
        ];
        (clock.seconds, clock.images) = (0.0, 0);
        self.timing.append(cells)
    }

    fn checkpoint(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let mut csv_bytes = BTreeMap::new();
        for (table, file) in [
            (METRICS, &mut self.metrics),
            (EPOCHS, &mut self.epochs),
            (PROBES, &mut self.probes),
            (TIMING, &mut self.timing),
        ] {
            csv_bytes.insert(table.file.to_string(), file.sync()?);
        }
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
            write_weights(&self.folder.path().join("weights.safetensors"), &self.identity, snapshot)?;
        }
        self.status(State::Running, "", step)
    }

    fn ended(&mut self, outcome: &Outcome) -> io::Result<()> {
        let step = self.folder.status().map_or(0, |s| s.step);
        match outcome {
            Outcome::Done => self.status(State::Done, "", self.steps),
            Outcome::Stopped => self.status(State::Stopped, "asked to stop", step),
            Outcome::Diverged { reason } => self.status(State::Diverged, reason, step),
            Outcome::Collapsed { reason } => self.status(State::Collapsed, reason, step),
        }
    }

    /// Records an error that ended the run from outside.
    pub fn failed(&mut self, reason: &str) -> io::Result<()> {
        let step = self.folder.status().map_or(0, |s| s.step);
        self.status(State::Failed, reason, step)
    }
}

impl Sink for Files {
    fn take(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Started(started) => {
                self.steps = started.steps;
                (self.clock.step, self.clock.batch_size) = (started.first_step, started.batch_size);
                self.clock.since = Instant::now();
                self.status(State::Running, "", started.first_step)
            }
            Event::Tick(tick) => {
                let (clock, now) = (&mut self.clock, Instant::now());
                clock.seconds += (now - clock.since).as_secs_f64();
                clock.images += (tick.step - clock.step) * clock.batch_size;
                (clock.since, clock.step) = (now, tick.step);
                Ok(())
            }
            Event::Metrics(row) => self.metrics.append(row.cells()),
            Event::Epoch(row) => self.epoch(row),
            Event::Phase(_) => {
                self.clock.since = Instant::now();
                Ok(())
            }
            Event::Probe(row) => {
                self.clock.since = Instant::now();
                self.probes.append(row.cells())
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
