//! An average that grows.

use ijepa_registry::prelude::*;

/// Settings of `kind: growing`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Growing {
    /// Greatest momentum.
    #[schemars(range(min = 0.0, max = 1.0), extend("x-aliases" = ["max", "momentum"]))]
    end: f64,
    /// Steps that count for nothing at the start: the first momentum is `1 / offset`.
    #[schemars(range(min = 1.0, max = 1e9))]
    offset: f64,
}

impl Default for Growing {
    fn default() -> Self {
        Growing { end: 0.999, offset: 10.0 }
    }
}

component! {
    /// A momentum whose average covers a fixed share of all steps so far, up to a greatest momentum.
    ///
    /// In step `i` (from 0): `min(end, (1 + i) / (offset + i))`. The average covers about `i / (offset - 1)` steps: it
    /// leaves the initial weights quickly and grows with the run. The rule of TensorFlow's
    /// `ExponentialMovingAverage(decay, num_updates)`, where `offset` is 10.
    schedule "growing" => Growing, example = "{ end: 0.999, offset: 10 }"
}

impl Schedule for Growing {
    fn check(&self, _: Horizon) -> Vec<Problem> {
        let mut problems = vec![];
        if !(0.0..=1.0).contains(&self.end) {
            problems.push(Problem::new("end", format!("a momentum of {}; allowed are 0 to 1", self.end)));
        }
        if !(self.offset >= 1.0 && self.offset.is_finite()) {
            problems.push(Problem::new("offset", format!("is {}; allowed are 1 or more", self.offset)));
        }
        problems
    }

    fn value(&self, step: u64, _: Horizon) -> f64 {
        self.end.min((1.0 + step as f64) / (self.offset + step as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_from_a_tenth_to_its_end() {
        let run = Horizon { steps: 20_000, steps_per_epoch: 100, images_per_step: 8 };
        let at = [0, 8, 89, 19_999].map(|step| Growing::default().value(step, run));
        assert_eq!(at, [0.1, 0.5, 90.0 / 99.0, 0.999]);
        assert_eq!(Growing { end: 1.5, offset: 0.0 }.check(run).len(), 2);
    }
}
