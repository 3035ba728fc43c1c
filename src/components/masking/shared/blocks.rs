//! Blocks of patches: how their sizes are drawn, which sizes can occur, where they may lie.

use std::{collections::BTreeMap, fmt};

use ijepa_registry::prelude::*;

/// Height and width of a block, in patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size {
    pub height: usize,
    pub width: usize,
}

impl Size {
    pub fn area(self) -> usize {
        self.height * self.width
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

/// A block at its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub top: usize,
    pub left: usize,
    pub size: Size,
}

impl Block {
    /// Somewhere within the top left `room` of the grid, every place equally likely.
    pub fn place(size: Size, room: Grid, stream: &mut Stream) -> Self {
        let top = stream.below(room.rows - size.height + 1);
        let left = stream.below(room.cols - size.width + 1);
        Block { top, left, size }
    }
    /// Its patches, sorted.
    pub fn patches(self, grid: Grid) -> Vec<u32> {
        grid.block(self.top, self.left, self.size.height, self.size.width)
    }
}

/// How a patch count and an aspect ratio become a size. Halves round to even, as in Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SideRounding {
    /// `h = round(sqrt(k r))`, `w = round(sqrt(k / r))`, `r = height / width`: Meta's I-JEPA code.
    Sides,
    /// `h = round(sqrt(k / a))`, `w = round(h a)`, `a = width / height`: the reference repository.
    HeightThenWidth,
}

/// The distribution of a block's size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SizeDistribution {
    pub rounding: SideRounding,
    /// Least and greatest share of the grid's patches.
    pub scale: [f64; 2],
    /// Least and greatest aspect ratio.
    pub aspect: [f64; 2],
    /// One uniform number for both scale and aspect ratio.
    pub correlated: bool,
    pub grid: Grid,
    /// Largest block.
    pub room: Grid,
}

impl SizeDistribution {
    pub fn draw(&self, stream: &mut Stream) -> Size {
        let scale = stream.uniform();
        let aspect = if self.correlated { scale } else { stream.uniform() };
        let patches = (self.grid.len() as f64 * between(self.scale, scale)) as usize;
        self.size(patches, between(self.aspect, aspect))
    }

    /// Every size that can occur, with its probability: exact, from the points where a side jumps.
    pub fn reachable(&self) -> BTreeMap<Size, f64> {
        let mut sizes = BTreeMap::new();
        for (patches, from, to) in self.patch_counts() {
            let aspects = if self.correlated {
                [between(self.aspect, from), between(self.aspect, to)]
            } else {
                self.aspect
            };
            for (size, share) in self.sizes_of(patches, aspects) {
                *sizes.entry(size).or_insert(0.0) += share * (to - from);
            }
        }
        sizes
    }

    /// `floor(N s)` takes the value `.0` while the uniform number behind `s` is in `.1` to `.2`.
    fn patch_counts(&self) -> Vec<(usize, f64, f64)> {
        let [low, high] = self.scale.map(|s| s * self.grid.len() as f64);
        if high <= low {
            return vec![(low as usize, 0.0, 1.0)];
        }
        let at = |patches: usize| ((patches as f64 - low) / (high - low)).clamp(0.0, 1.0);
        let all = (low as usize..=high as usize).map(|k| (k, at(k), at(k + 1)));
        all.filter(|&(_, from, to)| to > from).collect()
    }

    /// Sizes of `patches` patches for aspect ratios in the range, with the share of the range.
    fn sizes_of(&self, patches: usize, [low, high]: [f64; 2]) -> Vec<(Size, f64)> {
        if high <= low {
            return vec![(self.size(patches, low), 1.0)];
        }
        let mut cuts = self.jumps(patches, [low, high]);
        cuts.retain(|&a| low < a && a < high);
        cuts.extend([low, high]);
        cuts.sort_by(f64::total_cmp);
        let piece = |p: &[f64]| (self.size(patches, (p[0] + p[1]) / 2.0), (p[1] - p[0]) / (high - low));
        cuts.windows(2).filter(|p| p[1] > p[0]).map(piece).collect()
    }

    /// Aspect ratios at which a rounded side jumps (some lie outside the range, some change nothing).
    fn jumps(&self, patches: usize, [low, high]: [f64; 2]) -> Vec<f64> {
        let k = patches as f64;
        let stretch = high.max(1.0 / low).sqrt();
        let longest = (k.sqrt() * stretch) as usize + 1;
        let half = |m: usize| m as f64 + 0.5;
        match self.rounding {
            SideRounding::Sides => {
                (0..=longest).flat_map(|m| [half(m).powi(2) / k, k / half(m).powi(2)]).collect()
            }
            SideRounding::HeightThenWidth => {
                // Wider blocks are cut to the room: their jumps are not seen.
                let of_width = |h: usize| (0..=self.room.cols).map(move |m| half(m) / h as f64);
                let of_height = (0..=longest).map(|m| k / half(m).powi(2));
                of_height.chain((1..=longest).flat_map(of_width)).collect()
            }
        }
    }

