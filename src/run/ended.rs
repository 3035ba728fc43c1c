//! Probes of a run that has ended: those that it lacks are measured on its last weights, without training.

use std::{io, path::Path, sync::atomic::AtomicBool};

use serde_json::Value;

use super::{RunError, RunFolder};
use crate::{
    config::{Experiment, Measurement, last_measurements, stored_probes},
    events::{ProbeRow, Snapshot},
    model::BuildDevice,
    results::{EXPERIMENT, RunState, Status, columns::PROBES, protocols, read, replace, seal, table},
    sinks::{CheckpointMeta, write_checkpoint},
    train::{Emit, Session},
};

/// What a run that has ended holds of its probes, and what it lacks.
pub struct Ended {
    /// Step of its last weights.
    step: u64,
    /// Rows of `probes.csv`.
    rows: Vec<ProbeRow>,
    /// What its last rows are, in their order.
    measurements: Vec<Measurement>,
    /// Names of the probes that have to be measured.
    pub missing: Vec<String>,
}

impl Ended {
    /// Of the run in `folder`, if it has; probes that its own file named beside those of `experiment` are
    /// added to it. `again` names probes to be measured though they have rows.
    pub fn of(
        folder: &Path,
        experiment: &mut Experiment,
        again: &[String],
    ) -> Result<Option<Self>, RunError> {
        let damaged = |error| RunError::Damaged(error, folder.into());
        let status = Status::read(folder).map_err(damaged)?;
        let Some(status) = status.filter(|s| s.state == RunState::Done) else { return Ok(None) };
        let configuration = configuration(folder);
        let stored = stored_probes(&configuration);
        let mut found: Vec<ProbeRow> = read::rows(folder, &PROBES).map_err(damaged)?;
        protocols::fill_in(&mut found, &configuration);
        let own: Vec<String> = experiment.probes.iter().map(|spec| spec.name.clone()).collect();
        experiment.probes.extend(stored.into_iter().filter(|spec| !own.contains(&spec.name)));
        let (step, measurements) = (status.steps, last_measurements(&experiment.probes));
        let has =
            |measurement: &Measurement| found.iter().any(|row| row.step == step && is_of(measurement, row));
        let lacking =
            measurements.iter().filter(|measurement| again.contains(&measurement.probe) || !has(measurement));
        let mut missing: Vec<String> = Vec::new();
        lacking.for_each(|measurement| {
            if !missing.contains(&measurement.probe) {
                missing.push(measurement.probe.clone());
            }
        });
        let ended = Ended { step, rows: found, measurements, missing };
        ended.check(experiment)?;
        Ok(Some(ended))
    }

    /// What cannot be made up for: rows of earlier steps, whose weights are gone.
    fn check(&self, experiment: &Experiment) -> Result<(), RunError> {
        for spec in experiment.probes.iter().filter(|spec| self.missing.contains(&spec.name)) {
            let earlier: Vec<&ProbeRow> =
                self.rows.iter().filter(|row| row.step < self.step && row.probe == spec.name).collect();
            let name = &spec.name;
            if earlier.iter().any(|row| row.protocol != spec.protocol()) {
                return Err(RunError::Config(format!(
                    "probes: `{name}` was measured at earlier steps with other settings, and their weights are gone; \
                     give the new one a name of its own, such as `name: {name}_2`"
                )));
            }
            if spec.every > 0 && earlier.is_empty() && spec.every < experiment.train.epochs {
                return Err(RunError::Config(format!(
                    "probes: `{name}` is to be measured every {} epochs, but the run has ended and the weights of \
                     earlier epochs are gone; leave `every` out, or train again with --force",
                    spec.every
                )));
            }
        }
        Ok(())
    }

    /// Measures what is missing; none if `stop` was set meanwhile.
    pub fn measure<D: BuildDevice>(
        &self,
        session: &Session<D>,
        folder: &Path,
        emit: &mut Emit,
        stop: &AtomicBool,
    ) -> Result<Option<Vec<ProbeRow>>, RunError> {
        if session.progress.step != self.step {
            return Err(RunError::Config(format!(
                "{}: the weights of its last step ({}) are not there, so that no probe can be measured; they are in \
                 checkpoints/latest.safetensors of a run that was left as it was",
                folder.display(),
                self.step
            )));
        }
        Ok(session.probe_end(emit, stop)?)
    }

    /// Writes the rows that were measured between those that were there: the table is the one of a run that
    /// had all of these probes from the start. `describe` writes what says so. A process that is killed
    /// meanwhile leaves a run that was stopped at its last step, and ends when it is continued.
    pub fn write(
        &self,
        folder: &RunFolder,
        measured: &[ProbeRow],
        meta: CheckpointMeta,
        snapshot: &Snapshot,
        describe: &dyn Fn() -> io::Result<()>,
    ) -> Result<(), RunError> {
        let (data, splits) = (meta.data.clone(), meta.data_splits.clone());
        let status = |state| Status::new(state, "", [self.step, self.step], &data).of_splits(splits.clone());
        status(RunState::Stopped).write(folder.path())?;
        let bytes = table(self.merged(measured).into_iter())?;
        replace(&folder.path().join(PROBES.file), &bytes, |seal| {
            let mut meta = meta;
            meta.tables.insert(PROBES.file.into(), seal);
            write_checkpoint(&folder.checkpoint(), &meta, snapshot)
        })?;
        describe()?;
        let files = seal::of_folder(folder.path()).map_err(|e| RunError::Damaged(e, folder.path().into()))?;
        status(RunState::Done).sealing(files).write(folder.path())?;
        Ok(())
    }

    /// All rows in their order.
    fn merged(&self, measured: &[ProbeRow]) -> Vec<ProbeRow> {
        let of = |rows: &[ProbeRow], measurement: &Measurement| -> Vec<ProbeRow> {
            rows.iter().filter(|row| row.step == self.step && is_of(measurement, row)).cloned().collect()
        };
        let mut all: Vec<ProbeRow> = self.rows.iter().filter(|row| row.step < self.step).cloned().collect();
        for measurement in &self.measurements {
            let new = of(measured, measurement);
            all.extend(if new.is_empty() { of(&self.rows, measurement) } else { new });
        }
        all
    }
}

/// Whether a row is one of a measurement.
fn is_of(measurement: &Measurement, row: &ProbeRow) -> bool {
    [&measurement.probe, &measurement.encoder, &measurement.labels, &measurement.protocol]
        == [&row.probe, &row.encoder, &row.labels, &row.protocol]
}

/// The experiment of a run, as it is stored.
fn configuration(folder: &Path) -> Value {
    let text = crate::results::read::text(&folder.join(EXPERIMENT)).ok().flatten().unwrap_or_default();
    serde_yaml::from_str(&text).unwrap_or_default()
}
