//! Multi-block masks: a few blocks to predict, one large block without them to see.

use ijepa_registry::prelude::*;

use super::shared::{
    blocks::{ASPECTS, Block, SHARES, SideRounding, Size, SizeDistribution, check_range},
    equalize::{Cut, equalize},
    rejection::{Constraint, Crossed, Draft},
};

/// Settings of `kind: multiblock`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct MultiBlock {
    /// Target blocks per image.
    #[schemars(range(min = 1, max = 64), extend("x-aliases" = ["num_targets", "npred", "num_pred_masks"]))]
    targets: usize,
    /// Least and greatest share of the grid's patches that a target block covers.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    target_scale: [f64; 2],
    /// Least and greatest aspect ratio (height / width) of a target block.
    #[schemars(inner(range(min = 0.01, max = 100.0)))]
    target_aspect: [f64; 2],
    /// Context blocks per image; each target is predicted from each of them.
    #[schemars(range(min = 1, max = 16))]
    contexts: usize,
    /// Least and greatest share of the grid's patches that a context block covers, targets included.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    context_scale: [f64; 2],
    /// Fewest patches of a context after the targets are taken out; guaranteed.
    #[schemars(range(min = 1, max = 65_536))]
    min_context: usize,
    /// Whether a context may contain target patches.
    allow_overlap: bool,
    /// Whether scale and aspect ratio of a target are drawn apart.
    aspect: Aspect,
    /// What shares one target size and one context size.
    size_scope: SizeScope,
    /// What shares one mask.
    mask_scope: MaskScope,
    /// Where blocks may lie.
    bounds: Bounds,
    /// How the masks of a batch are brought to one length.
    equalize: Cut,
}

/// Whether scale and aspect ratio of a target are drawn apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Aspect {
    /// Two numbers: every combination occurs.
    Independent,
    /// One number for both, as in Meta's I-JEPA code: small blocks are wide, large ones tall.
    Correlated,
}

/// What shares one target size and one context size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SizeScope {
    /// Nothing: every block has its own size.
    Block,
    /// The blocks of an image.
    Image,
    /// The blocks of a batch, as in Meta's I-JEPA code.
    Batch,
}

/// What shares one mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum MaskScope {
    /// Nothing: every image has its own mask.
    Image,
    /// The images of a batch, as in the reference repository.
    Batch,
}

/// Where blocks may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Bounds {
    /// Anywhere on the grid.
    Inclusive,
    /// Never on the last row and column: the off-by-one of Meta's I-JEPA code.
    Exclusive,
}

impl Default for MultiBlock {
    fn default() -> Self {
        MultiBlock {
            targets: 4,
            target_scale: [0.15, 0.2],
            target_aspect: [0.75, 1.5],
            contexts: 1,
            context_scale: [0.85, 1.0],
            min_context: 4,
            allow_overlap: false,
            aspect: Aspect::Independent,
            size_scope: SizeScope::Image,
            mask_scope: MaskScope::Image,
            bounds: Bounds::Inclusive,
            equalize: Cut::None,
        }
    }
}

component! {
    /// Several blocks to predict, and one large block without them to see: the masks of I-JEPA.
    ///
    /// Assran et al. (2023), section 3, with the published ranges as defaults. A target block covers
    /// `K = floor(N s)` patches, `s` uniform in the scale and `r` in the aspect ratio:
    /// `height = round(sqrt(K r))`, `width = round(sqrt(K / r))`. A context block has aspect ratio 1;
    /// the targets are taken out of it. A mask with fewer than `min_context` context patches is
    /// drawn again (counted; in the end repaired, so that sampling always ends).
    ///
    /// Published samplers are settings of it:
    ///
    /// - the paper: the defaults, one size of targets per image;
    /// - Meta's collator with all that is known to be wrong with it (`facebookresearch/ijepa@52c1ae9`,
    ///   `src/masks/multiblock.py`): `{ aspect: correlated, size_scope: batch, bounds: exclusive, equalize: raster,
    ///   min_context: 11 }`; where it would try for ever, or silently let context and targets overlap, a mask is repaired;
    /// - the same without the bugs: `{ size_scope: batch, equalize: random, min_context: 11 }`;
    /// - the CIFAR-10 reference: `masking: multiblock_batch`.
    masking "multiblock" => MultiBlock, example = "{ targets: 4, target_scale: [0.15, 0.2], min_context: 4 }",
    aliases = ["ijepa" => "multiblock", "multi_block" => "multiblock", "multi-block" => "multiblock"]
}

