//! Tables of runs drawn by chance, judged by the program's own functions.

use ijepa_registry::{metric::Direction, rng::Stream};
use ijepa_run::analysis::{
    Absence, Contrast, Question, Reading, Summary, Verdict, judged, stats::common_step,
};
use statrs::distribution::{ContinuousCDF, Normal};

use crate::cells::{Block, Cell, Pairing, Shape};

/// What many tables of a cell came to.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub tables: u64,
    /// Tables with at least one false verdict.
    pub wrong: u64,
    /// Tables whose first comparison got the right verdict.
    pub right: u64,
    /// Tables in which the baseline's interval holds its mean, of those where it has one.
    pub held: u64,
    pub intervals: u64,
    /// Tables in which every interval of a difference holds the true one, of those that have any.
    pub held_together: u64,
    pub families: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.tables += other.tables;
        self.wrong += other.wrong;
        self.right += other.right;
        self.held += other.held;
        self.intervals += other.intervals;
        self.held_together += other.held_together;
        self.families += other.families;
    }
}

/// Level of the accuracies in %.
const LEVEL: f64 = 70.0;

/// A cell with what its tables need.
pub struct Simulation {
    cell: Cell,
    /// Difference of the arms' means from the baseline's.
    shift: f64,
    margin: Option<f64>,
    /// A run breaks if its luck is below: of the baseline, and of the arms.
    thresholds: (f64, f64),
}

impl Simulation {
    pub fn new(cell: Cell) -> Self {
        let deviation = deviation(cell.shape);
        let baseline_breaks_more = cell.breaks.0 > cell.breaks.1;
        let shift = match cell.block {
            Block::Null | Block::Broken => 0.0,
            // Towards the side that is known to break less: its sound runs are better too.
            Block::Margin => {
                if baseline_breaks_more {
                    deviation
                } else {
                    -deviation
                }
            }
            Block::Power => deviation,
        };
        let margin = (cell.block == Block::Margin).then_some(deviation);
        // Half of what decides is the luck that also moves the value.
        let threshold = |rate: f64| {
            if rate == 0.0 { f64::NEG_INFINITY } else { 2f64.sqrt() * Normal::standard().inverse_cdf(rate) }
        };
        let thresholds = (threshold(cell.breaks.0), threshold(cell.breaks.1));
        Simulation { cell, shift, margin, thresholds }
    }

    /// Judges `count` tables; `part` names their random numbers.
    pub fn run(&self, index: usize, part: u64, count: u64) -> Counts {
        let mut stream = Stream::new(11, "benches/verdicts", index as u64, part);
        let mut counts = Counts::default();
        for _ in 0..count {
            self.table(&mut stream, &mut counts);
        }
        counts
    }

    fn table(&self, stream: &mut Stream, counts: &mut Counts) {
        let Cell { n, contrasts, pairing, .. } = self.cell;
        let shared: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        // Where between two steps of the grid the mean lies.
        let offset = stream.uniform();
        let arms: Vec<Summary> = (0..=contrasts)
            .map(|arm| {
                let readings = (0..n).map(|i| {
                    let seed = if pairing == Pairing::None { 1000 * arm + i } else { i };
                    Reading {
                        seed: Some(seed.to_string()),
                        value: self.run_value(arm, shared[i], offset, stream),
                    }
                });
                Summary::new("", "", readings.collect())
            })
            .collect();
        let step = match self.cell.shape {
            Shape::Accuracy { images, declared: true, .. } => Some(100.0 / f64::from(images)),
            _ => common_step(&arms.iter().flat_map(|arm| &arm.values).copied().collect::<Vec<_>>()),
        };
        let question =
            Question { goal: Direction::Higher, margin: self.margin, step, unjudged: String::new() };
        let found = judged(&arms, 0, &question);
        counts.tables += 1;
        counts.wrong += u64::from(found.iter().any(|c| self.is_false(c.verdict)));
        counts.right += u64::from(found[0].verdict == Verdict::Better);
        if self.cell.block == Block::Null {
            self.cover(&arms[0], &found, step, offset, counts);
        }
    }

