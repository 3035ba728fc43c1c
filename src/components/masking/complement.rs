//! Blocks to predict together, everything else to see.

use ijepa_registry::prelude::*;

use super::shared::{
    blocks::{ASPECTS, Block, SHARES, Size, SizeDistribution, check_range},
    one_block,
    rejection::{Constraint, Draft},
};

/// Settings of `kind: complement`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Complement {
    /// Blocks per image.
    #[schemars(range(min = 1, max = 64), extend("x-aliases" = ["num_blocks", "npred", "targets"]))]
    blocks: usize,
    /// Least and greatest share of the grid's patches that a block covers.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    scale: [f64; 2],
    /// Least and greatest aspect ratio (height / width) of a block.
    #[schemars(inner(range(min = 0.01, max = 100.0)))]
    aspect: [f64; 2],
    /// Fewest patches of a context; guaranteed.
    #[schemars(range(min = 1, max = 65_536))]
    min_context: usize,
}

impl Default for Complement {
    fn default() -> Self {
        Complement { blocks: 8, scale: [0.15, 0.15], aspect: [0.75, 1.5], min_context: 1 }
    }
}

component! {
    /// All patches of several blocks are the one target, all other patches the context.
    ///
    /// The masks of V-JEPA on one frame (Bardes et al. 2024, arXiv 2404.08471; `facebookresearch/jepa`,
    /// `src/masks/multiblock3d.py`): the blocks of an image share one size, `height = round(sqrt(K r))` and `width =
    /// round(sqrt(K / r))` with `K = floor(N s)`, and lie anywhere; defaults are its short-range masks, 8 blocks of
    /// 0.15; `{ blocks: 2, scale: [0.7, 0.7] }` are its long-range ones, and `multi` takes both. Unlike
    /// there, nothing is cut to the length of the shortest mask of the batch. Unlike `multiblock`, the
    /// context is all that is not predicted, and a patch of two blocks counts once.
    masking "complement" => Complement, example = "{ blocks: 4, scale: [0.15, 0.15] }",
    aliases = ["vjepa" => "complement", "v-jepa" => "complement", "multiblock3d" => "complement"]
}

impl Complement {
    fn law(&self, grid: Grid) -> SizeDistribution {
        one_block::sizes(self.scale, self.aspect, grid)
    }

    /// Blocks, and the whole grid as context.
    fn draft(&self, grid: Grid, stream: &mut Stream) -> Draft {
        let size = self.law(grid).draw(stream);
        let whole = Block { top: 0, left: 0, size: Size { height: grid.rows, width: grid.cols } };
        let targets = (0..self.blocks).map(|_| Block::place(size, grid, stream)).collect();
        Draft { targets, contexts: vec![whole] }
    }

    fn constraint(&self, grid: Grid) -> Constraint {
        Constraint { grid, min_context: self.min_context, overlap: false }
    }
}

impl Masking for Complement {
    fn check(&self, grid: Grid) -> Vec<Problem> {
        let count = |path: &str, n: usize, most: usize| {
            let sentence = || format!("{n} given; 1 to {most} are allowed");
            (!(1..=most).contains(&n)).then(|| Problem::new(path, sentence()))
        };
        let wrong = [
            count("blocks", self.blocks, 64),
            count("min_context", self.min_context, grid.len().saturating_sub(1)),
            check_range("scale", self.scale, SHARES),
            check_range("aspect", self.aspect, ASPECTS),
        ];
        let wrong: Vec<Problem> = wrong.into_iter().flatten().collect();
        if !wrong.is_empty() {
            return wrong;
        }
        let whole = SizeDistribution { scale: [1.0, 1.0], aspect: [1.0, 1.0], ..self.law(grid) };
        let infeasible =
            self.constraint(grid).check_feasible([&self.law(grid), &whole], |s| self.draft(grid, s));
        infeasible.into_iter().collect()
    }
    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
        let mut redraws = 0;
        let mut plan = |i: usize| {
            let mut stream = draw.image_stream(i);
            let (masks, more) = self.constraint(grid).sample(|| self.draft(grid, &mut stream));
            redraws += more;
            let mut target = masks.targets.concat();
            target.sort_unstable();
            target.dedup();
            MaskPlan::new(masks.contexts.concat(), vec![target])
        };
        let plans = (0..draw.images.len()).map(&mut plan).collect();
        MaskBatch { plans, redraws }
    }
    fn min_context(&self) -> usize {
        self.min_context
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { rows: 14, cols: 14 };

    #[test]
    fn context_and_target_are_the_whole_image() {
        let draw = BatchDraw { images: (0..300).collect(), ..BatchDraw::default() };
        let (short, long) =
            (Complement::default(), Complement { blocks: 2, scale: [0.7, 0.7], ..Complement::default() });
        let share = |masking: &Complement| {
            assert!(masking.check(GRID).is_empty());
            let batch = masking.sample(GRID, &draw);
            let seen: usize = batch.plans.iter().map(|p| p.views[0].context.len()).sum();
            let whole = |p: &MaskPlan| p.views[0].context.len() + p.views[0].targets[0].len() == 196;
            assert!(batch.plans.iter().all(whole));
            seen as f64 / 300.0 / 196.0
        };
        // (1 - 0.15)^8 = 0.27 and (1 - 0.7)^2 = 0.09 in the middle; borders are covered less.
        let (short, long) = (share(&short), share(&long));
        assert!((0.2..0.4).contains(&short) && (0.05..0.25).contains(&long), "{short} {long}");
    }

    #[test]
    fn blocks_that_leave_no_context_are_refused() {
        let all = Complement { scale: [1.0, 1.0], aspect: [1.0, 1.0], ..Complement::default() };
        assert!(all.check(GRID)[0].message.contains("only 0 of 256"), "{:?}", all.check(GRID));
        assert_eq!(Complement { blocks: 0, ..Complement::default() }.check(GRID)[0].path, "blocks");
    }
}
