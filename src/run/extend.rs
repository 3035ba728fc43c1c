//! More epochs for a finished run: a longer experiment begins where the shorter one ended, if its steps up to
//! there are the same. What it then leaves are the bytes of one that was as long from the start.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ijepa_registry::kinds::Horizon;

use super::{RunError, data::has_data_of, ended::is_of, extend_checks::differences};
use crate::{
    config::{self, Experiment, Measurement, last_measurements},
    data::{Fingerprint, regular},
    events::{Artifact, ProbeRow, Snapshot},
    results::{
        ARTIFACTS, Care, EXPERIMENT, RunFolder, RunState, Seals, Status,
        columns::{EPOCHS, METRICS, PROBES, TIMING},
        is_run_folder, kept_epochs, kept_weights, protocols, read, replace, table,
    },
    sinks::{CheckpointMeta, read_checkpoint, write_artifact, write_checkpoint, write_weights},
};

/// A finished run that a longer one goes on from.
pub struct Extension {
    /// Its folder.
    pub from: PathBuf,
    /// Its epochs.
    pub epochs: u64,
    /// Steps of an epoch.
    per_epoch: u64,
    /// Whether its last row of `metrics.csv` stands within an interval of a longer run, which has none there.
    ends_within: bool,
    snapshot: Snapshot,
    /// Rows of `probes.csv` that a longer run has too.
    rows: Vec<ProbeRow>,
}

impl Extension {
    /// The longest finished run in `output` that is the same experiment with fewer epochs; refused with every
    /// reason if its steps are not those of the longer one. `horizon` is that of `experiment`.
    pub fn find(output: &Path, experiment: &Experiment, horizon: Horizon) -> Result<Self, RunError> {
        let (from, short) = longest(output, experiment).ok_or_else(|| none(output, experiment))?;
        let damaged = |error| RunError::Damaged(error, from.clone());
        let status = Status::read(&from).map_err(damaged)?.unwrap_or_default();
        if let Some(error) = status.damages(&from, Care::Words).into_iter().next() {
            return Err(damaged(error));
        }
        let mut reasons = differences(&short, experiment, horizon);
        let mut found: Vec<ProbeRow> = read::rows(&from, &PROBES).map_err(damaged)?;
        protocols::fill_in(&mut found, &short.resolved());
        let epochs = short.train.epochs;
        let rows = rows_of(&found, experiment, epochs, horizon.steps_per_epoch);
        let rows = rows.map_err(|reason| reasons.push(reason)).unwrap_or_default();
        if !reasons.is_empty() {
            return Err(refused(&from, epochs, experiment.train.epochs, &reasons));
        }
        let checkpoint = RunFolder::checkpoint_in(&from).map_err(damaged)?;
        let gone = || RunError::Config(format!("--extend: the checkpoint of {} is gone", from.display()));
        let (_, snapshot) = read_checkpoint(&checkpoint.ok_or_else(gone)?)?;
        let (log_every, steps) = (experiment.train.log_every, epochs * horizon.steps_per_epoch);
        let ends_within = !steps.is_multiple_of(log_every);
        if ends_within && snapshot.progress.interval.is_empty() {
            let reason = format!(
                "train.log_every: the last row of metrics.csv, of step {steps}, is no multiple of {log_every}, and the \
                 version that trained it did not keep what the next row needs"
            );
            return Err(refused(&from, epochs, experiment.train.epochs, &[reason]));
        }
        Ok(Extension { epochs, per_epoch: horizon.steps_per_epoch, ends_within, snapshot, rows, from })
    }

