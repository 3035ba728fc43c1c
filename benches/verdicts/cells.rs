//! The cells of the simulation: what is crossed with what.

use std::fmt;

/// How values scatter around the mean of their arm.
#[derive(Clone, Copy, PartialEq)]
pub enum Shape {
    Normal,
    /// Student's t with three degrees of freedom.
    T3,
    /// Exponential of a normal value.
    LogNormal,
    /// Normal; one run in twenty gets ten times that on top.
    Outliers,
    /// Normal with this deviation in points, rounded to shares of so many images. Whether the run folder
    /// declares the step, or it is found in the values as in files of other programs.
    Accuracy {
        images: u32,
        deviation: f64,
        declared: bool,
    },
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Shape::Normal => write!(f, "normal"),
            Shape::T3 => write!(f, "t3"),
            Shape::LogNormal => write!(f, "lognormal"),
            Shape::Outliers => write!(f, "5 % outliers"),
            Shape::Accuracy { images, deviation, declared } => {
                write!(
                    f,
                    "{images} images sd {deviation}{}",
                    if *declared { "" } else { " (step not declared)" }
                )
            }
        }
    }
}

/// Which test arms of these runs get.
#[derive(Clone, Copy, PartialEq)]
pub enum Pairing {
    /// Equal seeds; their values are correlated like this.
    Seeds(f64),
    /// No seed in common.
    None,
}

impl fmt::Display for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Pairing::Seeds(correlation) => write!(f, "paired {correlation}"),
            Pairing::None => write!(f, "unpaired"),
        }
    }
}

/// What a block of cells asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// No effect, no run breaks: `better` and `worse` are false.
    Null,
    /// No effect on sound runs, unlucky runs break: `better` is false where the arms break more by design,
    /// `worse` where the baseline does, both where neither does.
    Broken,
    /// A margin of one deviation, and a true difference just as large: `equivalent` is false.
    Margin,
    /// A true difference of one deviation: `better` is right.
    Power,
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Block::Null => "null",
            Block::Broken => "broken",
            Block::Margin => "margin",
            Block::Power => "power",
        })
    }
}

/// One cell.
#[derive(Clone, Copy)]
pub struct Cell {
    pub block: Block,
    /// Runs per arm.
    pub n: usize,
    pub pairing: Pairing,
    pub shape: Shape,
    /// Arms that are compared with the baseline.
    pub contrasts: usize,
    /// Share of runs that break by design: of the baseline, and of every other arm.
    pub breaks: (f64, f64),
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Cell { block, n, pairing, shape, contrasts, breaks: (baseline, arm) } = self;
        write!(f, "{block},{n},{pairing},{shape},{contrasts},{baseline},{arm}")
    }
}

pub const HEAD: &str = "block,n,pairing,shape,contrasts,baseline_breaks,arms_break";

const RUNS: [usize; 8] = [2, 3, 4, 5, 6, 8, 12, 20];
const PAIRINGS: [Pairing; 4] = [Pairing::Seeds(0.0), Pairing::Seeds(0.5), Pairing::Seeds(0.9), Pairing::None];

fn accuracy(images: u32, deviation: f64, declared: bool) -> Shape {
    Shape::Accuracy { images, deviation, declared }
}

/// Every cell in a fixed order.
pub fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut add = |block, shapes: &[Shape], contrasts: &[usize], breaks: &[(f64, f64)]| {
        for n in RUNS {
            for pairing in PAIRINGS {
                for &shape in shapes {
                    for &contrasts in contrasts {
                        cells.extend(breaks.iter().map(|&breaks| Cell {
                            block,
                            n,
                            pairing,
                            shape,
                            contrasts,
                            breaks,
                        }));
                    }
                }
            }
        }
    };
    let continuous = [Shape::Normal, Shape::T3, Shape::LogNormal, Shape::Outliers];
    let mut shapes = continuous.to_vec();
    for images in [128, 1_000, 10_000] {
        shapes.extend([0.1, 0.3, 1.0].map(|deviation| accuracy(images, deviation, true)));
        shapes.push(accuracy(images, 0.3, false));
    }
    add(Block::Null, &shapes, &[1, 2, 4, 7], &[(0.0, 0.0)]);
    let some = [Shape::Normal, Shape::LogNormal, accuracy(1_000, 0.3, true)];
    let mut breaks = Vec::new();
    for rate in [0.25, 0.5, 0.75] {
        breaks.extend([(0.0, rate), (rate, 0.0), (rate, rate)]);
    }
    add(Block::Broken, &some, &[1, 4, 7], &breaks);
    let quarter = [(0.0, 0.0), (0.0, 0.25), (0.25, 0.0), (0.25, 0.25)];
    add(
        Block::Margin,
        &[Shape::Normal, Shape::T3, Shape::LogNormal, accuracy(1_000, 0.3, true)],
        &[1, 4],
        &quarter,
    );
    add(
        Block::Power,
        &[Shape::Normal, Shape::LogNormal, accuracy(1_000, 0.3, true)],
        &[1, 4],
        &[(0.0, 0.0), (0.5, 0.0)],
    );
    cells
}
