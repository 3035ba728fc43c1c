//! The multi-block masks of `sombersomni/ijepa-homemade`: one for a whole batch.

use ijepa_registry::prelude::*;

use super::shared::{
    blocks::{ASPECTS, Block, SHARES, SideRounding, SizeDistribution, check_range},
    rejection::{Constraint, Draft},
};

/// Settings of `kind: multiblock_batch`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct MultiBlockBatch {
    /// Target blocks per batch.
    #[schemars(range(min = 1, max = 64))]
    targets: usize,
    /// Least and greatest share of the grid's patches that a target block covers.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    target_scale: [f64; 2],
    /// Least and greatest aspect ratio (width / height) of a target block.
    #[schemars(inner(range(min = 0.01, max = 100.0)))]
    target_aspect: [f64; 2],
    /// Least and greatest share of the grid's patches that the context block covers, targets included.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    context_scale: [f64; 2],
}

impl Default for MultiBlockBatch {
    fn default() -> Self {
        MultiBlockBatch {
            targets: 4,
            target_scale: [0.15, 0.25],
            target_aspect: [0.75, 1.5],
            context_scale: [0.75, 0.95],
        }
    }
}

component! {
    /// The masks of `sombersomni/ijepa-homemade@fea7df9`: one for the whole batch, every target block of its own size.
    ///
    /// For reproducing runs of that repository; `multiblock` masks each image on its own. A block
    /// covers `n = floor(N s)` patches with `s` uniform in the scale and `a` in the aspect ratio:
    /// `height = round(sqrt(n / a))`, `width = round(height a)`. The context is one block of aspect
    /// ratio 1 without the targets. Where the repository fails on an empty context (2 in 100 000
    /// batches with its own settings on 8x8 patches), this draws again and counts it.
    masking "multiblock_batch" => MultiBlockBatch, example = "{ targets: 4, target_scale: [0.15, 0.25] }",
    aliases = ["multiblock_seed" => "multiblock_batch"]
}

impl MultiBlockBatch {
    fn law(&self, scale: [f64; 2], aspect: [f64; 2], grid: Grid) -> SizeDistribution {
        SizeDistribution {
            rounding: SideRounding::HeightThenWidth,
            scale,
            aspect,
            correlated: false,
            grid,
            room: grid,
        }
    }
    fn laws(&self, grid: Grid) -> [SizeDistribution; 2] {
        let target = self.law(self.target_scale, self.target_aspect, grid);
        [target, self.law(self.context_scale, [1.0, 1.0], grid)]
    }
    fn draft(&self, grid: Grid, stream: &mut Stream) -> Draft {
        let [target, context] = self.laws(grid);
        let mut place = |law: &SizeDistribution| Block::place(law.draw(stream), grid, stream);
        let targets = (0..self.targets).map(|_| place(&target)).collect();
        Draft { targets, contexts: vec![place(&context)] }
    }
    fn constraint(&self, grid: Grid) -> Constraint {
        Constraint { grid, min_context: 1, overlap: false }
    }
    fn check_settings(&self) -> Vec<Problem> {
        let targets = (!(1..=64).contains(&self.targets))
            .then(|| Problem::new("targets", format!("{} blocks; 1 to 64 are allowed", self.targets)));
        let ranges = [
            check_range("target_scale", self.target_scale, SHARES),
            check_range("target_aspect", self.target_aspect, ASPECTS),
            check_range("context_scale", self.context_scale, SHARES),
        ];
        targets.into_iter().chain(ranges.into_iter().flatten()).collect()
    }
}

impl Masking for MultiBlockBatch {
    fn check(&self, grid: Grid) -> Vec<Problem> {
        let problems = self.check_settings();
        if !problems.is_empty() || grid.is_empty() {
            return problems;
        }
        let [target, context] = self.laws(grid);
        let infeasible = self.constraint(grid).check_feasible([&target, &context], |s| self.draft(grid, s));
        infeasible.into_iter().collect()
    }
    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
        let mut stream = draw.batch_stream();
        let (plan, redraws) = self.constraint(grid).sample(|| self.draft(grid, &mut stream));
        MaskBatch { plans: vec![plan.plan(); draw.images.len()], redraws }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { rows: 8, cols: 8 };

    fn draw(step: u64) -> BatchDraw {
        BatchDraw { seed: 1, step, images: vec![5, 3], ..BatchDraw::default() }
    }

    #[test]
    fn the_batch_shares_one_mask() {
        let batch = MultiBlockBatch::default().sample(GRID, &draw(0));
        assert_eq!(batch.plans[0], batch.plans[1]);
        assert_eq!((batch.plans[0].views.len(), batch.plans[0].views[0].targets.len()), (1, 4));
    }

    #[test]
    fn many_targets_cost_redraws_but_never_an_empty_context() {
        let crowded = MultiBlockBatch { targets: 12, ..MultiBlockBatch::default() };
        assert!(crowded.check(GRID).is_empty());
        let batches: Vec<MaskBatch> = (0..2000).map(|step| crowded.sample(GRID, &draw(step))).collect();
        assert!(batches.iter().all(|b| !b.plans[0].views[0].context.is_empty()));
        // The reference sampler's contexts are empty in 2.8 % of such batches.
        let redraws: u64 = batches.iter().map(|b| b.redraws).sum();
        assert!((25..=100).contains(&redraws), "{redraws}");
    }

    #[test]
    fn targets_over_everything_are_refused_with_the_blocks() {
        let all =
            MultiBlockBatch { target_scale: [1.0, 1.0], target_aspect: [1.0, 1.0], ..Default::default() };
        let problem = &all.check(GRID)[0];
        assert!(problem.message.contains("only 0 of 256"), "{problem:?}");
        assert!(problem.help.as_ref().unwrap().contains("targets 8x8 100 %"), "{problem:?}");
    }
}