    /// Leaves in `folder` what the longer run would have left after as many epochs. Nothing counts before its
    /// checkpoint is there.
    pub fn begin(
        &self,
        folder: &RunFolder,
        experiment: &Experiment,
        content: &Fingerprint,
    ) -> Result<(), RunError> {
        let damaged = |error| RunError::Damaged(error, self.from.clone());
        folder.refuse_lost_checkpoint().map_err(|error| RunError::Damaged(error, folder.path().into()))?;
        let identity = experiment.identity();
        self.keep_weights(folder, &identity, experiment)?;
        self.keep_artifacts(folder, experiment)?;
        let mut tables = vec![(PROBES.file, table(self.rows.iter().cloned())?)];
        for of in [METRICS, EPOCHS, TIMING] {
            let bytes = read::bytes(&self.from.join(of.file)).map_err(damaged)?;
            let is_longer = of == METRICS && self.ends_within;
            let cut = |bytes| if is_longer { without_last_row(bytes) } else { bytes };
            tables.extend(bytes.map(|bytes| (of.file, cut(bytes))));
        }
        let steps = experiment.train.epochs * self.per_epoch;
        begin_tables(folder.path(), &tables, Seals::new(), &|seals| {
            let meta = CheckpointMeta::new(&identity, &content.all, steps, seals, &self.snapshot);
            write_checkpoint(&folder.checkpoint(), &meta.of_splits(content.splits()), &self.snapshot)
        })?;
        Ok(())
    }

    /// Weights that the longer run keeps, with its name.
    fn keep_weights(
        &self,
        folder: &RunFolder,
        identity: &str,
        experiment: &Experiment,
    ) -> Result<(), RunError> {
        let every = experiment.train.keep_every;
        let keeps = |epoch: &u64| every > 0 && epoch.is_multiple_of(every);
        for epoch in kept_epochs(&self.from).into_iter().filter(keeps) {
            let weights = crate::sinks::read_weights(&kept_weights(&self.from, epoch))?;
            let mut snapshot = Snapshot { tensors: weights.tensors, ..Snapshot::default() };
            snapshot.progress.step = weights.step;
            write_weights(&kept_weights(folder.path(), epoch), identity, &snapshot)?;
        }
        if keeps(&self.epochs) {
            write_weights(&kept_weights(folder.path(), self.epochs), identity, &self.snapshot)?;
        }
        Ok(())
    }

    /// Files of probes that the longer run leaves too: those of epochs at which they are due, of encoders.
    fn keep_artifacts(&self, folder: &RunFolder, experiment: &Experiment) -> io::Result<()> {
        for entry in fs::read_dir(self.from.join(ARTIFACTS)).into_iter().flatten() {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if experiment.probes.iter().any(|spec| leaves(&spec.name, spec.every, &name)) {
                write_artifact(folder.path(), &Artifact { name, bytes: regular(&entry.path())? })?;
            }
        }
        Ok(())
    }
}

/// A table without its last row.
fn without_last_row(mut table: Vec<u8>) -> Vec<u8> {
    let mut ends = table.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let before = ends.nth(1).unwrap_or(0);
    table.truncate(before);
    table
}

/// Whether a probe leaves a file of this name while a run goes on: `PROBE-ENCODER-...-epochN.ENDING`.
fn leaves(probe: &str, every: u64, name: &str) -> bool {
    let rest = name.strip_prefix(probe).and_then(|rest| rest.strip_prefix('-'));
    let of_encoder = rest.is_some_and(|rest| ["target-", "context-"].iter().any(|e| rest.starts_with(e)));
    let epoch = name.rsplit_once("-epoch").and_then(|(_, rest)| rest.split('.').next()?.parse::<u64>().ok());
    of_encoder && every > 0 && epoch.is_some_and(|epoch| epoch.is_multiple_of(every))
}

/// Puts tables into a folder, and then what vouches for them all; a table counts once that is there.
fn begin_tables(
    folder: &Path,
    tables: &[(&str, Vec<u8>)],
    seals: Seals,
    vouch: &dyn Fn(Seals) -> io::Result<()>,
) -> io::Result<()> {
    let Some(((file, bytes), rest)) = tables.split_first() else { return vouch(seals) };
    replace(&folder.join(file), bytes, |seal| {
        let mut seals = seals;
        seals.insert((*file).to_owned(), seal);
        begin_tables(folder, rest, seals, vouch)
    })
}

