//! Arms judged at the rungs of early termination, from what their runs have measured.

use crate::{
    results::Standing,
    sweep::{ArmSeries, Decision, EarlyTermination, Plan},
};

/// The arms still in the race, and what has been decided so far.
pub(super) struct Race<'a> {
    plan: &'a Plan,
    rule: &'a EarlyTermination,
    rungs: std::vec::IntoIter<u64>,
    /// Names of the arms that go on, in the order of the plan.
    arms: Vec<&'a str>,
    decisions: Vec<Decision>,
}

impl<'a> Race<'a> {
    /// None if the sweep carries every run to its end.
    pub fn new(plan: &'a Plan) -> Option<Self> {
        let rule = plan.early.as_ref()?;
        let epochs = plan.runs.first()?.experiment.train.epochs;
        let rungs = rule.rungs(epochs).into_iter();
        Some(Race { plan, rule, rungs, arms: plan.arms(), decisions: Vec::new() })
    }

    /// The epoch of the next rung.
    pub fn next_rung(&mut self) -> Option<u64> {
        self.rungs.next()
    }

    /// What the arms are judged by.
    pub fn metric(&self) -> &str {
        &self.rule.metric.name
    }

    /// Everything decided so far.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// Judges the rung of `epoch`; returns the arms that end there.
    pub fn decide(&mut self, epoch: u64, standings: &[&Standing]) -> Vec<Decision> {
        let series: Vec<ArmSeries> =
            self.arms.iter().filter_map(|arm| self.series(arm, epoch, standings)).collect();
        let decisions = self.rule.decide(epoch, &series);
        let ended: Vec<Decision> = decisions.iter().filter(|d| d.stops).cloned().collect();
        self.arms.retain(|arm| !ended.iter().any(|d| d.arm == *arm));
        self.decisions.extend(decisions);
        ended
    }

    /// Means over seeds up to `epoch`. None if a run of the arm has failed and will be tried again: the
    /// arm is neither judged nor counted, because another attempt must not change a decision.
    fn series(&self, arm: &str, epoch: u64, standings: &[&Standing]) -> Option<ArmSeries> {
        let of_arm = || self.plan.runs.iter().zip(standings).filter(|(run, _)| run.arm == arm);
        if of_arm().any(|(_, standing)| standing.word() == "failed") {
            return None;
        }
        let sound = || of_arm().map(|(_, standing)| *standing).filter(|s| !s.is_broken());
        let measured = |s: &&Standing| s.measurements(&self.rule.metric.name).to_vec();
        let mut epochs: Vec<u64> = sound().flat_map(|s| measured(&s)).map(|m| m.epoch).collect();
        epochs.retain(|e| *e <= epoch);
        epochs.sort_unstable();
        epochs.dedup();
        let mean = |at: &u64| {
            let values: Vec<f64> = sound()
                .flat_map(|s| measured(&s))
                .filter(|m| m.epoch == *at && m.value().is_finite())
                .map(|m| m.value())
                .collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let kept = of_arm().any(|(run, _)| run.is_baseline());
        Some(ArmSeries { arm: arm.to_owned(), values: epochs.iter().filter_map(mean).collect(), kept })
    }
}
