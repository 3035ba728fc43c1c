//! What a linear probe reports.

use ijepa_registry::prelude::*;

use super::{Linear, Protocol};
use crate::components::probes::shared::scores::accuracy_metrics;

/// The metrics of a linear probe, in the order of its values.
pub(super) fn of(probe: &Linear) -> Vec<MetricDecl> {
    use Direction::{Higher, Lower, Neither};
    let decl = MetricDecl::new;
    let mut all = accuracy_metrics("accuracy on test").to_vec();
    all.extend([
        decl("train_top1", "%", "accuracy on the train images fitted to", Higher),
        decl("test_nll", "nats", "mean negative log likelihood on test", Lower),
    ]);
    if probe.chooses() {
        let held = "accuracy on the held-out part of train, best of the grid";
        all.push(decl("val_top1", "%", held, Higher));
    }
    let edge = "-1: the smallest value tried, 1: the largest, 0: neither";
    let decay = |unit| decl("weight_decay", unit, "weight decay of the classifier", Neither);
    match probe.protocol {
        Protocol::Converged => {
            let objective = "mean negative log likelihood on train plus decay / 2 |W|^2";
            let gap = "the objective is at most so far above its minimum";
            all.extend([
                decay("1"),
                decl("weight_decay_at_edge", "1", edge, Neither),
                decl("objective", "nats", objective, Neither),
                decl("gap", "nats", gap, Neither),
            ]);
        }
        Protocol::Tuned => {
            let rate = "learning rate chosen on the held-out part";
            all.extend([
                decl("learning_rate", "1/step", rate, Neither),
                decl("learning_rate_at_edge", "1", edge, Neither),
                decay("1/step"),
                decl("weight_decay_at_edge", "1", edge, Neither),
            ]);
        }
        Protocol::Reference => (),
    }
    if !probe.layer_grid.is_empty() {
        all.push(decl("layers", "1", "last blocks chosen on the held-out part", Neither));
    }
    all
}
