//! A range of numbers: where values between its ends lie.

use serde_json::{Value, json};

use super::{choices::Choice, reader::Reader};
use crate::config::{Change, Span, join};

/// A range of numbers.
#[derive(Clone, Debug)]
pub(super) struct Range {
    pub min: f64,
    pub max: f64,
    /// Both ends are whole numbers, so every value is one.
    pub whole: bool,
    pub scale: Scale,
    pub span: Span,
}

/// Where values between two ends lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    Log,
    /// Logarithmic in the distance from 1, for momenta.
    LogOneMinus,
}

pub(super) const SCALES: &[&str] = &["linear", "log", "log_one_minus"];

impl Range {
    /// The value at `share` of the way, from 0 to below 1; whole numbers take the same room.
    pub fn drawn(&self, share: f64) -> Value {
        if !(self.whole && self.scale == Scale::Linear) {
            return self.at(share);
        }
        let offset = (share * (self.max - self.min + 1.0)).min(self.max - self.min);
        json!(self.min as i64 + offset as i64)
    }

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
    pub fn grid(&self, path: &str, points: u64) -> Vec<Choice> {
        let mut values: Vec<Value> = Vec::new();
        for i in 0..points {
            let value = self.at(if points == 1 { 0.0 } else { i as f64 / (points - 1) as f64 });
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values.into_iter().map(|v| Choice::of(Change::computed(path, v, self.span.clone()))).collect()
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

/// Ends that make a range on its scale; reported if not.
pub(super) fn bounds(at: &str, range: &Range, reader: &mut Reader) -> Option<()> {
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
        range.grid("a.b", points).into_iter().map(|c| c.changes[0].value.value.clone()).collect()
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
