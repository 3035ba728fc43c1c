//! Early stopping: arms judged at the rungs of early termination, from what their runs have measured.
//!
//! Decisions are computed from the run folders each time, so that a sweep that was stopped comes to the same.

use std::collections::BTreeMap;

use crate::{
    results::{RunOverview, RunState},
    sweep::{ArmSeries, Decision, EarlyTermination, Plan, PlannedRun},
};

/// The rungs ahead, the arms that go on, and what has been decided so far.
pub struct EarlyStopping<'a> {
    plan: &'a Plan,
    rule: &'a EarlyTermination,
    rungs: std::vec::IntoIter<u64>,
    /// Names of the arms that go on, in the order of the plan.
    arms: Vec<&'a str>,
    decisions: Vec<Decision>,
}

impl<'a> EarlyStopping<'a> {
    /// For the sweep of `plan`. None if it carries every run to its end.
    pub fn new(plan: &'a Plan) -> Option<Self> {
        let rule = plan.early.as_ref()?;
        let epochs = plan.runs.first()?.experiment.train.epochs;
        let rungs = rule.rungs(epochs).into_iter();
        Some(EarlyStopping { plan, rule, rungs, arms: plan.arms(), decisions: Vec::new() })
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

    /// Judges the rung of `epoch` and marks the runs of the arms that end there. `runs` stand in the order of
    /// the plan. Returns what was decided, an arm each.
    pub fn decide(&mut self, epoch: u64, runs: &mut [&mut RunOverview]) -> Vec<Decision> {
        let series: Vec<ArmSeries> =
            self.arms.iter().filter_map(|arm| self.series(arm, epoch, runs)).collect();
        let decisions = self.rule.decide(epoch, &series);
        let ended: Vec<&Decision> = decisions.iter().filter(|d| d.stops).collect();
        self.arms.retain(|arm| !ended.iter().any(|d| d.arm == *arm));
        for (run, overview) in self.plan.runs.iter().zip(runs) {
            if let Some(decision) = ended.iter().find(|d| d.arm == run.arm && !overview.is_over()) {
                overview.ended_early = Some(ended_early(decision.rule, epoch, &decision.reason));
            }
        }
        self.decisions.extend(decisions.iter().cloned());
        decisions
    }

    /// Means over the sound seeds up to `epoch`, and how many have broken down. None if a run of the arm has
    /// failed and will be tried again: the arm is neither judged nor counted, because another attempt must
    /// not change a decision.
    fn series(&self, arm: &str, epoch: u64, runs: &[&mut RunOverview]) -> Option<ArmSeries> {
        let of_arm = || self.plan.runs.iter().zip(runs).filter(|(run, _)| run.arm == arm);
        if of_arm().any(|(_, overview)| overview.state() == RunState::Failed) {
            return None;
        }
        // What breaks after the rung must not change a decision that was taken there.
        let broke = |(run, overview): &(&PlannedRun, &&mut RunOverview)| {
            overview.state().is_broken() && !overview.has_reached(epoch, run.experiment.train.epochs)
        };
        let broken = of_arm().filter(|pair| broke(pair)).count();
        let sound = of_arm().filter(|pair| !broke(pair));
        let measured = sound.flat_map(|(_, overview)| overview.measurements(&self.rule.metric.name));
        let mut by_epoch: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for (at, value) in measured.map(|m| (m.epoch, m.value)) {
            if at <= epoch && value.is_finite() {
                by_epoch.entry(at).or_default().push(value);
            }
        }
        let mean = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let kept = self.plan.baseline() == Some(arm);
        Some(ArmSeries { arm: arm.to_owned(), values: by_epoch.values().map(mean).collect(), broken, kept })
    }
}

/// Why the runs of an arm were ended at a rung, in the words of the tables.
pub fn ended_early(rule: &str, epoch: u64, reason: &str) -> String {
    format!("{rule} at epoch {epoch}: {reason}")
}
