//! One block to see, everything else to predict.

use ijepa_registry::prelude::*;

use super::shared::{
    blocks::{Block, Size},
    one_block, plan_each,
};

/// Settings of `kind: inverse_block`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct InverseBlock {
    /// Least and greatest share of the grid's patches that is seen.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    scale: [f64; 2],
    /// Least and greatest aspect ratio (height / width) of the block that is seen.
    #[schemars(inner(range(min = 0.01, max = 100.0)))]
    aspect: [f64; 2],
    /// Whether the block may lie across the border of the image and go on at the other side. Every patch is then seen
    /// equally often; else the middle is seen more than the corners.
    roll: bool,
}

impl Default for InverseBlock {
    fn default() -> Self {
        InverseBlock { scale: [0.35, 0.35], aspect: [0.75, 1.5], roll: true }
    }
}

component! {
    /// One block of every image is the context, all other patches are the one target.
    ///
    /// The opposite of `block`: the inverse block masking of data2vec 2.0 (Baevski et al. 2023, arXiv 2212.07525),
    /// and with `roll` that of CAPI (Darcet et al. 2025, arXiv 2502.08769), whose share of
    /// masked patches, 0.65, is the default. Sizes are drawn as those of `multiblock`. `context_count` makes contexts
    /// of exactly one size, `predict_fraction` predicts a part of the many targets, and `unit: 2` draws squares of 2 x 2
    /// patches.
    masking "inverse_block" => InverseBlock, example = "{ scale: [0.35, 0.35], roll: true }",
    aliases = ["inverse" => "inverse_block", "capi" => "inverse_block"]
}

impl InverseBlock {
    fn plan(&self, grid: Grid, stream: &mut Stream) -> MaskPlan {
        let size = one_block::sizes(self.scale, self.aspect, grid).draw(stream);
        let context = if self.roll {
            rolled(size, grid, stream)
        } else {
            Block::place(size, grid, stream).patches(grid)
        };
        let target = one_block::others(&context, grid);
        MaskPlan::new(context, vec![target])
    }
}

/// A block of this size anywhere on the torus: its patches, sorted.
fn rolled(size: Size, grid: Grid, stream: &mut Stream) -> Vec<u32> {
    let (top, left) = (stream.below(grid.rows), stream.below(grid.cols));
    let across = |row: usize| (0..size.width).map(move |c| row * grid.cols + (left + c) % grid.cols);
    let mut patches: Vec<u32> =
        (0..size.height).flat_map(|r| across((top + r) % grid.rows)).map(|p| p as u32).collect();
    patches.sort_unstable();
    patches
}

impl Masking for InverseBlock {
    fn check(&self, grid: Grid) -> Vec<Problem> {
        one_block::check(self.scale, self.aspect, grid, "target")
    }
    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
        plan_each(draw, |stream| self.plan(grid, stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { rows: 8, cols: 8 };

    /// How often each patch is seen in 4,000 images.
    fn seen(roll: bool) -> Vec<u32> {
        let draw =
            BatchDraw { seed: 0, epoch: 1, step: 2, images: (0..4000).collect(), ..BatchDraw::default() };
        let batch = InverseBlock { roll, ..InverseBlock::default() }.sample(GRID, &draw);
        assert!(batch.plans.iter().all(|p| p.views[0].context.len() + p.views[0].targets[0].len() == 64));
        let mut seen = vec![0; 64];
        batch.plans.iter().flat_map(|p| &p.views[0].context).for_each(|&p| seen[p as usize] += 1);
        seen
    }

    #[test]
    fn rolled_blocks_show_every_patch_equally_often_and_others_the_middle() {
        let (rolled, within) = (seen(true), seen(false));
        // 22 of 64 patches on average; five standard deviations of a count.
        let mean = rolled.iter().sum::<u32>() as f64 / 64.0;
        assert!((mean / 4000.0 - 22.0 / 64.0).abs() < 0.01, "{mean}");
        assert!(
            rolled.iter().all(|&n| (f64::from(n) - mean).abs() < 5.0 * (mean * 0.66).sqrt()),
            "{rolled:?}"
        );
        assert!(within[27] > 4 * within[0], "{within:?}");
    }

    #[test]
    fn a_rolled_block_goes_on_at_the_other_side() {
        let grid = Grid { rows: 3, cols: 3 };
        let all: Vec<Vec<u32>> = (0..200)
            .map(|i| rolled(Size { height: 2, width: 2 }, grid, &mut Stream::new(0, "test", 0, i)))
            .collect();
        assert!(all.contains(&vec![0, 2, 6, 8]), "the four corners are a block");
        assert!(all.iter().all(|b| b.len() == 4 && b.is_sorted_by(|a, b| a < b)));
    }

    #[test]
    fn a_block_that_can_cover_everything_is_refused() {
        let all = InverseBlock { scale: [0.5, 1.0], aspect: [1.0, 1.0], roll: true };
        assert!(all.check(GRID)[0].message.contains("leave no target"));
        assert!(InverseBlock::default().check(GRID).is_empty());
    }
}
