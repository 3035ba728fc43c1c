//! Frozen features and the probes fitted to them.

use std::sync::atomic::{AtomicBool, Ordering};

use ijepa_registry::prelude::*;

use super::{
    Session, SplitImages, TrainError, features::Subject, plan::PlannedProbe, probe_data::FeatureSet,
    probed_model::SessionModel, run_loop::Emit,
};
use crate::{
    events::{Artifact, Cell, Event, Phase, PredictionRow, Predictions, ProbeRow, ProbedSplit, Tensors},
    model::BuildDevice,
};

/// Whether a probe looks at the features of a subject.
fn wants(probe: &PlannedProbe, subject: Subject) -> bool {
    match subject {
        Subject::Encoder(e) => probe.encoders.contains(&e),
        Subject::Control(c) => probe.controls.contains(&c),
    }
}

/// What probes are measured on, in the order of the rows.
const MEASURED: [ProbedSplit; 2] = [ProbedSplit::Test, ProbedSplit::Validation];

/// Where the run stands, for the rows.
#[derive(Clone, Copy)]
struct Stamp {
    epoch: u64,
    step: u64,
}

impl<D: BuildDevice> Session<D> {
    /// Whether any probe is due at the end of `epoch`.
    pub(super) fn probes_are_due(&self, epoch: u64, last: bool) -> bool {
        self.plan.probes.iter().any(|p| p.is_due(epoch, last))
    }

    /// Rows of every probe and control at the end of a run, to which the session was restored.
    pub fn probe_end(&self, emit: &mut Emit, stop: &AtomicBool) -> Result<Option<Vec<ProbeRow>>, TrainError> {
        let epoch = self.progress.step / self.plan.horizon.steps_per_epoch.max(1);
        self.probe(epoch, true, emit, stop)
    }

    /// Rows of every probe that is due at the end of an earlier epoch, on the weights that were kept of it.
    pub fn probe_earlier(
        &mut self,
        epoch: u64,
        weights: Tensors,
        emit: &mut Emit,
        stop: &AtomicBool,
    ) -> Result<Option<Vec<ProbeRow>>, TrainError> {
        let last = self.snapshot();
        self.restore_weights(weights)?;
        self.progress.step = epoch * self.plan.horizon.steps_per_epoch;
        let rows = self.probe(epoch, false, emit, stop);
        self.restore(last)?;
        rows
    }

    /// Rows of every probe that is due at the end of `epoch`; controls join at the last one. None
    /// if `stop` was set meanwhile.
    pub(super) fn probe(
        &self,
        epoch: u64,
        last: bool,
        emit: &mut Emit,
        stop: &AtomicBool,
    ) -> Result<Option<Vec<ProbeRow>>, TrainError> {
        let due: Vec<&PlannedProbe> = self.plan.probes.iter().filter(|p| p.is_due(epoch, last)).collect();
        let stamp = Stamp { epoch, step: self.progress.step };
        let mut rows = Vec::new();
        for subject in Subject::ALL {
            let wanting: Vec<&&PlannedProbe> = due.iter().filter(|p| wants(p, subject)).collect();
            if wanting.is_empty() || (matches!(subject, Subject::Control(_)) && !last) {
                continue;
            }
            // Features of one form at a time: tokens of all images take as much memory as there is.
            let mut held: Option<(Needs, FeatureSet)> = None;
            for probe in wanting {
                let needs = probe.probe.needs();
                if held.as_ref().is_none_or(|(of, _)| *of != needs) {
                    drop(held.take());
                    let Some(features) = self.feature_set(subject, needs, emit, stop)? else {
                        return Ok(None);
                    };
                    held = Some((needs, features));
                }
                let (Some((_, features)), false) = (&held, stop.load(Ordering::Relaxed)) else {
                    return Ok(None);
                };
                if !self.measure(probe, subject, features, stamp, (emit, stop), &mut rows)? {
                    return Ok(None);
                }
            }
        }
        Ok(Some(rows))
    }

    /// One probe on one subject: once per label factor, or once if it uses no labels. False if `stop` was set
    /// meanwhile.
    fn measure(
        &self,
        planned: &PlannedProbe,
        subject: Subject,
        features: &FeatureSet,
        stamp: Stamp,
        (emit, stop): (&mut Emit, &AtomicBool),
        rows: &mut Vec<ProbeRow>,
    ) -> Result<bool, TrainError> {
        let failed = |reason: String| TrainError::Probe(planned.name.clone(), reason);
        let factors: &[String] = if planned.probe.uses_labels() { &planned.labels } else { &[String::new()] };
        for factor in factors {
            let labels = self.probe_labels(planned.probe.as_ref(), factor).map_err(failed)?;
            for split in MEASURED {
                let Some(data) = labels.with(features, split) else { continue };
                let Some(found) = self.findings_of(planned, subject, &data, split, (emit, stop))? else {
                    return Ok(false);
                };
                let Findings { values, files, predictions, scores, .. } = found;
                let on = [&planned.name, subject.name(), factor, &split.text()];
                let on: Vec<&str> = on.into_iter().filter(|part| !part.is_empty()).collect();
                let name = format!("{}-epoch{}", on.join("-"), stamp.epoch);
                if let Some(predicted) = predictions.filter(|_| planned.predictions) {
                    let rows = self.prediction_rows(
                        factor,
                        split,
                        data.test.labels,
                        (&predicted, scores.as_deref()),
                    );
                    emit(Event::Predictions(Predictions { name: name.clone(), rows }))?;
                }
                for (ending, bytes) in files {
                    let name = format!("{name}.{ending}");
                    emit(Event::Artifact(Artifact { name, bytes }))?;
                }
                for (metric, value) in planned.probe.metrics().into_iter().zip(values) {
                    rows.push(ProbeRow {
                        epoch: stamp.epoch,
                        step: stamp.step,
                        probe: planned.name.clone(),
                        encoder: subject.name().into(),
                        labels: factor.clone(),
                        split,
                        metric: metric.name.into(),
                        unit: metric.unit.into(),
                        value,
                        protocol: planned.protocol.clone(),
                    });
                }
            }
        }
        Ok(true)
    }