    fn run_value(&self, arm: usize, shared: f64, offset: f64, stream: &mut Stream) -> Result<f64, Absence> {
        let correlation = if let Pairing::Seeds(correlation) = self.cell.pairing { correlation } else { 0.0 };
        let z = correlation.sqrt() * shared + (1.0 - correlation).sqrt() * stream.normal();
        let threshold = if arm == 0 { self.thresholds.0 } else { self.thresholds.1 };
        if threshold.is_finite() && z + stream.normal() < threshold {
            return Err(Absence::Diverged);
        }
        let shift = if arm == 0 { 0.0 } else { self.shift };
        Ok(match self.cell.shape {
            Shape::Normal => z + shift,
            Shape::T3 => {
                let squares: f64 = (0..3).map(|_| stream.normal().powi(2)).sum();
                z / (squares / 3.0).sqrt() + shift
            }
            Shape::LogNormal => z.exp() + shift,
            Shape::Outliers => z + shift + if stream.chance(0.05) { 10.0 * stream.normal() } else { 0.0 },
            Shape::Accuracy { images, deviation, .. } => {
                let step = 100.0 / f64::from(images);
                ((LEVEL + deviation * z + shift) / step + offset).round() * step
            }
        })
    }

    fn is_false(&self, verdict: Verdict) -> bool {
        let (baseline, arm) = self.cell.breaks;
        match verdict {
            Verdict::Equivalent => true,
            // A shift that is there is no mistake.
            Verdict::Better => self.shift <= 0.0 && arm >= baseline,
            Verdict::Worse => self.shift >= 0.0 && arm <= baseline,
            _ => false,
        }
    }

    fn cover(
        &self,
        baseline: &Summary,
        found: &[Contrast],
        step: Option<f64>,
        offset: f64,
        counts: &mut Counts,
    ) {
        if let Some(interval) = baseline.interval(step) {
            let mean = self.mean(offset);
            counts.intervals += 1;
            counts.held += u64::from(interval.low <= mean && mean <= interval.high);
        }
        let mut ends = found.iter().map(Contrast::interval).filter(|ends| ends.0.is_finite()).peekable();
        if ends.peek().is_some() {
            counts.families += 1;
            counts.held_together += u64::from(ends.all(|(low, high)| low <= 0.0 && 0.0 <= high));
        }
    }

    /// The mean of the baseline's values.
    fn mean(&self, offset: f64) -> f64 {
        match self.cell.shape {
            Shape::LogNormal => 0.5f64.exp(),
            Shape::Accuracy { images, deviation, .. } => {
                rounded_mean(100.0 / f64::from(images), deviation, offset)
            }
            _ => 0.0,
        }
    }
}

/// Mean of normal values around the level after rounding.
fn rounded_mean(step: f64, deviation: f64, offset: f64) -> f64 {
    if deviation > step {
        // Rounding moves the mean by less than 1e-8 steps.
        return LEVEL + offset * step;
    }
    let centre = LEVEL / step + offset;
    let below = |x: f64| Normal::standard().cdf((x - centre) * step / deviation);
    let chance = |k: f64| below(k + 0.5) - below(k - 0.5);
    let near = (-12..=12).map(|k| centre.round() + f64::from(k));
    step * near.map(|k| k * chance(k)).sum::<f64>()
}

/// Standard deviation of a run.
fn deviation(shape: Shape) -> f64 {
    match shape {
        Shape::Normal => 1.0,
        Shape::T3 => 3f64.sqrt(),
        Shape::LogNormal => ((1f64.exp() - 1.0) * 1f64.exp()).sqrt(),
        Shape::Outliers => (1.0 + 0.05 * 100.0f64).sqrt(),
        Shape::Accuracy { deviation, .. } => deviation,
    }
}
