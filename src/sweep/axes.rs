//! One parameter of a sweep: listed values, or a range.

use serde_json::{Map, Value, json};

use super::{
    reader::Reader,
    sweep_file::{Method, may_vary},
};
use crate::config::{Change, Span, join, slot};

/// More values than this cannot be meant.
const MOST_POINTS: u64 = 10_000;

/// A path of the experiment and the values it takes.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub path: String,
    values: Values,
}

#[derive(Clone, Debug)]
enum Values {
    Listed(Vec<Change>),
    Range(Range),
}

#[derive(Clone, Debug)]
struct Range {
    min: f64,
    max: f64,
    /// Both ends are whole numbers, so every value is one.
    whole: bool,
    scale: Scale,
    span: Span,
}

/// Where values between two ends lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
    /// Logarithmic in the distance from 1, for momenta.
    LogOneMinus,
}

pub(super) const SCALES: &[&str] = &["linear", "log", "log_one_minus"];

impl Axis {
    /// An axis that lists its values.
    pub fn listed(path: &str, changes: Vec<Change>) -> Self {
        Axis { path: slot(path).into(), values: Values::Listed(changes) }
    }

    /// Values of a grid; 0 for a range that only `random` and `sobol` draw from.
    pub fn count(&self) -> usize {
        self.changes().len()
    }

    /// Every value of a grid.
    pub fn changes(&self) -> &[Change] {
        match &self.values {
            Values::Listed(changes) => changes,
            Values::Range(_) => &[],
        }
    }

    /// The value at `share` of the way, from 0 to below 1; all values take the same room.
    pub fn at(&self, share: f64) -> Change {
        match &self.values {
            Values::Listed(changes) => {
                let index = (share * changes.len() as f64) as usize;
                changes[index.min(changes.len() - 1)].clone()
            }
            Values::Range(range) => {
                let value = if range.whole && range.scale == Scale::Linear {
                    let offset = (share * (range.max - range.min + 1.0)).min(range.max - range.min);
                    json!(range.min as i64 + offset as i64)
                } else {
                    range.at(share)
                };
                Change::computed(&self.path, value, range.span.clone())
            }
        }
    }
}

impl Range {
    /// The value at `share` of the way, short enough to be read.
    fn at(&self, share: f64) -> Value {
        let between = |a: f64, b: f64| a + share * (b - a);
        let value = match self.scale {
            _ if share == 0.0 => self.min,
            _ if share == 1.0 => self.max,
            Scale::Linear => digits(between(self.min, self.max)),
            Scale::Log => digits(between(self.min.ln(), self.max.ln()).exp()),
            Scale::LogOneMinus => {
                let distance = digits(between((1.0 - self.min).ln(), (1.0 - self.max).ln()).exp());
                decimals(1.0 - distance)
            }
        };
        if self.whole { json!(value.round() as i64) } else { json!(value) }
    }

    /// `points` values from end to end, each once.
    fn grid(&self, path: &str, points: u64) -> Vec<Change> {
        let mut values: Vec<Value> = Vec::new();
        for i in 0..points {
            let value = self.at(if points == 1 { 0.0 } else { i as f64 / (points - 1) as f64 });
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values.into_iter().map(|v| Change::computed(path, v, self.span.clone())).collect()
    }
}

/// Six significant digits.
fn digits(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}

/// Twelve decimals: takes away what a subtraction from 1 adds.
fn decimals(x: f64) -> f64 {
    format!("{x:.12}").parse().unwrap_or(x)
}

/// Reads one entry of `parameters`.
pub(super) fn axis(path: &str, form: &Value, method: Method, reader: &mut Reader) -> Option<Axis> {
    let at = join("parameters", path);
    if !may_vary(path, &at, reader) {
        return None;
    }
    if form.is_array() {
        return listed(path, &at, form, &at, reader);
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
            listed(path, &at, values, &join(&at, "values"), reader)
        }
        None => range(path, &at, map, method, reader),
    }
}

fn listed(path: &str, key: &str, values: &Value, from: &str, reader: &mut Reader) -> Option<Axis> {
    let items = reader.list(from, values)?;
    let document = reader.document;
    let mut changes = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let at = join(from, &i.to_string());
        if items[..i].contains(item) {
            reader.wrong(&at, format!("the value {} is there twice", super::points::shown(item)), "");
        }
        changes.push(Change::typed(path, document, key, &at, item));
    }
    Some(Axis::listed(path, changes))
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
        return Some(Axis { path: path.into(), values: Values::Range(range) });
    }
    let Some(points) = points else {
        reader.wrong(at, "is a range without `points`", "say how many values to take, such as `points: 4`");
        return None;
    };
    let points = reader.whole(&join(at, "points"), points, 1, MOST_POINTS)?;
    Some(Axis::listed(path, range.grid(path, points)))
}

fn bounds(at: &str, range: &Range, reader: &mut Reader) -> Option<()> {
    let Range { min, max, scale, .. } = range;
    if min >= max {
        reader.wrong(&join(at, "max"), format!("is {max}, not above `min`, {min}"), "");
    } else if *scale == Scale::Log && *min <= 0.0 {
        reader.wrong(&join(at, "min"), format!("is {min}; a log range starts above 0"), "");
    } else if *scale == Scale::LogOneMinus && *max >= 1.0 {
        let help = "end below 1, such as max: 0.9999";
        reader.wrong(&join(at, "max"), format!("is {max}; a log_one_minus range ends below 1"), help);
    } else {
        return Some(());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(min: f64, max: f64, whole: bool, scale: Scale) -> Range {
        Range { min, max, whole, scale, span: Span::Override("".into()) }
    }

    fn values(range: Range, points: u64) -> Vec<Value> {
        range.grid("a.b", points).into_iter().map(|c| c.value.value).collect()
    }

    #[test]
    fn ranges_hold_their_ends_and_readable_values_between() {
        assert_eq!(values(range(0.0, 1.0, false, Scale::Linear), 3), [json!(0.0), json!(0.5), json!(1.0)]);
        assert_eq!(values(range(1.0, 100.0, true, Scale::Log), 3), [json!(1), json!(10), json!(100)]);
        assert_eq!(values(range(1.0, 3.0, true, Scale::Linear), 9), [json!(1), json!(2), json!(3)]);
        let momenta = values(range(0.9, 0.999, false, Scale::LogOneMinus), 3);
        assert_eq!(momenta, [json!(0.9), json!(0.99), json!(0.999)]);
    }
}
