//! Probes of a run that has ended: those that it lacks are measured on its last weights, without training.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::atomic::AtomicBool,
};

use serde_json::Value;

use super::{RunError, RunFolder};
use crate::{
    config::{Experiment, Measurement, ProbeSpec, last_measurements, stored_probes},
    events::{ProbeRow, Snapshot},
    model::BuildDevice,
    results::{
        CHECKPOINT, EXPERIMENT, RunState, Status, WEIGHTS, columns::PROBES, kept_epochs, kept_weights,
        meanings, protocols, read, replace, seal, table, write_atomic,
    },
    sinks::{CheckpointMeta, read_weights, write_checkpoint},
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
    /// Names of the probes that have to be measured at the end.
    missing: Vec<String>,
    /// Names of those that have to be measured on the weights that were kept of an earlier epoch.
    earlier: BTreeMap<u64, Vec<String>>,
    /// Its status, where its last checkpoint was given up: the weights are all that is left.
    cleaned: Option<Box<Status>>,
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
        let cleaned = status.freed.contains_key(CHECKPOINT).then(|| Box::new(status));
        let (missing, earlier) = Default::default();
        let mut ended = Ended { step, rows: found, measurements, missing, earlier, cleaned };
        for spec in &experiment.probes {
            if again.contains(&spec.name) || !ended.has(&spec.name, step, |_| true) {
                ended.missing.push(spec.name.clone());
            }
        }
        ended.look_back(folder, experiment, again)?;
        Ok(Some(ended))
    }

    /// Whether a probe is to be measured.
    pub fn lacks(&self, probe: &str) -> bool {
        self.missing.iter().chain(self.earlier.values().flatten()).any(|name| name == probe)
    }

    /// Whether any is.
    pub fn lacks_any(&self) -> bool {
        !self.missing.is_empty() || !self.earlier.is_empty()
    }

    /// Whether there are rows of a probe at a step, of all of its measurements on these encoders.
    fn has(&self, probe: &str, step: u64, on: impl Fn(&str) -> bool) -> bool {
        let mut own = self.measurements.iter().filter(|m| m.probe == probe && on(&m.encoder));
        own.all(|measurement| self.rows.iter().any(|row| row.step == step && is_of(measurement, row)))
    }

    /// Which earlier epochs a probe with `every` is to be measured at, and whether their weights are there.
    fn look_back(
        &mut self,
        folder: &Path,
        experiment: &Experiment,
        again: &[String],
    ) -> Result<(), RunError> {
        let (kept, epochs) = (kept_epochs(folder), experiment.train.epochs);
        let is_encoder = |on: &str| ["target", "context"].contains(&on);
        for spec in experiment.probes.iter().filter(|spec| spec.every > 0) {
            let (every, anew) = (spec.every as usize, again.contains(&spec.name));
            let due = (spec.every..epochs).step_by(every);
            let wanted: Vec<u64> = due
                .filter(|epoch| {
                    let step = epoch * self.step / epochs.max(1);
                    (anew && self.lacks(&spec.name)) || !self.has(&spec.name, step, is_encoder)
                })
                .collect();
            let (there, gone): (Vec<u64>, Vec<u64>) = wanted.iter().partition(|epoch| kept.contains(epoch));
            self.check(spec, &gone, &kept)?;
            there.into_iter().for_each(|epoch| {
                self.earlier.entry(epoch).or_default().push(spec.name.clone());
            });
        }
        self.missing.iter().try_for_each(|name| {
            let spec = experiment.probes.iter().find(|spec| spec.name == *name);
            spec.map_or(Ok(()), |spec| self.refuse_other_settings(spec))
        })
    }

    /// What cannot be made up for: a probe that was not measured at epochs whose weights are gone.
    fn check(&self, spec: &ProbeSpec, gone: &[u64], kept: &[u64]) -> Result<(), RunError> {
        let measured = self.rows.iter().any(|row| row.step < self.step && row.probe == spec.name);
        if gone.is_empty() || measured || !self.lacks(&spec.name) {
            return Ok(());
        }
        let kept = match listed(kept) {
            none if none.is_empty() => "only those of the last epoch are there".to_owned(),
            some => format!("kept are those of epochs {some}"),
        };
        Err(RunError::Config(format!(
            "probes: `{}` is to be measured every {} epochs, but the run has ended and the weights of earlier epochs \
             are gone ({kept}); leave `every` out, or train again with --force and train.keep_every={}",
            spec.name, spec.every, spec.every
        )))
    }

    /// Rows of earlier steps that were measured in another way would stand beside the new ones.
    fn refuse_other_settings(&self, spec: &ProbeSpec) -> Result<(), RunError> {
        let mut earlier = self.rows.iter().filter(|row| row.step < self.step && row.probe == spec.name);
        let name = &spec.name;
        if earlier.all(|row| row.protocol == spec.protocol()) {
            return Ok(());
        }
        Err(RunError::Config(format!(
            "probes: `{name}` was measured at earlier steps with other settings, and their weights are gone; give the \
             new one a name of its own, such as `name: {name}_2`"
        )))
    }

    /// Takes the weights of a run whose checkpoint was given up; false where there is one to resume from.
    pub fn take_weights<D: BuildDevice>(
        &self,
        session: &mut Session<D>,
        folder: &Path,
        data: &str,
    ) -> Result<bool, RunError> {
        let Some(status) = &self.cleaned else { return Ok(false) };
        if status.data != data {
            let message = "the images of `dataset` are other data than those that this run was trained on";
            return Err(RunError::OtherData(format!("{}: {message}", folder.display())));
        }
        let weights = read_weights(&folder.join(WEIGHTS))?;
        session.restore_weights(weights.tensors)?;
        session.progress.step = weights.step;
        Ok(true)
    }

    /// Writes the rows that were measured on a run whose checkpoint was given up. Nothing but the status vouches for
    /// its files, and it stops doing so for those that change: a process that is killed meanwhile leaves a run that is
    /// done, with some of the new files.
    pub fn write_cleaned(
        &self,
        folder: &Path,
        measured: &[ProbeRow],
        describe: &dyn Fn() -> io::Result<()>,
    ) -> Result<(), RunError> {
        let status = self.cleaned.as_deref().cloned().unwrap_or_default();
        status.clone().unsealing(&[PROBES.file, EXPERIMENT, meanings::FILE]).write(folder)?;
        let bytes = table(self.merged(measured).into_iter())?;
        write_atomic(&folder.join(PROBES.file), &bytes)?;
        describe()?;
        let files = seal::of_folder(folder).map_err(|e| RunError::Damaged(e, folder.into()))?;
        Ok(status.sealing(files).write(folder)?)
    }

    /// Measures what is missing; none if `stop` was set meanwhile.
    pub fn measure<D: BuildDevice>(
        &self,
        session: &mut Session<D>,
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
        let mut rows = Vec::new();
        for epoch in self.earlier.keys() {
            let weights = read_weights(&kept_weights(folder, *epoch))?;
            let Some(some) = session.probe_earlier(*epoch, weights.tensors, emit, stop)? else {
                return Ok(None);
            };
            rows.extend(some);
        }
        let Some(last) = session.probe_end(emit, stop)? else { return Ok(None) };
        rows.extend(last);
        Ok(Some(rows))
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
        let steps: BTreeSet<u64> = self.rows.iter().chain(measured).map(|row| row.step).collect();
        steps.into_iter().flat_map(|step| self.merged_at(step, measured)).collect()
    }

    /// Those of one step: of every measurement the new ones, else those that were there.
    fn merged_at(&self, step: u64, measured: &[ProbeRow]) -> Vec<ProbeRow> {
        let at = |rows: &[ProbeRow]| -> Vec<ProbeRow> {
            rows.iter().filter(|row| row.step == step).cloned().collect()
        };
        let (old, new) = (at(&self.rows), at(measured));
        if step < self.step && new.is_empty() {
            return old;
        }
        let of = |rows: &[ProbeRow], measurement: &Measurement| -> Vec<ProbeRow> {
            rows.iter().filter(|row| is_of(measurement, row)).cloned().collect()
        };
        let mut all = Vec::new();
        for measurement in &self.measurements {
            let some = of(&new, measurement);
            all.extend(if some.is_empty() { of(&old, measurement) } else { some });
        }
        if step < self.step {
            let is_known = |row: &&ProbeRow| self.measurements.iter().any(|m| is_of(m, row));
            all.extend(old.iter().filter(|row| !is_known(row)).cloned());
        }
        all
    }
}

/// `5, 10, 15`.
fn listed(epochs: &[u64]) -> String {
    epochs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether a row is one of a measurement.
pub fn is_of(measurement: &Measurement, row: &ProbeRow) -> bool {
    [&measurement.probe, &measurement.encoder, &measurement.labels, &measurement.protocol]
        == [&row.probe, &row.encoder, &row.labels, &row.protocol]
}

/// The experiment of a run, as it is stored.
fn configuration(folder: &Path) -> Value {
    let text = crate::results::read::text(&folder.join(EXPERIMENT)).ok().flatten().unwrap_or_default();
    serde_yaml::from_str(&text).unwrap_or_default()
}