/// The finished run of the same experiment and data with the most epochs below those of `experiment`.
fn longest(output: &Path, experiment: &Experiment) -> Option<(PathBuf, Experiment)> {
    let seed = format!("-s{}-", experiment.seed);
    let entries = fs::read_dir(output).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().contains(&seed))
        .map(|entry| entry.path())
        .filter(|path| is_run_folder(path))
        .collect();
    folders.sort();
    let shorter = folders.into_iter().filter_map(|folder| Some((shorter(&folder, experiment)?, folder)));
    let found = shorter.max_by_key(|(short, _)| short.train.epochs);
    found.map(|(short, folder)| (folder, short))
}

/// The experiment of a finished run, if it is `experiment` but for fewer epochs.
fn shorter(folder: &Path, experiment: &Experiment) -> Option<Experiment> {
    let done = Status::read(folder).ok().flatten().is_some_and(|status| status.state == RunState::Done);
    let text = read::text(&folder.join(EXPERIMENT)).ok().flatten().filter(|_| done)?;
    let load = |changes: &[String]| config::load_stored(EXPERIMENT, &text, changes).ok();
    let short = load(&[]).filter(|short| short.train.epochs < experiment.train.epochs)?;
    let same = load(&[format!("train.epochs={}", experiment.train.epochs)])?;
    (same.identity() == experiment.identity() && has_data_of(folder, experiment)).then_some(short)
}

/// Rows that the longer run has after `epochs`: of probes that are due, of encoders alone.
fn rows_of(
    found: &[ProbeRow],
    experiment: &Experiment,
    epochs: u64,
    per_epoch: u64,
) -> Result<Vec<ProbeRow>, String> {
    let all = last_measurements(&experiment.probes);
    let encoders = all.iter().filter(|m| ["target", "context"].contains(&m.encoder.as_str()));
    let measurements: Vec<(&Measurement, u64)> = encoders
        .filter_map(|m| Some((m, experiment.probes.iter().find(|spec| spec.name == m.probe)?.every)))
        .collect();
    let mut rows = Vec::new();
    for epoch in 1..=epochs {
        for (measurement, _) in measurements.iter().filter(|(_, n)| *n > 0 && epoch.is_multiple_of(*n)) {
            let before = rows.len();
            let step = epoch * per_epoch;
            rows.extend(found.iter().filter(|row| row.step == step && is_of(measurement, row)).cloned());
            if rows.len() == before {
                let Measurement { probe, encoder, .. } = measurement;
                return Err(format!("probes: `{probe}` was not measured on {encoder} after epoch {epoch}"));
            }
        }
    }
    Ok(rows)
}

fn none(output: &Path, experiment: &Experiment) -> RunError {
    RunError::Config(format!(
        "--extend: there is no finished run in {} that is this experiment with fewer than {} epochs\n  help: `ijepa-run \
         why FILE` says what sets it apart from the runs that are there",
        output.display(),
        experiment.train.epochs
    ))
}

fn refused(from: &Path, epochs: u64, wanted: u64, reasons: &[String]) -> RunError {
    let reasons: Vec<String> = reasons.iter().map(|reason| format!("\n  {reason}")).collect();
    RunError::Config(format!(
        "--extend: the {epochs} epochs of {} are not the first {epochs} of {wanted}:{}\n  help: leave out --extend to \
         train all {wanted} epochs",
        from.display(),
        reasons.concat()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_encoders_at_due_epochs_are_those_of_a_longer_run() {
        let is = |name: &str| leaves("linear", 2, name);
        assert!(
            is("linear-target-class-test-epoch4.predictions.csv") && is("linear-context-test-epoch2.svg")
        );
        assert!(!is("linear-target-class-test-epoch3.svg") && !is("linear-pixels-class-test-epoch4.svg"));
        assert!(!is("linear_2-target-class-test-epoch4.svg") && !leaves("knn", 0, "knn-target-epoch4.svg"));
    }
}
