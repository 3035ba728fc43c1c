//! What masks are like in numbers: how large they are, of which shapes, how much they overlap.

use std::collections::BTreeMap;

use ijepa_registry::mask::{Grid, MaskPlan, View};

/// How often each count of patches occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts(BTreeMap<usize, usize>);

/// A range of counts and the share of all that are in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bin {
    /// Least and greatest count.
    pub ends: (usize, usize),
    /// From 0 to 1.
    pub share: f64,
}

/// Shapes that are listed.
const SHAPES: usize = 8;

/// Bins of a histogram at most.
const BINS: usize = 12;

impl Counts {
    fn add(&mut self, patches: usize) {
        *self.0.entry(patches).or_insert(0) += 1;
    }
    fn total(&self) -> f64 {
        self.0.values().sum::<usize>().max(1) as f64
    }
    /// The mean.
    pub fn mean(&self) -> f64 {
        self.0.iter().map(|(patches, n)| (patches * n) as f64).sum::<f64>() / self.total()
    }
    /// Least and greatest.
    pub fn ends(&self) -> (usize, usize) {
        let end = |key: Option<&usize>| key.copied().unwrap_or(0);
        (end(self.0.keys().next()), end(self.0.keys().next_back()))
    }
    /// Share of those that are as small as the smallest.
    pub fn share_of_least(&self) -> f64 {
        self.0.values().next().copied().unwrap_or(0) as f64 / self.total()
    }
    /// A histogram of few bins, equally wide.
    pub fn bins(&self) -> Vec<Bin> {
        let (low, high) = self.ends();
        let width = (high - low + 1).div_ceil(BINS);
        let bin = |start: usize| {
            let ends = (start, start + width - 1);
            Bin {
                ends,
                share: self.0.range(start..=ends.1).map(|(_, n)| n).sum::<usize>() as f64 / self.total(),
            }
        };
        (low..=high).step_by(width.max(1)).map(bin).collect()
    }
}

impl Bin {
    /// `8`, or `8-10`.
    pub fn label(&self) -> String {
        let (low, high) = self.ends;
        if low == high { low.to_string() } else { format!("{low}-{high}") }
    }
}

/// The numbers of some masks.
#[derive(Clone, Debug, Default)]
pub(crate) struct MaskFacts {
    /// Patches of each context.
    pub contexts: Counts,
    /// Patches of each target block.
    pub blocks: Counts,
    /// Distinct predicted patches of each view.
    pub predicted: Counts,
    /// Target blocks of each view.
    pub block_counts: Counts,
    /// Distinct predicted patches that are in two blocks or more.
    twice: usize,
    /// Target blocks that fill a rectangle, `height x width`.
    shapes: BTreeMap<(usize, usize), usize>,
    /// Draws thrown away, per image.
    pub redraws: f64,
}

