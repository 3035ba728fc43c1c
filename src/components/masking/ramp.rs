//! Settings that change while training goes on.

use ijepa_registry::prelude::*;
use serde_json::Value;

use super::shared::nested::Nested;

/// Settings of `kind: ramp`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ramp {
    /// The strategy at the start.
    from: Nested,
    /// The same strategy at the end.
    to: Nested,
    /// Share of the training after which the end is reached.
    #[serde(default = "whole")]
    #[schemars(range(min = 0.01, max = 1.0))]
    over: f64,
}

fn whole() -> f64 {
    1.0
}

component! {
    /// A strategy whose numbers move evenly from one set of settings to another, epoch by epoch.
    ///
    /// Every number of the settings is interpolated by the share of the epochs that is over, divided by `over`; counts
    /// are rounded. `{ from: { kind: multiblock, targets: 2 }, to: { kind: multiblock, targets: 6 } }` asks
    /// for more as training goes on; larger or smaller blocks, and shares, likewise. Settings that are no numbers have
    /// to be equal. The way is walked in 32 steps, each of which is checked before training.
    masking "ramp" => Ramp,
    example = "{ from: { kind: random, ratio: [0.3, 0.4] }, to: { kind: random, ratio: [0.6, 0.7] } }",
    aliases = [
        "curriculum" => "{ kind: ramp, from: { kind: random, ratio: [0.3, 0.4] }, to: { kind: random, ratio: [0.6, 0.7] } }",
        "scheduled" => "{ kind: ramp, from: { kind: random, ratio: [0.3, 0.4] }, to: { kind: random, ratio: [0.6, 0.7] } }"
    ]
}

/// Steps of the way.
const STEPS: usize = 32;

impl Ramp {
    /// Step of the way, from 0 to [`STEPS`].
    fn step(&self, progress: f64) -> usize {
        ((progress / self.over).min(1.0) * STEPS as f64).round() as usize
    }

    /// The strategy at a step of the way.
    fn at(&self, step: usize) -> Result<Nested, String> {
        let settings = between(&self.from.settings, &self.to.settings, step as f64 / STEPS as f64)?;
        Nested::new(&self.from.kind, &settings)
    }

    fn different(&self) -> Option<Problem> {
        (self.from.kind != self.to.kind).then(|| {
            let message = format!("is `{}`, and `from` is `{}`", self.to.kind, self.from.kind);
            Problem::new("to.kind", message)
                .help("both ends of a ramp are one strategy; `multi` mixes several")
        })
    }
}

/// Every number moved by `share` of its way; whole numbers stay whole.
fn between(from: &Value, to: &Value, share: f64) -> Result<Value, String> {
    match (from, to) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            let [a, b] = [a, b].map(|n| n.as_f64().unwrap_or_default());
            Ok((a + share * (b - a)).into())
        }
        (Value::Number(a), Value::Number(b)) => {
            let [a, b] = [a, b].map(|n| n.as_f64().unwrap_or_default());
            Ok(((a + share * (b - a)).round() as u64).into())
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).map(|(a, b)| between(a, b, share)).collect()
        }
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            let entry = |(key, a): (&String, &Value)| {
                let b = b.get(key).unwrap_or(&Value::Null);
                Ok((key.clone(), between(a, b, share).map_err(|why| format!("{key}: {why}"))?))
            };
            a.iter().map(entry).collect::<Result<serde_json::Map<_, _>, String>>().map(Value::Object)
        }
        (a, b) if a == b => Ok(a.clone()),
        (a, b) => Err(format!("{a} cannot become {b} step by step")),
    }
}

impl Masking for Ramp {
    fn check(&self, grid: Grid) -> Vec<Problem> {
        if let Some(problem) = self.different() {
            return vec![problem];
        }
        if !(0.01..=1.0).contains(&self.over) {
            return vec![Problem::new("over", format!("is {}; allowed is 0.01 to 1", self.over))];
        }
        let ends = [("from", &self.from), ("to", &self.to)];
        let wrong: Vec<Problem> = ends.into_iter().flat_map(|(path, end)| end.check(grid, path)).collect();
        if !wrong.is_empty() {
            return wrong;
        }
        let of_step = |step: usize| match self.at(step) {
            Ok(strategy) => strategy.check(grid, "").into_iter().next(),
            Err(why) => Some(Problem::new("", why)),
        };
        let middle = (1..STEPS).find_map(|step| Some((step, of_step(step)?)));
        let sentence = |(step, problem): (usize, Problem)| {
            let share = 100.0 * step as f64 / STEPS as f64;
            Problem {
                message: format!("{share:.0} % of the way: {} {}", problem.path, problem.message),
                ..problem
            }
        };
        middle.map(sentence).map(|p| Problem { path: "to".into(), ..p }).into_iter().collect()
    }
    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
        let strategy = self.at(self.step(draw.progress));
        strategy.as_ref().unwrap_or(&self.to).object.sample(grid, draw)
    }
    fn allows_overlap(&self) -> bool {
        self.from.object.allows_overlap()
    }
    fn min_context(&self) -> usize {
        self.from.object.min_context().min(self.to.object.min_context())
    }
    fn follows_progress(&self) -> bool {
        true
    }
    fn sees_images(&self) -> bool {
        self.from.object.sees_images()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const GRID: Grid = Grid { rows: 8, cols: 8 };

    fn ramp(from: Value, to: Value, over: f64) -> Ramp {
        let [from, to] = [from, to].map(|settings| Nested::new("multiblock", &settings).unwrap());
        Ramp { from, to, over }
    }

    #[test]
    fn counts_and_shares_move_with_the_epochs() {
        let grows = ramp(json!({ "targets": 2 }), json!({ "targets": 6 }), 0.5);
        assert_eq!(grows.check(GRID), vec![]);
        let blocks = |progress| {
            let draw = BatchDraw { images: vec![0], progress, ..BatchDraw::default() };
            grows.sample(GRID, &draw).plans[0].views[0].targets.len()
        };
        assert_eq!([0.0, 0.125, 0.25, 0.5, 0.99].map(blocks), [2, 3, 4, 6, 6]);
        let shrinks = ramp(json!({ "target_scale": [0.3, 0.4] }), json!({ "target_scale": [0.1, 0.2] }), 1.0);
        let half = shrinks.at(STEPS / 2).unwrap().settings["target_scale"].clone();
        assert!(
            (half[0].as_f64().unwrap() - 0.2).abs() < 1e-9 && (half[1].as_f64().unwrap() - 0.3).abs() < 1e-9
        );
    }

    #[test]
    fn ends_that_do_not_meet_are_refused() {
        let other =
            Ramp { to: Nested::new("random", &json!({})).unwrap(), ..ramp(json!({}), json!({}), 1.0) };
        assert_eq!(other.check(GRID)[0].path, "to.kind");
        let words = ramp(json!({ "aspect": "correlated" }), json!({}), 1.0);
        assert!(words.check(GRID)[0].message.contains("cannot become"), "{:?}", words.check(GRID));
        assert_eq!(ramp(json!({}), json!({ "targets": 0 }), 1.0).check(GRID)[0].path, "to.targets");
    }
}
