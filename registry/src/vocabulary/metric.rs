//! What a metric is: its name, its unit, and which direction is good.

use std::{cmp::Ordering, str::FromStr};

use serde::{Deserialize, Serialize};

/// Which direction of a metric is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Larger is better (accuracy, rank).
    Higher,
    /// Smaller is better (loss).
    Lower,
    /// Neither: a diagnostic.
    Neither,
}

impl Direction {
    /// The word in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Higher => "higher",
            Direction::Lower => "lower",
            Direction::Neither => "neither",
        }
    }

    /// Whether one value can be better than another.
    pub fn decides(self) -> bool {
        self != Direction::Neither
    }

    /// `difference` with improvement positive; NaN where no direction is good.
    pub fn oriented(self, difference: f64) -> f64 {
        match self {
            Direction::Higher => difference,
            Direction::Lower => -difference,
            Direction::Neither => f64::NAN,
        }
    }

    /// Orders values from good to bad; all are equal where no direction is good.
    pub fn better_first(self, a: f64, b: f64) -> Ordering {
        match self {
            Direction::Higher => b.total_cmp(&a),
            Direction::Lower => a.total_cmp(&b),
            Direction::Neither => Ordering::Equal,
        }
    }

    /// `higher is better`, as a clause.
    pub fn clause(self) -> &'static str {
        match self {
            Direction::Higher => "higher is better",
            Direction::Lower => "lower is better",
            Direction::Neither => "neither direction is better",
        }
    }
}

/// What a person may type: a direction that decides.
impl FromStr for Direction {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "higher" | "maximize" => Ok(Direction::Higher),
            "lower" | "minimize" => Ok(Direction::Lower),
            _ => Err("write `higher` or `lower`".into()),
        }
    }
}

/// A metric declared before training, so that every name and meaning is known in advance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricDecl {
    /// Name of the metric.
    pub name: &'static str,
    /// Unit: `%`, `nats`, `1` for a plain number.
    pub unit: &'static str,
    /// What it means, in one line.
    pub meaning: &'static str,
    /// Which direction is good.
    pub direction: Direction,
    /// Of a share of the images that are judged: its value if all of them count, such as 100 for an
    /// accuracy in %. The values then lie on a grid of `whole / images`. None: on no such grid.
    pub whole: Option<f64>,
}

impl MetricDecl {
    /// A metric on no grid.
    pub const fn new(
        name: &'static str,
        unit: &'static str,
        meaning: &'static str,
        direction: Direction,
    ) -> Self {
        MetricDecl { name, unit, meaning, direction, whole: None }
    }

    /// Declares a share of the judged images: `whole` if all of them count.
    pub const fn share_of(self, whole: f64) -> Self {
        MetricDecl { whole: Some(whole), ..self }
    }

    /// Distance between neighbouring values when `images` images are judged.
    pub fn step(&self, images: usize) -> Option<f64> {
        self.whole.filter(|_| images > 0).map(|whole| whole / images as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direction_orients_orders_and_reads_back() {
        use Direction::{Higher, Lower, Neither};
        assert_eq!((Higher.oriented(1.5), Lower.oriented(1.5)), (1.5, -1.5));
        assert!(Neither.oriented(1.0).is_nan() && !Neither.decides());
        assert!(Higher.better_first(2.0, 1.0).is_lt() && Lower.better_first(2.0, 1.0).is_gt());
        assert!(Neither.better_first(2.0, 1.0).is_eq());
        assert_eq!(["higher", "minimize"].map(str::parse), [Ok(Higher), Ok(Lower)]);
        assert!("neither".parse::<Direction>().is_err());
        for direction in [Higher, Lower, Neither] {
            assert_eq!(serde_json::to_value(direction).unwrap(), direction.name());
        }
    }

    #[test]
    fn a_share_of_images_moves_in_steps_of_one_image() {
        let accuracy = MetricDecl::new("top1", "%", "accuracy", Direction::Higher).share_of(100.0);
        assert_eq!((accuracy.step(128), accuracy.step(0)), (Some(0.78125), None));
        assert_eq!(MetricDecl::new("nll", "nats", "loss", Direction::Lower).step(128), None);
    }
}