impl MaskFacts {
    /// Counted over the masks of some images, for which so many draws were thrown away.
    pub fn of<'a>(grid: Grid, plans: impl Iterator<Item = &'a MaskPlan>, redraws: u64) -> Self {
        let (mut facts, mut images) = (MaskFacts::default(), 0u32);
        for plan in plans {
            images += 1;
            plan.views.iter().for_each(|view| facts.add(grid, view));
        }
        facts.redraws = redraws as f64 / f64::from(images.max(1));
        facts
    }

    fn add(&mut self, grid: Grid, view: &View) {
        self.contexts.add(view.context.len());
        self.block_counts.add(view.targets.len());
        let mut times = vec![0u32; grid.len()];
        for block in &view.targets {
            self.blocks.add(block.len());
            block.iter().for_each(|&patch| times[patch as usize] += 1);
            if let Some(shape) = rectangle(grid, block) {
                *self.shapes.entry(shape).or_insert(0) += 1;
            }
        }
        self.predicted.add(times.iter().filter(|&&n| n > 0).count());
        self.twice += times.iter().filter(|&&n| n > 1).count();
    }

    /// Share of the predicted patches that are in two blocks or more, 0 to 1.
    pub fn overlap(&self) -> f64 {
        let distinct = self.predicted.mean() * self.predicted.total();
        self.twice as f64 / distinct.max(1.0)
    }

    /// What is worth knowing, in words.
    pub fn sentences(&self, patches: usize) -> Vec<(String, String)> {
        let per_cent = |part: f64| format!("{:.1} %", 100.0 * part);
        let of_image = |counts: &Counts| {
            let (low, high) = counts.ends();
            let share = per_cent(counts.mean() / patches.max(1) as f64);
            format!("{:.1} patches on average ({share} of the image), {low} to {high}", counts.mean())
        };
        let shapes: Vec<String> = self
            .shapes()
            .iter()
            .take(SHAPES)
            .map(|(shape, share)| format!("{shape} {}", per_cent(*share)))
            .collect();
        let least = per_cent(self.contexts.share_of_least());
        let (fewest, most) = self.block_counts.ends();
        let blocks = if fewest == most { fewest.to_string() } else { format!("{fewest} to {most}") };
        let row = |what: &str, value: String| (what.to_owned(), value);
        vec![
            row("contexts", format!("{}; {least} are as small as the smallest", of_image(&self.contexts))),
            row("target blocks", format!("{blocks} per view, {}", of_image(&self.blocks))),
            row("predicted in all", of_image(&self.predicted)),
            row(
                "overlap of blocks",
                format!("{} of the predicted patches are in two blocks or more", per_cent(self.overlap())),
            ),
            row(
                "shapes of blocks",
                if shapes.is_empty() { "no rectangles".into() } else { shapes.join(", ") },
            ),
            row("draws thrown away", format!("{:.3} per image", self.redraws)),
        ]
    }

    /// Shapes of rectangular target blocks with their shares of all blocks, the most frequent first.
    pub fn shapes(&self) -> Vec<(String, f64)> {
        let mut all: Vec<_> = self.shapes.iter().collect();
        all.sort_by_key(|(shape, n)| (std::cmp::Reverse(**n), **shape));
        let share = |n: usize| n as f64 / self.blocks.total();
        all.into_iter().map(|((height, width), n)| (format!("{height}x{width}"), share(*n))).collect()
    }
}

/// Height and width of a block that fills a rectangle.
fn rectangle(grid: Grid, block: &[u32]) -> Option<(usize, usize)> {
    let extent = |of: &dyn Fn(usize) -> usize| {
        let places = || block.iter().map(|&patch| of(patch as usize));
        Some(places().max()? - places().min()? + 1)
    };
    let (height, width) = (extent(&|p| p / grid.cols)?, extent(&|p| p % grid.cols)?);
    (height * width == block.len()).then_some((height, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { rows: 3, cols: 4 };

    #[test]
    fn masks_counted_by_hand() {
        let plans = [
            MaskPlan::new(vec![0, 1], vec![vec![4, 5, 8, 9], vec![5, 6]]),
            MaskPlan::new(vec![0], vec![vec![4, 5], vec![6, 9]]),
        ];
        let facts = MaskFacts::of(GRID, plans.iter(), 3);
        assert_eq!(
            (facts.contexts.mean(), facts.contexts.ends(), facts.contexts.share_of_least()),
            (1.5, (1, 2), 0.5)
        );
        assert_eq!(
            (facts.predicted.mean(), facts.blocks.mean(), facts.block_counts.ends()),
            (4.5, 2.5, (2, 2))
        );
        // Patch 5 of the first, of nine distinct ones in all.
        assert!((facts.overlap() - 1.0 / 9.0).abs() < 1e-12);
        assert_eq!(facts.shapes(), [("1x2".into(), 0.5), ("2x2".into(), 0.25)]);
        assert_eq!(facts.redraws, 1.5);
    }

    #[test]
    fn a_histogram_has_few_bins_that_hold_all() {
        let mut counts = Counts::default();
        (0..100).for_each(|i| counts.add(5 + i % 40));
        let bins = counts.bins();
        assert_eq!((bins.len(), bins[0].label()), (10, "5-8".into()));
        assert!((bins.iter().map(|b| b.share).sum::<f64>() - 1.0).abs() < 1e-12);
        let mut one = Counts::default();
        one.add(7);
        assert_eq!(one.bins(), [Bin { ends: (7, 7), share: 1.0 }]);
        assert_eq!((Counts::default().mean(), Counts::default().ends()), (0.0, (0, 0)));
    }
}
