//! Values to pixels: linear and logarithmic scales, names, and where ticks stand.

use crate::analysis::render::short;

/// How values lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spacing {
    /// In proportion.
    Linear,
    /// By their logarithm.
    Log,
    /// By the logarithm of their distance from 1: momenta.
    LogOneMinus,
}

impl Spacing {
    fn of(self, x: f64) -> f64 {
        match self {
            Spacing::Linear => x,
            Spacing::Log => x.log10(),
            Spacing::LogOneMinus => -(1.0 - x).log10(),
        }
    }

    /// A word for the title of an axis.
    pub fn note(self) -> &'static str {
        match self {
            Spacing::Linear => "",
            Spacing::Log => " (log scale)",
            Spacing::LogOneMinus => " (log scale in the distance from 1)",
        }
    }

    /// The spacing in which the values, sorted and distinct, are most even. A logarithmic one must
    /// be clearly better, and needs three values to show itself.
    pub fn that_suits(values: &[f64]) -> Self {
        let positive = values.first().is_some_and(|x| *x > 0.0);
        let momenta = positive && values.last().is_some_and(|x| *x < 1.0);
        let linear = unevenness(values, Spacing::Linear);
        let better = |spacing| unevenness(values, spacing) < 0.5 * linear;
        match values.len() {
            0..3 => Spacing::Linear,
            _ if positive && better(Spacing::Log) => Spacing::Log,
            _ if momenta && better(Spacing::LogOneMinus) => Spacing::LogOneMinus,
            _ => Spacing::Linear,
        }
    }
}

/// Standard deviation of the gaps over their mean.
fn unevenness(values: &[f64], spacing: Spacing) -> f64 {
    let gaps: Vec<f64> = values.windows(2).map(|w| spacing.of(w[1]) - spacing.of(w[0])).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    variance.sqrt() / mean
}

/// A tick: where, and its label.
pub(crate) type Tick = (f64, String);

/// An axis from pixel to pixel.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    spacing: Spacing,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    /// Pixel and label of every tick.
    pub ticks: Vec<Tick>,
}

impl Axis {
    /// An axis over `low..=high` with about `count` round ticks.
    pub fn new(spacing: Spacing, (low, high): (f64, f64), (from, to): (f64, f64), count: usize) -> Self {
        let (low, high) = widened(low, high);
        let mut axis = Axis { spacing, low, high, from, to, ticks: Vec::new() };
        let values = if spacing == Spacing::Linear { round(low, high, count) } else { decades(&axis, count) };
        axis.ticks = values.into_iter().map(|v| (axis.at(v), tick_label(v))).collect();
        axis
    }

    /// An axis over the values of a parameter, a tick at each that has room.
    pub fn of_values(values: &[f64], (from, to): (f64, f64)) -> Self {
        let spacing = Spacing::that_suits(values);
        let (low, high) = (values[0], values[values.len() - 1]);
        let (low, high) = widened(low, high);
        let inset = 0.06 * (to - from);
        let mut axis = Axis { spacing, low, high, from: from + inset, to: to - inset, ticks: Vec::new() };
        for value in values {
            let (place, label) = (axis.at(*value), tick_label(*value));
            let room = 7.0 * label.len() as f64;
            if axis.ticks.last().is_none_or(|(last, _)| place - last >= room) {
                axis.ticks.push((place, label));
            }
        }
        axis
    }

    /// Pixel of a value.
    pub fn at(&self, value: f64) -> f64 {
        let of = |x| self.spacing.of(x);
        self.from + (of(value) - of(self.low)) / (of(self.high) - of(self.low)) * (self.to - self.from)
    }

    /// How values lie.
    pub fn spacing(&self) -> Spacing {
        self.spacing
    }

    /// Whether a value is on the axis.
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// A value, or the end of the axis that it lies beyond.
    pub fn held(&self, value: f64) -> f64 {
        value.clamp(self.low, self.high)
    }
}

/// Ends that are apart.
fn widened(low: f64, high: f64) -> (f64, f64) {
    if low < high {
        return (low, high);
    }
    let half = if low == 0.0 { 1.0 } else { 0.05 * low.abs() };
    (low - half, high + half)
}

/// Multiples of 1, 2 or 5 times a power of ten in `low..=high`, about `count`.
fn round(low: f64, high: f64, count: usize) -> Vec<f64> {
    let raw = (high - low) / count.max(1) as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|f| f * power).into_iter().find(|s| *s >= raw).unwrap_or(raw);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    // A product of a whole number has fewer wrong digits than a sum of steps.
    (first..=last).map(|i| short_decimal(i as f64 * step)).collect()
}

fn short_decimal(x: f64) -> f64 {
    format!("{x:.12e}").parse().unwrap_or(x)
}

/// Powers of ten on a logarithmic axis, with 2 and 5 where there are few.
fn decades(axis: &Axis, count: usize) -> Vec<f64> {
    let (low, high) = (axis.spacing.of(axis.low), axis.spacing.of(axis.high));
    let factors: &[f64] = if high - low > 2.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let powers = (low.floor() as i32)..=(high.ceil() as i32);
    let all = powers.flat_map(|p| factors.iter().map(move |f| f * 10f64.powi(p))).map(short_decimal);
    let values: Vec<f64> = all.filter(|v| axis.holds(*v)).collect();
    if values.len() < 2 { round(axis.low, axis.high, count) } else { values }
}

/// A value as a label: as short as it can be.
pub(crate) fn tick_label(x: f64) -> String {
    let plain = if x == 0.0 || (1e-4..1e6).contains(&x.abs()) {
        format!("{}", short_decimal(x))
    } else {
        format!("{x:e}")
    };
    let text = if plain.len() <= 8 { plain } else { short(x) };
    text.replacen('-', "\u{2212}", usize::from(x < 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spacing_follows_the_values() {
        assert_eq!(Spacing::that_suits(&[1.0, 2.0, 3.0, 4.0, 6.0, 8.0]), Spacing::Linear);
        assert_eq!(Spacing::that_suits(&[1.0, 2.0, 4.0, 8.0]), Spacing::Log);
        assert_eq!(Spacing::that_suits(&[1e-4, 3e-4, 1e-3, 3e-3]), Spacing::Log);
        assert_eq!(Spacing::that_suits(&[0.9, 0.99, 0.999]), Spacing::LogOneMinus);
        assert_eq!(Spacing::that_suits(&[0.0, 10.0, 100.0]), Spacing::Linear);
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let labels = |axis: Axis| axis.ticks.into_iter().map(|(_, l)| l).collect::<Vec<_>>();
        let axis = Axis::new(Spacing::Linear, (0.13, 0.41), (0.0, 100.0), 4);
        assert_eq!(labels(axis), ["0.2", "0.3", "0.4"]);
        let axis = Axis::new(Spacing::Log, (0.02, 30.0), (100.0, 0.0), 4);
        assert_eq!(labels(axis), ["0.1", "1", "10"]);
        let flat = Axis::new(Spacing::Linear, (5.0, 5.0), (0.0, 10.0), 3);
        assert_eq!(flat.at(5.0), 5.0);
    }
}
