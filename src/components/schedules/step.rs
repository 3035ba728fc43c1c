//! A staircase.

use ijepa_registry::prelude::*;

/// Settings of `kind: step`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Value of the first step.
    #[schemars(range(min = 0.0, max = 1e30))]
    start: f64,
    /// What the value is multiplied by at each stair (`gamma` of PyTorch).
    #[serde(default = "tenth")]
    #[schemars(range(min = 0.0, max = 1e6), extend("x-aliases" = ["gamma"]))]
    factor: f64,
    /// Epochs from one stair to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1e-9, max = 1e9), extend("x-aliases" = ["step_size"]))]
    every_epochs: Option<f64>,
    /// Epochs of the stairs, in order; in place of `every_epochs`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 0.0, max = 1e9)), extend("x-aliases" = ["milestones"]))]
    at_epochs: Vec<f64>,
}

fn tenth() -> f64 {
    0.1
}

component! {
    /// A staircase: the value is multiplied by `factor` every so many epochs, or at given ones.
    ///
    /// PyTorch's `StepLR` and `MultiStepLR`, stepped once an epoch. The linear probes of the I-JEPA paper divide
    /// their learning rate by 10 every 15 epochs (Assran et al. 2023, appendix A.2).
    schedule "step" => Step, example = "{ start: 0.1, factor: 0.1, every_epochs: 15 }",
    aliases = ["multistep" => "{ kind: step, start: 0.1, at_epochs: [30, 60] }",
        "staircase" => "{ kind: step, start: 0.1, every_epochs: 15 }"]
}

impl Schedule for Step {
    fn check(&self, _: Horizon) -> Vec<Problem> {
        let mut problems = vec![];
        match (self.every_epochs, self.at_epochs.is_empty()) {
            (Some(every), true) if every.is_nan() || every <= 0.0 => {
                problems.push(Problem::new("every_epochs", format!("is {every}; must be above 0")));
            }
            (Some(_), true) | (None, false) => {}
            (None, true) => problems.push(
                Problem::new("", "has no stair").help("write `every_epochs: 15`, or `at_epochs: [30, 60]`"),
            ),
            (Some(_), false) => problems.push(
                Problem::new(
                    "at_epochs",
                    "stands beside `every_epochs`; one of them says where the stairs are",
                )
                .help("remove one of them"),
            ),
        }
        if let Some(i) = (1..self.at_epochs.len()).find(|&i| self.at_epochs[i] <= self.at_epochs[i - 1]) {
            let message = format!(
                "{} does not come after {}; stairs stand in order",
                self.at_epochs[i],
                self.at_epochs[i - 1]
            );
            problems.push(Problem::new(format!("at_epochs.{i}"), message));
        }
        problems
    }

    fn value(&self, step: u64, horizon: Horizon) -> f64 {
        let epoch = step as f64 / horizon.steps_per_epoch.max(1) as f64;
        let stairs = match self.every_epochs {
            Some(every) => (epoch / every).floor(),
            None => self.at_epochs.iter().filter(|&&at| at <= epoch).count() as f64,
        };
        self.start * self.factor.powf(stairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Horizon = Horizon { steps: 12, steps_per_epoch: 2, images_per_step: 8 };

    fn values(schedule: &Step) -> Vec<f64> {
        (0..RUN.steps).map(|i| schedule.value(i, RUN)).collect()
    }

    #[test]
    fn stairs_lie_at_whole_numbers_of_epochs() {
        let even = Step { start: 1.0, factor: 0.5, every_epochs: Some(2.0), at_epochs: vec![] };
        assert_eq!(values(&even), [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]);
        let given = Step { every_epochs: None, at_epochs: vec![1.0, 5.0], ..even };
        assert_eq!(values(&given), [1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn stairs_are_said_once_and_in_order() {
        let problem = |every_epochs, at_epochs: &[f64]| {
            let schedule = Step { start: 1.0, factor: 0.1, every_epochs, at_epochs: at_epochs.to_vec() };
            schedule.check(RUN).first().map(|p| p.path.clone())
        };
        assert_eq!(problem(None, &[]).as_deref(), Some(""));
        assert_eq!(problem(Some(1.0), &[2.0]).as_deref(), Some("at_epochs"));
        assert_eq!(problem(None, &[2.0, 2.0]).as_deref(), Some("at_epochs.1"));
        assert_eq!(problem(Some(0.0), &[]).as_deref(), Some("every_epochs"));
        assert_eq!(problem(Some(1.0), &[]), None);
    }
}
