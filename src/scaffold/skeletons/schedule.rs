//! Schedule `my_schedule`.

use ijepa_registry::prelude::*;

component! {
    // TODO: say in one sentence how the value moves, then the formula and where it comes from.
    /// From one value to another, in equal steps.
    schedule "my_schedule" => MySchedule, example = "{ start: 0.9, end: 0.99 }"
}

/// Settings of `kind: my_schedule`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "ijepa_registry::serde", deny_unknown_fields, default)]
struct MySchedule {
    // TODO: your settings. Each has a sentence, a range and a default.
    /// Value of the first step, in the unit of what is scheduled.
    #[schemars(range(min = 0.0, max = 1e30))]
    start: f64,
    /// Value of the last step.
    #[schemars(range(min = 0.0, max = 1e30))]
    end: f64,
}

impl Default for MySchedule {
    fn default() -> Self {
        MySchedule { start: 1e-3, end: 1e-4 }
    }
}

impl Schedule for MySchedule {
    fn check(&self, _horizon: Horizon) -> Vec<Problem> {
        // TODO: what ranges cannot say, such as a warm-up longer than the run.
        vec![]
    }
    fn value(&self, step: u64, horizon: Horizon) -> f64 {
        // TODO: the value of this step, from 0. A run of one step has a first and no further one.
        let last = horizon.steps.saturating_sub(1).max(1);
        let share = step.min(last) as f64 / last as f64;
        (1.0 - share) * self.start + share * self.end
    }
    // TODO: what the documentation promises of the first and of the last step; it is checked.
    fn end_points(&self, horizon: Horizon) -> (Option<f64>, Option<f64>) {
        (Some(self.start), (horizon.steps > 1).then_some(self.end))
    }
}