/// Target and context size.
type Sizes = [Size; 2];

impl MultiBlock {
    /// The part of the grid that blocks may use.
    fn room(&self, grid: Grid) -> Grid {
        let missing = usize::from(self.bounds == Bounds::Exclusive);
        Grid { rows: grid.rows.saturating_sub(missing), cols: grid.cols.saturating_sub(missing) }
    }
    fn laws(&self, grid: Grid) -> [SizeDistribution; 2] {
        let (room, correlated) = (self.room(grid), self.aspect == Aspect::Correlated);
        let law = |scale, aspect| SizeDistribution {
            rounding: SideRounding::Sides,
            scale,
            aspect,
            correlated,
            grid,
            room,
        };
        [law(self.target_scale, self.target_aspect), law(self.context_scale, [1.0, 1.0])]
    }
    fn draw_sizes(&self, grid: Grid, stream: &mut Stream) -> Sizes {
        self.laws(grid).map(|law| law.draw(stream))
    }
    fn draft(&self, grid: Grid, of_batch: Option<Sizes>, stream: &mut Stream) -> Draft {
        let of_image = self.size_scope != SizeScope::Block;
        let shared = of_batch.or_else(|| of_image.then(|| self.draw_sizes(grid, stream)));
        let (laws, room) = (self.laws(grid), self.room(grid));
        let mut place = |which: usize| {
            let size = shared.map_or_else(|| laws[which].draw(stream), |sizes| sizes[which]);
            Block::place(size, room, stream)
        };
        let targets = (0..self.targets).map(|_| place(0)).collect();
        Draft { targets, contexts: (0..self.contexts).map(|_| place(1)).collect() }
    }
    fn constraint(&self, grid: Grid) -> Constraint {
        Constraint { grid, min_context: self.min_context, overlap: self.allow_overlap }
    }
    fn check_settings(&self, grid: Grid) -> Vec<Problem> {
        let count = |path: &str, n: usize, most: usize| {
            let sentence = || format!("{n} given; 1 to {most} are allowed");
            (!(1..=most).contains(&n)).then(|| Problem::new(path, sentence()))
        };
        let narrow = self.room(grid).is_empty().then(|| {
            let sentence =
                format!("no block fits {}x{} patches without the last row and column", grid.rows, grid.cols);
            Problem::new("bounds", sentence).help("use `bounds: inclusive`")
        });
        // Next to the smallest target, one patch, a context holds at most all others.
        let most = grid.len().saturating_sub(usize::from(!self.allow_overlap));
        let problems = [
            count("targets", self.targets, 64),
            count("contexts", self.contexts, 16),
            count("min_context", self.min_context, most),
            check_range("target_scale", self.target_scale, SHARES),
            check_range("target_aspect", self.target_aspect, ASPECTS),
            check_range("context_scale", self.context_scale, SHARES),
            narrow,
        ];
        problems.into_iter().flatten().collect()
    }
    /// The hardest sizes of a batch: they stay when its images are drawn again.
    fn hardest(&self, grid: Grid) -> Option<Sizes> {
        let [targets, contexts] = self.laws(grid).map(|law| law.reachable().into_keys());
        let sizes = targets.max_by_key(|s| s.area()).zip(contexts.min_by_key(|s| s.area()));
        sizes.map(Into::into).filter(|_| self.size_scope == SizeScope::Batch)
    }
}

