//! One block to predict, everything else to see.

use ijepa_registry::prelude::*;

use super::shared::{blocks::Block, one_block, plan_each};

/// Settings of `kind: block`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct OneBlock {
    /// Least and greatest share of the grid's patches that the block covers.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    scale: [f64; 2],
    /// Least and greatest aspect ratio (height / width) of the block.
    #[schemars(inner(range(min = 0.01, max = 100.0)))]
    aspect: [f64; 2],
}

impl Default for OneBlock {
    fn default() -> Self {
        OneBlock { scale: [0.6, 0.6], aspect: [0.75, 1.5] }
    }
}

component! {
    /// One block of every image is the target, all other patches are the context.
    ///
    /// The `block` masking of table 6 of Assran et al. (2023), whose contexts hold 0.4 of the patches
    /// on average. Sizes are drawn as those of `multiblock`.
    masking "block" => OneBlock, example = "{ scale: [0.6, 0.6], aspect: [0.75, 1.5] }"
}

impl OneBlock {
    fn plan(&self, grid: Grid, stream: &mut Stream) -> MaskPlan {
        let size = one_block::sizes(self.scale, self.aspect, grid).draw(stream);
        let target = Block::place(size, grid, stream).patches(grid);
        let context = one_block::others(&target, grid);
        MaskPlan::new(context, vec![target])
    }
}

impl Masking for OneBlock {
    fn check(&self, grid: Grid) -> Vec<Problem> {
        one_block::check(self.scale, self.aspect, grid, "context")
    }
    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
        plan_each(draw, |stream| self.plan(grid, stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { rows: 14, cols: 14 };

    #[test]
    fn contexts_hold_what_the_paper_says() {
        let draw = BatchDraw { epoch: 1, step: 2, images: (0..500).collect(), ..BatchDraw::default() };
        let batch = OneBlock::default().sample(GRID, &draw);
        let kept: Vec<usize> = batch.plans.iter().map(|p| p.views[0].context.len()).collect();
        let mean = kept.iter().sum::<usize>() as f64 / 500.0 / 196.0;
        assert!((mean - 0.4).abs() < 0.01, "{mean}");
        assert!(batch.plans.iter().all(|p| p.views[0].context.len() + p.views[0].targets[0].len() == 196));
    }

    #[test]
    fn a_block_that_can_cover_everything_is_refused() {
        let problems = OneBlock { scale: [0.6, 1.0], aspect: [1.0, 1.0] }.check(GRID);
        assert!(problems[0].message.contains("all 14x14 patches"), "{problems:?}");
        assert_eq!(OneBlock { scale: [0.6, 0.5], ..Default::default() }.check(GRID)[0].path, "scale");
    }
}
