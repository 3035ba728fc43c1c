//! Watches the measurements that say whether a representation has collapsed.

use super::Session;
use crate::{
    config::CollapseRule,
    events::{MetricsRow, ProbeRow, Row, Watch},
    model::BuildDevice,
};

impl<D: BuildDevice> Session<D> {
    /// Judges the last step of an epoch. Every epoch counts, whatever is logged.
    pub(super) fn watch_step(&mut self, row: &MetricsRow) {
        let epoch = self.epoch();
        observe(&self.plan.collapse, &mut self.progress.watches, epoch, |metric| row.number(metric));
    }

    /// Judges the probes of an epoch.
    pub(super) fn watch_probes(&mut self, rows: &[ProbeRow]) {
        let value = |metric: &str| rows.iter().find(|r| r.name() == metric).map(|r| r.value);
        let epoch = self.epoch();
        observe(&self.plan.collapse, &mut self.progress.watches, epoch, value);
    }

    /// Why the run counts as collapsed, if it does.
    pub(super) fn collapsed(&self) -> Option<String> {
        verdict(&self.plan.collapse, &self.progress.watches, self.epoch())
    }

    /// Epochs completed, or the one under way.
    fn epoch(&self) -> u64 {
        self.progress.step.div_ceil(self.plan.horizon.steps_per_epoch.max(1))
    }
}

fn observe(
    rules: &[CollapseRule],
    watches: &mut Vec<Watch>,
    epoch: u64,
    value: impl Fn(&str) -> Option<f64>,
) {
    watches.resize(rules.len(), Watch::default());
    for (rule, watch) in rules.iter().zip(watches) {
        let Some(value) = value(&rule.metric).filter(|_| epoch > rule.after) else { continue };
        // Not a number is not healthy either.
        let healthy = value >= rule.below;
        let count = if healthy { 0 } else { watch.count + 1 };
        *watch = Watch { count, value: Some(value).filter(|v| v.is_finite()) };
    }
}

fn verdict(rules: &[CollapseRule], watches: &[Watch], epoch: u64) -> Option<String> {
    let (rule, watch) = rules.iter().zip(watches).find(|(rule, watch)| watch.count >= rule.patience)?;
    let CollapseRule { metric, below, .. } = rule;
    let times = if watch.count == 1 { String::new() } else { format!(", {} times in a row", watch.count) };
    let value = watch.value.map_or("not finite".into(), |v| format!("{v:.4}"));
    Some(format!("{metric} is {value} at epoch {epoch}, not at least {below}{times}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_counts_measurements_in_a_row_after_the_start() {
        let rules = [CollapseRule { metric: "target_std".into(), below: 0.1, patience: 2, after: 1 }];
        let mut watches = Vec::new();
        let mut found = Vec::new();
        for (epoch, value) in [(1, 0.0), (2, 0.0), (3, 0.2), (4, 0.05), (5, f64::NAN)] {
            observe(&rules, &mut watches, epoch, |_| Some(value));
            // Another measurement in between changes nothing.
            observe(&rules, &mut watches, epoch, |_| None);
            found.push(verdict(&rules, &watches, epoch));
        }
        let reason = "target_std is not finite at epoch 5, not at least 0.1, 2 times in a row";
        assert_eq!(found, [None, None, None, None, Some(reason.to_owned())]);
    }
}
