//! The same contexts whatever the targets are.

use ijepa_registry::prelude::*;

use super::shared::blocks::{
    ASPECTS, Block, SHARES, SideRounding, Size, SizeDistribution, check_range, describe,
};

/// Settings of `kind: fixed_context`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct FixedContext {
    /// Form of the context.
    context: Form,
    /// Least and greatest share of the grid's patches that is seen.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    context_scale: [f64; 2],
    /// Target blocks per image.
    #[schemars(range(min = 1, max = 64))]
    targets: usize,
    /// Least and greatest share of the grid's patches that a target block covers, before the context is taken out.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    target_scale: [f64; 2],
    /// Least and greatest aspect ratio (height / width) of a target block.
    #[schemars(inner(range(min = 0.01, max = 100.0)))]
    target_aspect: [f64; 2],
}

/// Form of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Form {
    /// One block of aspect ratio 1.
    Block,
    /// Single patches, each equally likely.
    Patches,
}

impl Default for FixedContext {
    fn default() -> Self {
        FixedContext {
            context: Form::Block,
            context_scale: [0.25, 0.35],
            targets: 4,
            target_scale: [0.15, 0.2],
            target_aspect: [0.75, 1.5],
        }
    }
}

component! {
    /// The context is drawn first; target blocks lose what it covers. Only the targets change between arms.
    ///
    /// In `multiblock` targets are taken out of the context, so that more or larger targets also mean a smaller
    /// context, and an ablation of the targets (table 6 of Assran et al. 2023) varies both. Here the context of an image
    /// depends on the seed, the epoch and the settings of the context alone. A target block that the context covers
    /// whole is drawn again (counted); after 64 draws it is one patch outside the context.
    masking "fixed_context" => FixedContext, example = "{ targets: 4, context_scale: [0.25, 0.35] }",
    aliases = ["context_first" => "fixed_context"]
}

/// Draws of a target block before a single patch takes its place.
const MOST_REDRAWS: u64 = 64;

impl FixedContext {
    fn law(scale: [f64; 2], aspect: [f64; 2], grid: Grid) -> SizeDistribution {
        SizeDistribution { rounding: SideRounding::Sides, scale, aspect, correlated: false, grid, room: grid }
    }

    /// Patches of a context of single patches for a share.
    fn count(share: f64, grid: Grid) -> usize {
        ((grid.len() as f64 * share + 1e-9) as usize).max(1)
    }

    fn context(&self, grid: Grid, stream: &mut Stream) -> Vec<u32> {
        match self.context {
            Form::Block => {
                let size = Self::law(self.context_scale, [1.0, 1.0], grid).draw(stream);
                Block::place(size, grid, stream).patches(grid)
            }
            Form::Patches => {
                let [low, high] = self.context_scale;
                let mut patches: Vec<u32> = (0..grid.len() as u32).collect();
                stream.shuffle(&mut patches);
                patches.truncate(Self::count(stream.uniform_in(low, high), grid));
                patches.sort_unstable();
                patches
            }
        }
    }

    /// A target block without the context, and how many were drawn in vain.
    fn target(&self, grid: Grid, context: &[u32], stream: &mut Stream) -> (Vec<u32>, u64) {
        let law = Self::law(self.target_scale, self.target_aspect, grid);
        let outside = |patch: &u32| context.binary_search(patch).is_err();
        for redraws in 0..MOST_REDRAWS {
            let mut block = Block::place(law.draw(stream), grid, stream).patches(grid);
            block.retain(outside);
            if !block.is_empty() {
                return (block, redraws);
            }
        }
        let free: Vec<u32> = (0..grid.len() as u32).filter(outside).collect();
        (vec![free[stream.below(free.len())]], MOST_REDRAWS)
    }
}

impl Masking for FixedContext {
    fn check(&self, grid: Grid) -> Vec<Problem> {
        let many = (!(1..=64).contains(&self.targets))
            .then(|| Problem::new("targets", format!("{} blocks; 1 to 64 are allowed", self.targets)));
        let wrong = [
            many,
            check_range("context_scale", self.context_scale, SHARES),
            check_range("target_scale", self.target_scale, SHARES),
            check_range("target_aspect", self.target_aspect, ASPECTS),
        ];
        let wrong: Vec<Problem> = wrong.into_iter().flatten().collect();
        if !wrong.is_empty() || grid.is_empty() {
            return wrong;
        }
        let sizes = Self::law(self.context_scale, [1.0, 1.0], grid).reachable();
        let covers = match self.context {
            Form::Block => sizes.contains_key(&Size { height: grid.rows, width: grid.cols }),
            Form::Patches => Self::count(self.context_scale[1], grid) >= grid.len(),
        };
        let sentence = || {
            let message =
                format!("a context can cover all {}x{} patches and leave no target", grid.rows, grid.cols);
            let help = format!("reachable blocks (height x width) are: {}", describe(&sizes));
            Problem::new("context_scale", message).help(help)
        };
        covers.then(sentence).into_iter().collect()
    }
    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
        let mut all = 0;
        let mut plan = |i: usize| {
            let mut stream = draw.image_stream(i);
            let context = self.context(grid, &mut stream);
            let (targets, redraws): (Vec<_>, Vec<u64>) =
                (0..self.targets).map(|_| self.target(grid, &context, &mut stream)).unzip();
            all += redraws.into_iter().sum::<u64>();
            MaskPlan::new(context, targets)
        };
        let plans = (0..draw.images.len()).map(&mut plan).collect();
        MaskBatch { plans, redraws: all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { rows: 8, cols: 8 };

    #[test]
    fn contexts_do_not_depend_on_targets() {
        let draw = BatchDraw { images: (0..200).collect(), ..BatchDraw::default() };
        for context in [Form::Block, Form::Patches] {
            let few = FixedContext { context, targets: 1, ..FixedContext::default() };
            let many = FixedContext { targets: 8, target_scale: [0.05, 0.4], ..few.clone() };
            assert!(few.check(GRID).is_empty() && many.check(GRID).is_empty());
            let contexts = |masking: &FixedContext| {
                let plans = masking.sample(GRID, &draw).plans;
                plans.into_iter().map(|p| p.views[0].context.clone()).collect::<Vec<_>>()
            };
            assert_eq!(contexts(&few), contexts(&many));
        }
    }

    #[test]
    fn a_covered_target_ends_as_one_patch_and_a_covered_grid_is_refused() {
        let small = FixedContext { target_scale: [0.0, 0.0], ..FixedContext::default() };
        let context: Vec<u32> = (0..63).collect();
        let (target, _) = small.target(GRID, &context, &mut Stream::new(0, "test", 0, 0));
        assert_eq!(target, [63]);
        let whole = FixedContext { context_scale: [0.5, 1.0], ..FixedContext::default() };
        assert!(whole.check(GRID)[0].message.contains("leave no target"));
        assert!(!FixedContext { context: Form::Patches, ..whole }.check(GRID).is_empty());
    }
}
