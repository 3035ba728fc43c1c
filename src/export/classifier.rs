//! The linear probe of a run as the head of an image classifier.

use std::{path::Path, sync::atomic::AtomicBool};

use ijepa_registry::{catalogue, prelude::*};
use serde_json::{Value, json};

use super::tensors::Tensor;
use crate::{
    events::Event,
    model::BuildDevice,
    results::{EXPERIMENT, read},
    run::{RunError, Subject, stored::OnSession},
    sinks::{Progress, Sink},
    train::Session,
};

/// A linear classifier on the mean of the encoder's tokens.
#[derive(Clone, Debug)]
pub(super) struct Classifier {
    /// Name of the probe.
    pub probe: String,
    /// Label factor.
    pub labels: String,
    /// Names of the classes, in the order of the rows of the weights.
    pub classes: Vec<String>,
    pub map: LinearClassifier,
    /// Accuracy on the test images, %.
    pub top1: f64,
    /// Test images.
    pub images: usize,
}

impl Classifier {
    /// Weight `(class, dim)` and bias of a layer.
    pub fn tensors(&self, layer: &str) -> [Tensor; 2] {
        let (rows, LinearClassifier { weight, bias }) = (self.classes.len(), &self.map);
        [
            Tensor::new(format!("{layer}.weight"), &[rows, weight.len() / rows], weight.clone()),
            Tensor::new(format!("{layer}.bias"), &[rows], bias.clone()),
        ]
    }
}

/// The entry of `probes` that is meant: one of the run in `folder` by its name, else what is written.
pub(super) fn entry(folder: &Path, probe: &str) -> Result<Value, RunError> {
    let damaged = |error| RunError::Damaged(error, folder.into());
    let text = read::text(&folder.join(EXPERIMENT)).map_err(damaged)?.unwrap_or_default();
    let stored: Value = serde_yaml::from_str(&text).unwrap_or_default();
    let probes = stored["probes"].as_array().map_or(&[][..], Vec::as_slice);
    let name = |entry: &Value| entry["name"].as_str().or(entry["kind"].as_str()).map(str::to_owned);
    if let Some(own) = probes.iter().find(|entry| name(entry).as_deref() == Some(probe)) {
        return Ok(own.clone());
    }
    if catalogue::find::<dyn Probe>(probe).is_some() {
        return Ok(json!({ "kind": probe }));
    }
    let written: Option<Value> = serde_yaml::from_str(probe).ok().filter(|v: &Value| v["kind"].is_string());
    written.ok_or_else(|| {
        let names: Vec<String> = probes.iter().filter_map(name).collect();
        RunError::Config(format!(
            "--classifier: the run has no probe `{probe}`; it has: {}; or write one: --classifier '{{ kind: linear }}'",
            names.join(", ")
        ))
    })
}

/// Fits the only probe of a session, and takes its linear map.
pub(super) struct Fitting<'a> {
    pub subject: Subject,
    pub labels: Option<&'a str>,
    pub stop: &'a AtomicBool,
}

impl OnSession for Fitting<'_> {
    type Output = Option<Classifier>;

    fn on<D: BuildDevice>(
        self,
        session: &Session<D>,
        progress: &mut Progress,
    ) -> Result<Option<Classifier>, RunError> {
        let Some(planned) = session.plan.probes.first() else { return Ok(None) };
        let (name, refuse) =
            (&planned.name, |reason: String| RunError::Config(format!("--classifier: {reason}")));
        if planned.probe.needs() != Needs::POOLED {
            let what = "looks at more than the mean token of the last block, which no such model has";
            return Err(refuse(format!("`{name}` {what}; take a linear probe without `layers`")));
        }
        let labels = self.labels.or(planned.labels.first().map(String::as_str)).unwrap_or("class");
        let all = &session.plan.source.data.test.labels;
        let Some(known) = all.iter().find(|l| l.name == labels) else {
            let names: Vec<&str> = all.iter().map(|l| l.name.as_str()).collect();
            return Err(refuse(format!(
                "the data set has no labels `{labels}`; it has: {}",
                names.join(", ")
            )));
        };
        let mut emit = |event: Event| {
            // A display never ends the work.
            let _ = progress.take(&event);
            Ok(())
        };
        let found = session.findings(planned, self.subject, labels, &mut emit, self.stop)?;
        let Some(found) = found else { return Ok(None) };
        let place = planned.probe.metrics().iter().position(|metric| metric.name == "top1");
        let top1 = place.and_then(|place| found.values.get(place)).copied();
        let (Some(map), Some(top1)) = (found.classifier, top1) else {
            return Err(refuse(format!("`{name}` is no linear classifier; take a probe of kind `linear`")));
        };
        Ok(Some(Classifier {
            probe: name.clone(),
            labels: labels.into(),
            classes: known.values.clone(),
            map,
            top1,
            images: known.labels.len(),
        }))
    }
}
