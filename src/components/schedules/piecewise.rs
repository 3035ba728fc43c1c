//! A curve through given points.

use ijepa_registry::prelude::*;

use super::shared::Ease;

/// Settings of `kind: piecewise`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Piecewise {
    /// Points `[when, value]`, in order of time; before the first and after the last the value stays.
    #[schemars(length(min = 1, max = 10_000), inner(inner(range(min = 0.0, max = 1e30))))]
    points: Vec<[f64; 2]>,
    /// What `when` counts.
    #[serde(default)]
    unit: Unit,
    /// What lies between two points.
    #[serde(default)]
    between: Between,
}

/// What `when` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Unit {
    /// Epochs; a step lies at its place within its epoch, the first one at 0.
    #[default]
    Epochs,
    /// Shares of the run: 0 is the first step, 1 the last one.
    Run,
}

/// What lies between two points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Between {
    /// A straight line.
    #[default]
    Linear,
    /// Half a cosine.
    Cosine,
    /// The value of the earlier point, up to the next one.
    Constant,
}

component! {
    /// A curve through given points: lines, half cosines or steps.
    ///
    /// For a momentum that grows in stages, such as `[[0, 0.95], [5, 0.99], [100, 1.0]]`, or for whatever no other
    /// schedule draws.
    schedule "piecewise" => Piecewise, example = "{ points: [[0, 0.95], [0.5, 0.99], [1, 1.0]], unit: run }",
    aliases = ["points" => "{ kind: piecewise, points: [[0, 0.95], [1, 1.0]], unit: run }"]
}

impl Piecewise {
    /// Where a step lies, in the unit of the points.
    fn place(&self, step: u64, horizon: Horizon) -> f64 {
        match self.unit {
            Unit::Epochs => step as f64 / horizon.steps_per_epoch.max(1) as f64,
            Unit::Run => step as f64 / horizon.steps.saturating_sub(1).max(1) as f64,
        }
    }
}

impl Schedule for Piecewise {
    fn check(&self, horizon: Horizon) -> Vec<Problem> {
        let mut problems = vec![];
        let end = match self.unit {
            Unit::Run => 1.0,
            Unit::Epochs => horizon.steps as f64 / horizon.steps_per_epoch.max(1) as f64,
        };
        let mut last = f64::NEG_INFINITY;
        for (i, &[when, value]) in self.points.iter().enumerate() {
            let mut problem = |field: usize, message: String| {
                problems.push(Problem::new(format!("points.{i}.{field}"), message));
            };
            if !value.is_finite() {
                problem(1, format!("is {value}; must be a finite number"));
            }
            if !(when > last && when.is_finite()) {
                problem(0, format!("{when} does not come after {last}; points stand in order of time"));
            } else if self.unit == Unit::Run && when > end {
                problem(0, format!("{when} is beyond the run, whose last step is 1"));
            }
            last = when;
        }
        if self.points.is_empty() {
            problems.push(Problem::new("points", "holds no point; write at least one `[when, value]`"));
        }
        problems
    }

    fn value(&self, step: u64, horizon: Horizon) -> f64 {
        let at = self.place(step, horizon);
        // Points up to this step.
        let passed = self.points.partition_point(|[when, _]| *when <= at);
        match (passed.checked_sub(1).map(|i| self.points[i]), self.points.get(passed)) {
            (Some([from, a]), Some(&[to, b])) => {
                let ease = match self.between {
                    Between::Constant => return a,
                    Between::Linear => Ease::Linear,
                    Between::Cosine => Ease::Cosine,
                };
                ease.between(a, b, (at - from) / (to - from))
            }
            (Some([_, only]), None) => only,
            (None, first) => first.map_or(0.0, |[_, value]| *value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Horizon = Horizon { steps: 9, steps_per_epoch: 4, images_per_step: 8 };

    fn values(unit: Unit, between: Between, points: &[[f64; 2]]) -> Vec<f64> {
        let schedule = Piecewise { points: points.to_vec(), unit, between };
        assert!(schedule.check(RUN).is_empty());
        (0..RUN.steps).map(|i| schedule.value(i, RUN)).collect()
    }

    #[test]
    fn it_goes_through_its_points_and_stays_outside() {
        let line = values(Unit::Epochs, Between::Linear, &[[0.5, 1.0], [1.5, 3.0]]);
        assert_eq!(line, [1.0, 1.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.0, 3.0]);
        let steps = values(Unit::Epochs, Between::Constant, &[[0.0, 1.0], [1.0, 0.5]]);
        assert_eq!(steps, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5]);
        let run = values(Unit::Run, Between::Cosine, &[[0.0, 0.0], [1.0, 1.0]]);
        assert!((run[4] - 0.5).abs() < 1e-12);
        assert_eq!((run[0], run[8]), (0.0, 1.0));
    }

    #[test]
    fn points_out_of_order_or_beyond_the_run_are_refused() {
        let wrong = |points: &[[f64; 2]], unit| {
            let schedule = Piecewise { points: points.to_vec(), unit, between: Between::Linear };
            schedule.check(RUN).into_iter().map(|p| p.path).collect::<Vec<_>>()
        };
        assert_eq!(wrong(&[[1.0, 0.5], [1.0, 0.6]], Unit::Epochs), ["points.1.0"]);
        assert_eq!(wrong(&[[0.0, 0.5], [2.0, 0.6]], Unit::Run), ["points.1.0"]);
        assert_eq!(wrong(&[[0.0, f64::INFINITY]], Unit::Run), ["points.0.1"]);
        assert_eq!(wrong(&[], Unit::Run), ["points"]);
    }
}
