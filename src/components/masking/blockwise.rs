//! Blocks hidden one after the other until a share of the image is.

use ijepa_registry::prelude::*;

use super::shared::{
    blocks::{ASPECTS, Block, Size, check_range},
    plan_each,
};

/// Settings of `kind: blockwise`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Blockwise {
    /// Share of the patches that is hidden, at most, and predicted.
    #[schemars(range(min = 0.01, max = 0.99))]
    ratio: f64,
    /// Fewest patches of a block.
    #[schemars(range(min = 1, max = 65_536))]
    min_block: usize,
    /// Least and greatest aspect ratio (height / width) of a block; its logarithm is uniform.
    #[schemars(inner(range(min = 0.01, max = 100.0)))]
    aspect: [f64; 2],
}

impl Default for Blockwise {
    fn default() -> Self {
        Blockwise { ratio: 0.4, min_block: 16, aspect: [0.3, 1.0 / 0.3] }
    }
}

component! {
    /// Blocks of all shapes are hidden one after the other until a share of the image is; the rest is the context.
    ///
    /// The blockwise masking of BEiT (Bao et al. 2021, arXiv 2106.08254, algorithm 1; defaults as there, for 14 x 14
    /// patches: 16 patches are 8 % of an image, 5 of 8 x 8). Of at most `M = floor(N ratio)` hidden patches, each block
    /// has a size uniform between `min_block` and what is missing, and is laid anywhere where it hides something new
    /// and not too much; after ten misses it ends, so that a few patches of `M` are often missing.
    masking "blockwise" => Blockwise, example = "{ ratio: 0.4, min_block: 4 }",
    aliases = ["beit" => "blockwise", "block_wise" => "blockwise"]
}

/// Places that are tried for a block.
const ATTEMPTS: usize = 10;

impl Blockwise {
    fn most(&self, grid: Grid) -> usize {
        (grid.len() as f64 * self.ratio + 1e-9) as usize
    }

    fn plan(&self, grid: Grid, stream: &mut Stream) -> MaskPlan {
        let mut hidden = vec![false; grid.len()];
        let mut missing = self.most(grid);
        while missing > 0 {
            let Some(block) = (0..ATTEMPTS).find_map(|_| self.block(grid, &hidden, missing, stream)) else {
                break;
            };
            missing -= block.len();
            block.into_iter().for_each(|patch| hidden[patch as usize] = true);
        }
        let mut all: Vec<u32> = (0..grid.len() as u32).collect();
        // Nothing fitted: one patch, so that there is something to predict.
        if !hidden.contains(&true) {
            hidden[stream.below(grid.len())] = true;
        }
        let target = all.extract_if(.., |patch| hidden[*patch as usize]).collect();
        MaskPlan::new(all, vec![target])
    }

    /// What a new block hides that was not hidden: some patches, and at most `missing`.
    fn block(&self, grid: Grid, hidden: &[bool], missing: usize, stream: &mut Stream) -> Option<Vec<u32>> {
        let area = stream.uniform_in(self.min_block as f64, missing as f64);
        let aspect = stream.uniform_in(self.aspect[0].ln(), self.aspect[1].ln()).exp();
        let [height, width] =
            [area * aspect, area / aspect].map(|square| square.sqrt().round_ties_even() as usize);
        if height == 0 || width == 0 || height >= grid.rows || width >= grid.cols {
            return None;
        }
        let mut patches = Block::place(Size { height, width }, grid, stream).patches(grid);
        patches.retain(|&patch| !hidden[patch as usize]);
        (!patches.is_empty() && patches.len() <= missing).then_some(patches)
    }
}

impl Masking for Blockwise {
    fn check(&self, grid: Grid) -> Vec<Problem> {
        let wrong: Vec<Problem> = check_range("aspect", self.aspect, ASPECTS).into_iter().collect();
        let most = self.most(grid);
        if !(0.0..1.0).contains(&self.ratio) || most < 1 || most >= grid.len() {
            let message = format!("{} of {} patches leaves no context or no target", self.ratio, grid.len());
            return vec![Problem::new("ratio", message)];
        }
        let too_large = (!(1..=most).contains(&self.min_block)).then(|| {
            let message = format!("is {}; {most} of {} patches are to be hidden", self.min_block, grid.len());
            Problem::new("min_block", message).help(format!("allowed: 1 to {most}"))
        });
        wrong.into_iter().chain(too_large).collect()
    }
    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
        plan_each(draw, |stream| self.plan(grid, stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beit_hides_75_of_196_patches_in_blocks() {
        let grid = Grid { rows: 14, cols: 14 };
        let beit = Blockwise { ratio: 75.5 / 196.0, ..Blockwise::default() };
        assert!(beit.check(grid).is_empty());
        let batch = beit.sample(grid, &BatchDraw { images: (0..500).collect(), ..BatchDraw::default() });
        let hidden: Vec<usize> = batch.plans.iter().map(|p| p.views[0].targets[0].len()).collect();
        assert!(hidden.iter().all(|&n| n <= 75), "{hidden:?}");
        let mean = hidden.iter().sum::<usize>() as f64 / 500.0;
        assert!(mean > 65.0, "{mean}");
        // Blocks: a hidden patch has a hidden right neighbour far more often than one in 0.38.
        let beside = |target: &[u32]| {
            let inner: Vec<&u32> = target.iter().filter(|p| *p % 14 != 13).collect();
            let both = inner.iter().filter(|p| target.binary_search(&(**p + 1)).is_ok()).count();
            both as f64 / inner.len() as f64
        };
        let share = batch.plans.iter().map(|p| beside(&p.views[0].targets[0])).sum::<f64>() / 500.0;
        assert!(share > 0.7, "{share}");
    }

    #[test]
    fn what_cannot_be_hidden_is_refused() {
        let grid = Grid { rows: 4, cols: 4 };
        assert!(Blockwise::default().check(grid)[0].message.contains("6 of 16 patches are to be hidden"));
        assert_eq!(Blockwise { ratio: 0.01, ..Blockwise::default() }.check(grid)[0].path, "ratio");
    }
}