    fn size(&self, patches: usize, aspect: f64) -> Size {
        let k = patches as f64;
        let (height, width) = match self.rounding {
            SideRounding::Sides => {
                ((k * aspect).sqrt().round_ties_even(), (k / aspect).sqrt().round_ties_even())
            }
            SideRounding::HeightThenWidth => {
                let height = (k / aspect).sqrt().round_ties_even();
                (height, (height * aspect).round_ties_even())
            }
        };
        let within = |side: f64, room: usize| (side as usize).clamp(1, room.max(1));
        Size { height: within(height, self.room.rows), width: within(width, self.room.cols) }
    }
}

fn between([low, high]: [f64; 2], uniform: f64) -> f64 {
    low + uniform * (high - low)
}

/// The likeliest sizes in words: `3x4 43 %, 3x3 22 % and 5 rarer`.
pub(crate) fn describe(sizes: &BTreeMap<Size, f64>) -> String {
    const SHOWN: usize = 6;
    let mut all: Vec<_> = sizes.iter().collect();
    all.sort_by(|a, b| b.1.total_cmp(a.1));
    let shown: Vec<String> =
        all.iter().take(SHOWN).map(|(s, p)| format!("{s} {:.0} %", 100.0 * **p)).collect();
    let rest = all.len().saturating_sub(SHOWN);
    shown.join(", ") + &if rest > 0 { format!(" and {rest} rarer") } else { String::new() }
}

/// Allowed shares of the grid, and allowed aspect ratios.
pub(crate) const SHARES: [f64; 2] = [0.0, 1.0];
pub(crate) const ASPECTS: [f64; 2] = [0.01, 100.0];

/// The problem of a pair that should be least and greatest, both within `allowed`.
pub(crate) fn check_range(path: &str, [low, high]: [f64; 2], allowed: [f64; 2]) -> Option<Problem> {
    let [least, greatest] = allowed;
    let fine = least <= low && low <= high && high <= greatest;
    (!fine).then(|| {
        let sentence =
            format!("[{low}, {high}] given; allowed is {least} <= least <= greatest <= {greatest}");
        Problem::new(path, sentence).help("write the least value first, as in [0.15, 0.2]")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { rows: 8, cols: 8 };

    fn law(rounding: SideRounding, correlated: bool) -> SizeDistribution {
        let (scale, aspect) = ([0.15, 0.2], [0.75, 1.5]);
        SizeDistribution { rounding, scale, aspect, correlated, grid: GRID, room: GRID }
    }

    #[test]
    fn correlated_sizes_are_few() {
        let sizes = law(SideRounding::Sides, true).reachable();
        let names: Vec<String> = sizes.keys().map(Size::to_string).collect();
        assert_eq!(names, ["3x3", "4x3"]);
        assert!((sizes.values().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn exact_probabilities_are_those_of_draws() {
        for law in [
            law(SideRounding::Sides, false),
            law(SideRounding::Sides, true),
            law(SideRounding::HeightThenWidth, false),
        ] {
            let exact = law.reachable();
            assert!((exact.values().sum::<f64>() - 1.0).abs() < 1e-12, "{exact:?}");
            let (mut stream, n) = (Stream::new(1, "test", 0, 0), 40_000);
            let mut drawn = BTreeMap::new();
            for _ in 0..n {
                *drawn.entry(law.draw(&mut stream)).or_insert(0.0) += 1.0 / f64::from(n);
            }
            assert!(drawn.keys().all(|s| exact.contains_key(s)), "{drawn:?} {exact:?}");
            for (size, p) in exact {
                let seen = drawn.get(&size).copied().unwrap_or(0.0);
                assert!((seen - p).abs() < 5.0 * (p / f64::from(n)).sqrt() + 1e-9, "{size}: {seen} {p}");
            }
        }
    }

    #[test]
    fn extreme_aspect_ratios_end_soon() {
        let wild = SizeDistribution {
            scale: [0.0, 1.0],
            aspect: ASPECTS,
            ..law(SideRounding::HeightThenWidth, false)
        };
        let sizes = wild.reachable();
        assert!((sizes.values().sum::<f64>() - 1.0).abs() < 1e-9 && sizes.len() > 30, "{sizes:?}");
    }

    #[test]
    fn halves_round_to_even_and_blocks_fit_the_room() {
        let tall =
            SizeDistribution { room: Grid { rows: 4, cols: 3 }, ..law(SideRounding::HeightThenWidth, false) };
        // 10 / 1.6 = 6.25, root 2.5, which Python rounds to 2.
        assert_eq!(tall.size(10, 1.6), Size { height: 2, width: 3 });
        assert_eq!(tall.size(0, 1.0), Size { height: 1, width: 1 });
        assert_eq!(tall.size(64, 1.0), Size { height: 4, width: 3 });
    }

    #[test]
    fn ranges_are_explained() {
        let problem = check_range("target_scale", [0.3, 0.2], SHARES).unwrap();
        assert!(problem.message.contains("[0.3, 0.2]") && problem.message.contains("<= 1"));
        assert!(check_range("target_aspect", [0.75, 1.5], ASPECTS).is_none());
    }
}
