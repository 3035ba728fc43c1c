//! The run folder's files: three deterministic tables, timing, status and checkpoints.

use std::{io, path::Path, time::Instant};

use super::{
    CheckpointMeta, Sink,
    checkpoint::{read_checkpoint, write_checkpoint, write_weights},
};
use crate::{
    data::Fingerprint,
    events::{Artifact, EpochRow, Event, MetricsRow, Outcome, Predictions, ProbeRow, Progress, Snapshot},
    results::{
        ARTIFACTS, CsvFile, FileError, RunFolder, RunState, Seal, Seals, Status, WEIGHTS,
        card::peak_memory,
        columns::{EPOCHS, METRICS, PROBES, Row, TIMING, Table, TimingRow},
        kept_weights, seal, table as results_table, write_atomic,
    },
};

/// Writes everything that a run leaves behind.
pub struct Files {
    folder: RunFolder,
    identity: String,
    data: Fingerprint,
    metrics: CsvFile<MetricsRow>,
    epochs: CsvFile<EpochRow>,
    probes: CsvFile<ProbeRow>,
    timing: CsvFile<TimingRow>,
    /// Whether a table was brought into the form of this version.
    outdated: bool,
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
    /// Opens the tables of `folder` at the state a checkpoint vouches for (none: from the start), for a
    /// run of so many steps whose loss has these terms.
    pub fn open(
        folder: RunFolder,
        identity: &str,
        data: &Fingerprint,
        steps: u64,
        terms: &[String],
        resumed: Option<&CheckpointMeta>,
    ) -> Result<Self, FileError> {
        let mut outdated = false;
        Ok(Files {
            metrics: table(&folder, &METRICS, terms, resumed, &mut outdated)?,
            epochs: table(&folder, &EPOCHS, &[], resumed, &mut outdated)?,
            probes: table(&folder, &PROBES, &[], resumed, &mut outdated)?,
            timing: table(&folder, &TIMING, &[], resumed, &mut outdated)?,
            outdated,
            identity: identity.into(),
            data: data.clone(),
            steps,
            step: resumed.map_or(0, |meta| meta.progress.step),
            clock: Clock { since: Instant::now(), seconds: 0.0, images: 0, step: 0, batch_size: 0 },
            folder,
        })
    }

    /// Whether tables took the columns of this version, which no checkpoint vouches for yet.
    pub fn need_checkpoint(&self) -> bool {
        self.outdated
    }

    fn status(&mut self, state: RunState, reason: &str, step: u64) -> io::Result<()> {
        self.step = step;
        let files = match state {
            state if state.is_over() => self.seals()?,
            // Nothing is written until it goes on.
            RunState::Stopped => self.tables()?,
            _ => Seals::new(),
        };
        let status = Status::new(state, reason, [step, self.steps], &self.data.all);
        status.of_splits(self.data.splits()).sealing(files).write(self.folder.path())
    }

    /// Seals of everything a run leaves at its end: of the tables what was written, whatever may have
    /// become of it since.
    fn seals(&mut self) -> io::Result<Seals> {
        let mut seals = seal::of_folder(self.folder.path()).map_err(io::Error::other)?;
        seals.extend(self.tables()?);
        Ok(seals)
    }

    /// What every table holds, made durable.
    fn tables(&mut self) -> io::Result<Seals> {
        let seals = [
            (METRICS.file, self.metrics.sync()?),
            (EPOCHS.file, self.epochs.sync()?),
            (PROBES.file, self.probes.sync()?),
            (TIMING.file, self.timing.sync()?),
        ];
        Ok(seals.map(|(file, seal)| (file.to_owned(), seal)).into())
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
        let tables = self.tables()?;
        let Progress { step, epoch_closed, .. } = snapshot.progress;
        if step == self.steps && epoch_closed {
            // Before the checkpoint: a run that needs nothing more has its weights.
            write_weights(&self.folder.path().join(WEIGHTS), &self.identity, snapshot)?;
        }
        let meta = CheckpointMeta::new(&self.identity, &self.data.all, self.steps, tables, snapshot);
        let meta = meta.of_splits(self.data.splits());
        write_checkpoint(&self.folder.checkpoint(), &meta, snapshot)?;
        self.vouched()?;
        self.status(RunState::Running, "", step)
    }

    /// Takes away tables that were kept aside: something vouches for the present ones.
    fn vouched(&self) -> io::Result<()> {
        self.metrics.vouched()?;
        self.epochs.vouched()?;
        self.probes.vouched()?;
        self.timing.vouched()
    }

    /// Writes the weights of a finished run again if they are gone.
    fn restore_weights(&self) -> io::Result<()> {
        let path = self.folder.path().join(WEIGHTS);
        if Seal::of_file(&path).map_err(io::Error::other)?.is_some() {
            return Ok(());
        }
        let (meta, snapshot) = read_checkpoint(&self.folder.checkpoint()).map_err(io::Error::other)?;
        write_weights(&path, &meta.identity, &snapshot)
    }

    fn ended(&mut self, outcome: &Outcome) -> io::Result<()> {
        let step = self.step;
        match outcome {
            Outcome::Done => {
                self.restore_weights()?;
                self.status(RunState::Done, "", self.steps)
            }
            Outcome::Stopped => self.status(RunState::Stopped, "asked to stop", step),
            Outcome::Diverged { reason } => self.status(RunState::Diverged, reason, step),
            Outcome::Collapsed { reason } => self.status(RunState::Collapsed, reason, step),
        }?;
        if *outcome == Outcome::Stopped { Ok(()) } else { self.vouched() }
    }

    /// Records an error that ended the run from outside.
    pub fn failed(&mut self, reason: &str) -> io::Result<()> {
        let step = self.step;
        self.status(RunState::Failed, reason, step)
    }
}

/// Writes a file that a probe left into the folder `probes` of a run folder.
pub fn write_artifact(run: &Path, artifact: &Artifact) -> io::Result<()> {
    let folder = run.join(ARTIFACTS);
    std::fs::create_dir_all(&folder)
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", folder.display())))?;
    write_atomic(&folder.join(&artifact.name), &artifact.bytes)
}

/// Writes what a probe says of every image, beside the other files of probes.
pub fn write_predictions(run: &Path, predictions: &Predictions) -> io::Result<()> {
    let bytes = results_table(predictions.rows.iter().cloned())?;
    let name = format!("{}.predictions.csv", predictions.name);
    write_artifact(run, &Artifact { name, bytes })
}

/// A table at what the checkpoint vouches for, or a new one.
fn table<R: Row>(
    folder: &RunFolder,
    table: &Table,
    further: &[String],
    resumed: Option<&CheckpointMeta>,
    outdated: &mut bool,
) -> Result<CsvFile<R>, FileError> {
    let path = folder.path().join(table.file);
    let Some(vouched) = resumed.and_then(|meta| meta.vouches(table.file)) else {
        return CsvFile::create(folder.path(), table, further).map_err(|e| FileError::at(&path, None, e));
    };
    let (file, converted) = CsvFile::resume(folder.path(), table, further, &vouched)?;
    *outdated |= converted;
    Ok(file)
}

impl Sink for Files {
    fn take(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Started(started) => {
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
            Event::Artifact(artifact) => write_artifact(self.folder.path(), artifact),
            Event::Predictions(predictions) => write_predictions(self.folder.path(), predictions),
            Event::Keep(epoch, snapshot) => {
                let path = kept_weights(self.folder.path(), *epoch);
                let written = write_weights(&path, &self.identity, snapshot);
                self.clock.since = Instant::now();
                written
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