impl Masking for MultiBlock {
    fn check(&self, grid: Grid) -> Vec<Problem> {
        let problems = self.check_settings(grid);
        if !problems.is_empty() {
            return problems;
        }
        let ([target, context], sizes) = (self.laws(grid), self.hardest(grid));
        let infeasible =
            self.constraint(grid).check_feasible([&target, &context], |s| self.draft(grid, sizes, s));
        infeasible.into_iter().collect()
    }
    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
        let images = draw.images.len();
        let mut batch = draw.batch_stream();
        let sizes = (self.size_scope == SizeScope::Batch).then(|| self.draw_sizes(grid, &mut batch));
        let sample = |stream: &mut Stream| self.constraint(grid).sample(|| self.draft(grid, sizes, stream));
        let (mut plans, mut streams, redraws) = match self.mask_scope {
            MaskScope::Batch => {
                let (plan, redraws) = sample(&mut batch);
                (vec![plan; images], vec![batch; images], redraws)
            }
            MaskScope::Image => {
                let mut streams: Vec<Stream> = (0..images).map(|i| draw.image_stream(i)).collect();
                let (plans, redraws): (Vec<Crossed>, Vec<u64>) = streams.iter_mut().map(sample).unzip();
                (plans, streams, redraws.into_iter().sum())
            }
        };
        equalize(self.equalize, &mut plans, &mut streams);
        MaskBatch { plans: plans.into_iter().map(Crossed::plan).collect(), redraws }
    }
    fn allows_overlap(&self) -> bool {
        self.allow_overlap
    }
    fn min_context(&self) -> usize {
        self.min_context
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { rows: 8, cols: 8 };

    fn sample(settings: &MultiBlock, images: u64) -> MaskBatch {
        assert_eq!(settings.check(GRID), vec![], "{settings:?}");
        let images = (0..images).collect();
        settings.sample(GRID, &BatchDraw { seed: 3, epoch: 1, step: 4, images, ..BatchDraw::default() })
    }
    fn contexts(batch: &MaskBatch) -> Vec<usize> {
        batch.plans.iter().flat_map(MaskPlan::contexts).map(Vec::len).collect()
    }
    fn targets(batch: &MaskBatch) -> Vec<usize> {
        batch.plans.iter().flat_map(MaskPlan::targets).map(Vec::len).collect()
    }
    fn has_one_size(plan: &MaskPlan) -> bool {
        let first = plan.views[0].targets[0].len();
        plan.targets().all(|t| t.len() == first)
    }

    #[test]
    fn scopes_share_what_they_say() {
        let own = sample(&MultiBlock::default(), 64);
        assert!(own.plans[1..].iter().any(|p| *p != own.plans[0]));
        assert!(own.plans.iter().all(has_one_size));
        let one = sample(&MultiBlock { mask_scope: MaskScope::Batch, ..Default::default() }, 64);
        assert!(one.plans.iter().all(|p| *p == one.plans[0]));
        let sizes = sample(&MultiBlock { size_scope: SizeScope::Batch, ..Default::default() }, 64);
        let targets = targets(&sizes);
        assert!(targets.iter().all(|&n| n == targets[0]));
        let blocks = sample(&MultiBlock { size_scope: SizeScope::Block, ..Default::default() }, 64);
        assert!(!blocks.plans.iter().all(has_one_size));
    }

    #[test]
    fn an_image_keeps_its_mask_in_another_batch() {
        let settings = MultiBlock::default();
        let batch = |images| {
            settings.sample(GRID, &BatchDraw { seed: 3, epoch: 1, step: 4, images, ..BatchDraw::default() })
        };
        assert_eq!(batch(vec![8, 9]).plans[1], batch(vec![9]).plans[0]);
    }

    #[test]
    fn equalized_masks_have_one_length() {
        for equalize in [Cut::Raster, Cut::Random] {
            let batch = sample(&MultiBlock { equalize, contexts: 2, ..Default::default() }, 32);
            for all in [contexts(&batch), targets(&batch)] {
                assert!(all.iter().all(|&n| n == all[0] && n >= 4), "{all:?}");
            }
        }
    }

    #[test]
    fn exclusive_bounds_never_use_the_last_row_and_column() {
        let batch = sample(&MultiBlock { bounds: Bounds::Exclusive, ..Default::default() }, 64);
        let used: Vec<u32> =
            batch.plans.iter().flat_map(|p| p.contexts().chain(p.targets())).flatten().copied().collect();
        assert!(used.iter().all(|p| p % 8 < 7 && p / 8 < 7));
        let narrow = MultiBlock { bounds: Bounds::Exclusive, min_context: 1, ..Default::default() };
        assert_eq!(narrow.check(Grid { rows: 1, cols: 8 })[0].path, "bounds");
    }

    #[test]
    fn infeasible_settings_name_the_reachable_blocks() {
        let greedy = MultiBlock { target_scale: [0.9, 1.0], target_aspect: [1.0, 1.0], ..Default::default() };
        let problem = &greedy.check(GRID)[0];
        assert!(problem.help.as_ref().unwrap().contains("targets 8x8"), "{problem:?}");
        let demanding = MultiBlock { min_context: 64, ..Default::default() };
        assert_eq!(demanding.check(GRID)[0].message, "64 given; 1 to 63 are allowed");
    }
}
