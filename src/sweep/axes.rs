//! One parameter of a sweep: listed values, a range, or a group that is walked together.

use serde_json::{Map, Value};

use super::{
    choices::{Choice, listed, names_of, unlike},
    ranges::{Range, SCALES, Scale, bounds},
    reader::Reader,
    sweep_file::{Method, may_vary},
};
use crate::config::{Change, join, slot};

/// Where the axes stand in a sweep file.
pub(super) const PARAMETERS: &str = "parameters";

/// More values than this cannot be meant.
const MOST_POINTS: u64 = 10_000;

/// What is varied, and the values it takes.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// A path of the experiment, or the name of a group of paths.
    pub name: String,
    values: Values,
}

#[derive(Clone, Debug)]
enum Values {
    Listed(Vec<Choice>),
    Range(Range),
}

impl Axis {
    /// An axis that lists its values.
    pub fn listed(name: &str, choices: Vec<Choice>) -> Self {
        Axis { name: name.into(), values: Values::Listed(choices) }
    }

    /// Values of a grid; 0 for a range that only `random` and `sobol` draw from.
    pub fn count(&self) -> usize {
        self.choices().len()
    }

    /// Every value of a grid.
    pub fn choices(&self) -> &[Choice] {
        match &self.values {
            Values::Listed(choices) => choices,
            Values::Range(_) => &[],
        }
    }

    /// Paths of the experiment that it changes.
    pub fn paths(&self) -> Vec<&str> {
        match &self.values {
            Values::Listed(choices) => {
                choices.first().map_or(Vec::new(), |c| c.changes.iter().map(|c| c.path.as_str()).collect())
            }
            Values::Range(_) => vec![&self.name],
        }
    }

    /// The value at `share` of the way, from 0 to below 1; all values take the same room.
    pub fn at(&self, share: f64) -> Choice {
        match &self.values {
            Values::Listed(choices) => {
                let index = (share * choices.len() as f64) as usize;
                choices[index.min(choices.len() - 1)].clone()
            }
            Values::Range(range) => {
                Choice::of(Change::computed(&self.name, range.drawn(share), range.span.clone()))
            }
        }
    }
}

/// Reads an entry of the mapping at `owner`: `parameters`, or a group in it.
pub(super) fn axis(
    owner: &str,
    path: &str,
    form: &Value,
    method: Method,
    reader: &mut Reader,
) -> Option<Axis> {
    let at = join(owner, path);
    let is_group = form.get("zip").is_some() && owner == PARAMETERS;
    if !is_group && !may_vary(path, &at, reader) {
        return None;
    }
    if form.is_array() {
        return Some(Axis::listed(slot(path), listed(path, &at, form, &at, reader)?));
    }
    if is_group {
        return group(path, &at, reader.mapping(&at, form, &["zip", "names"])?, reader);
    }
    let keys = ["values", "min", "max", "points", "distribution"];
    let map = reader.mapping(&at, form, &keys)?;
    match map.get("values") {
        Some(values) => {
            if let Some(other) = keys[1..].iter().find(|k| map.contains_key(**k)) {
                reader.wrong(
                    &join(&at, other),
                    "stands beside `values`",
                    "write a list or a range, not both",
                );
            }
            Some(Axis::listed(slot(path), listed(path, &at, values, &join(&at, "values"), reader)?))
        }
        None => range(path, &at, map, method, reader),
    }
}

fn range(
    path: &str,
    at: &str,
    map: &Map<String, Value>,
    method: Method,
    reader: &mut Reader,
) -> Option<Axis> {
    let (Some(min), Some(max)) = (map.get("min"), map.get("max")) else {
        reader.wrong(
            at,
            "has neither `values` nor `min` and `max`",
            "write `{ values: [1, 2, 4] }` or `{ min: 0, max: 1, points: 3 }`",
        );
        return None;
    };
    let whole = min.is_i64() && max.is_i64();
    let (min, max) = (reader.number(&join(at, "min"), min), reader.number(&join(at, "max"), max));
    let scale =
        map.get("distribution").map_or(Some(0), |d| reader.word(&join(at, "distribution"), d, SCALES))?;
    let scale = [Scale::Linear, Scale::Log, Scale::LogOneMinus][scale];
    let range = Range { min: min?, max: max?, whole, scale, span: reader.document.places.key(at) };
    bounds(at, &range, reader)?;
    let path = slot(path);
    let points = map.get("points");
    if method.draws() {
        if points.is_some() {
            let message = format!("has no meaning for `method: {}`", method.name());
            reader.wrong(&join(at, "points"), message, "leave it out; `samples` counts the points");
        }
        return Some(Axis { name: path.into(), values: Values::Range(range) });
    }
    let Some(points) = points else {
        reader.wrong(at, "is a range without `points`", "say how many values to take, such as `points: 4`");
        return None;
    };
    let points = reader.whole(&join(at, "points"), points, 1, MOST_POINTS)?;
    Some(Axis::listed(path, range.grid(path, points)))
}

/// A group: `zip: { ema.start: [...], ema.end: [...] }`, walked together, with names if wanted.
fn group(name: &str, at: &str, map: &Map<String, Value>, reader: &mut Reader) -> Option<Axis> {
    reader.group_name(at, name)?;
    let zip = join(at, "zip");
    let inner = reader.free_mapping(&zip, &map["zip"], "a mapping of paths to values")?;
    if inner.len() < 2 {
        reader.wrong(&zip, "names fewer than two settings", "walk two or more together");
        return None;
    }
    // Every entry is a list or a range of so many points, whatever the points of the sweep are.
    let axes: Vec<Axis> = inner
        .iter()
        .map(|(path, form)| axis(&zip, path, form, Method::Zip, reader))
        .collect::<Option<_>>()?;
    let count = axes[0].count();
    for axis in &axes[1..] {
        if axis.count() != count {
            let message = format!(
                "has {} values, but `{}` has {count}; they are walked together",
                axis.count(),
                axes[0].name
            );
            reader.wrong(&join(&zip, &axis.name), message, "give the same number");
            return None;
        }
    }
    if let Some(axis) = axes.iter().find(|a| a.choices().iter().any(|c| c.name.is_some())) {
        let help = "name what they are together: `names: [slow, fast]` beside `zip`";
        reader.wrong(
            &join(&zip, &axis.name),
            "names its values, which are walked together with others",
            help,
        );
        return None;
    }
    let names = map.get("names").map(|names| names_of(&join(at, "names"), names, count, reader));
    let names = names.unwrap_or_else(|| Some(vec![None; count]))?;
    let together = |(i, called): (usize, Option<String>)| Choice {
        axis: name.into(),
        name: called,
        changes: axes.iter().flat_map(|axis| axis.choices()[i].changes.clone()).collect(),
    };
    let choices: Vec<Choice> = names.into_iter().enumerate().map(together).collect();
    unlike(&choices, &join(at, "names"), reader);
    Some(Axis::listed(name, choices))
}
