//! A probe fitted for what it finds, beside the tables of a run.

use std::sync::atomic::AtomicBool;

use ijepa_registry::prelude::*;

use super::{Emit, PlannedProbe, Session, Subject, TrainError};
use crate::{events::ProbedSplit, model::BuildDevice};

impl<D: BuildDevice> Session<D> {
    /// What a probe finds on a subject, of the labels `factor`, judged on the test images; none if `stop` was set
    /// meanwhile. The same numbers as when it is measured for the tables.
    pub fn findings(
        &self,
        planned: &PlannedProbe,
        subject: Subject,
        factor: &str,
        emit: &mut Emit,
        stop: &AtomicBool,
    ) -> Result<Option<Findings>, TrainError> {
        let failed = |reason: String| TrainError::Probe(planned.name.clone(), reason);
        let labels = self.probe_labels(planned.probe.as_ref(), factor).map_err(failed)?;
        let Some(features) = self.feature_set(subject, planned.probe.needs(), emit, stop)? else {
            return Ok(None);
        };
        let data = labels.with(&features, ProbedSplit::Test);
        let data = data.ok_or_else(|| failed("the data set has no test images".into()))?;
        self.findings_of(planned, subject, &data, ProbedSplit::Test, (emit, stop))
    }
}