    /// Runs a probe and tells how far it is. None if `stop` was set meanwhile. Progress is only displayed: a sink
    /// that refuses it is asked again with the next row.
    pub(super) fn findings_of(
        &self,
        planned: &PlannedProbe,
        subject: Subject,
        data: &ProbeData,
        split: ProbedSplit,
        (emit, stop): (&mut Emit, &AtomicBool),
    ) -> Result<Option<Findings>, TrainError> {
        let what = format!("probe {} of {}", planned.name, subject.name());
        let emit = std::sync::Mutex::new(emit);
        let progress = |done, total| {
            if let Ok(mut emit) = emit.lock() {
                let _ = emit(phase(&what, done, total));
            }
        };
        let uses_model = planned.probe.uses_model();
        let model = uses_model.then(|| SessionModel::new(self, subject, split, stop)).transpose()?;
        let context = ProbeContext {
            seed: self.plan.source.seed,
            progress: &progress,
            layers: if subject.is_encoder() { planned.probe.needs().layers } else { 1 },
            grid: self.jepa.geometry.grid(),
            model: model.as_ref().map(|model| model as &dyn ProbedModel),
        };
        progress(0, 1);
        let found = planned.probe.measure(data, &context);
        progress(1, 1);
        match found {
            Err(_) if stop.load(Ordering::Relaxed) => Ok(None),
            found => found.map(Some).map_err(|e| TrainError::Probe(planned.name.clone(), e.to_string())),
        }
    }

    /// What a probe says of every image that it is judged on.
    fn prediction_rows(
        &self,
        factor: &str,
        split: ProbedSplit,
        labels: &[u32],
        (predicted, scores): (&[u32], Option<&[f32]>),
    ) -> Vec<PredictionRow> {
        let held_out = &self.plan.held_out;
        let number = |i: usize| match split {
            ProbedSplit::Validation => held_out.get(i).copied().unwrap_or(i),
            ProbedSplit::Test => i,
        };
        let train = &self.plan.source.data.train.labels;
        let names = train.iter().find(|l| factor.is_empty() || l.name == factor).map(|l| &l.values);
        let name =
            |class: u32| names.map_or_else(|| class.to_string(), |names| names[class as usize].clone());
        let row = |(i, (&label, &class)): (usize, (&u32, &u32))| PredictionRow {
            image: number(i) as u64,
            label: name(label),
            prediction: name(class),
            score: scores.map(|scores| f64::from(scores[i])),
        };
        labels.iter().zip(predicted).enumerate().map(row).collect()
    }

    pub(super) fn feature_set(
        &self,
        subject: Subject,
        needs: Needs,
        emit: &mut Emit,
        stop: &AtomicBool,
    ) -> Result<Option<FeatureSet>, TrainError> {
        if needs.layers == 0 {
            return Ok(Some(FeatureSet::none()));
        }
        let extractor = self.extractor(subject)?;
        let (tokens, dim) = self.feature_shape(&extractor, needs);
        let what = format!("features of {}", subject.name());
        let data = &self.plan.source.data;
        let total: usize = [&data.train, &data.test, &data.validation].map(|s| data.labelled(s)).iter().sum();
        let mut done = 0;
        let mut extract = |images: &SplitImages<D>| -> Result<Option<Vec<f32>>, TrainError> {
            // Of its final size from the start: growing would hold half as much again for a moment.
            let count = data.labelled(images.split);
            let mut features = Vec::with_capacity(count * tokens * dim);
            let mut take = |some: &[f32]| {
                features.extend_from_slice(some);
                done += some.len() / (tokens * dim);
                emit(phase(&what, done as u64, total as u64))
            };
            Ok(self.extract(&extractor, needs, (images, count), stop, &mut take)?.then_some(features))
        };
        let Some(train) = extract(&self.train_images())? else { return Ok(None) };
        let Some(test) = extract(&self.test_images())? else { return Ok(None) };
        let Some(validation) = extract(&self.validation_images())? else { return Ok(None) };
        Ok(Some(FeatureSet { dim, tokens, train, test, validation }))
    }
}

fn phase(what: &str, done: u64, total: u64) -> Event {
    Event::Phase(Phase { what: what.into(), done, total })
}
