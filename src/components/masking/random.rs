//! Patches masked one by one.

use ijepa_registry::prelude::*;

use super::shared::{
    blocks::{SHARES, check_range},
    plan_each,
};

/// Settings of `kind: random`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Random {
    /// Least and greatest share of the patches that is masked, and predicted.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    ratio: [f64; 2],
}

impl Default for Random {
    fn default() -> Self {
        Random { ratio: [0.4, 0.6] }
    }
}

component! {
    /// Random patches of every image are the context, all others the one target.
    ///
    /// The `random` masking of Meta's I-JEPA code and of table 6 of Assran et al. (2023), with the
    /// share drawn per image: a context holds `floor(N (1 - r))` patches, `r` uniform in `ratio`.
    masking "random" => Random, example = "ratio: [0.4, 0.6]"
}

impl Random {
    /// Context patches when the share `ratio` is masked.
    fn kept(&self, grid: Grid, ratio: f64) -> usize {
        // `100 (1 - 0.9)` is 10 to everybody but binary fractions, which make it 9.99...
        (grid.len() as f64 * (1.0 - ratio) + 1e-9) as usize
    }
    fn plan(&self, grid: Grid, stream: &mut Stream) -> MaskPlan {
        let kept = self.kept(grid, stream.uniform_in(self.ratio[0], self.ratio[1]));
        let mut patches: Vec<u32> = (0..grid.len() as u32).collect();
        stream.shuffle(&mut patches);
        let mut target = patches.split_off(kept);
        patches.sort_unstable();
        target.sort_unstable();
        MaskPlan::new(patches, vec![target])
    }
}

impl Masking for Random {
    fn check(&self, grid: Grid) -> Vec<Problem> {
        if let Some(problem) = check_range("ratio", self.ratio, SHARES) {
            return vec![problem];
        }
        let patches = grid.len();
        let [most, least] = self.ratio.map(|r| self.kept(grid, r));
        let sentence = |what| {
            let [low, high] = self.ratio;
            Problem::new(
                "ratio",
                format!("[{low}, {high}] of {patches} patches can leave no {what}; allowed is 1 or more"),
            )
        };
        let empty_context = (least < 1).then(|| sentence("context patch"));
        let empty_target = (most >= patches).then(|| sentence("target patch"));
        empty_context.into_iter().chain(empty_target).collect()
    }
    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
        plan_each(draw, |stream| self.plan(grid, stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { rows: 8, cols: 8 };

    #[test]
    fn splits_every_image_within_the_ratio() {
        let draw = BatchDraw { epoch: 1, step: 2, images: (0..200).collect(), ..BatchDraw::default() };
        let batch = Random::default().sample(GRID, &draw);
        let kept: Vec<usize> = batch.plans.iter().map(|p| p.views[0].context.len()).collect();
        assert!(kept.iter().all(|n| (25..=38).contains(n)), "{kept:?}");
        assert!(batch.plans.iter().all(|p| p.views[0].context.len() + p.views[0].targets[0].len() == 64));
        let mean = kept.iter().sum::<usize>() as f64 / 200.0;
        assert!((mean - 31.5).abs() < 1.5, "{mean}");
    }

    #[test]
    fn every_patch_is_masked_equally_often() {
        let draw = BatchDraw { images: (0..4000).collect(), ..BatchDraw::default() };
        let batch = Random { ratio: [0.5, 0.5] }.sample(GRID, &draw);
        let mut seen = [0u32; 64];
        batch.plans.iter().flat_map(|p| &p.views[0].targets[0]).for_each(|&p| seen[p as usize] += 1);
        assert!(seen.iter().all(|&n| (1842..=2158).contains(&n)), "{seen:?}");
    }

    #[test]
    fn a_ratio_that_leaves_nothing_is_refused() {
        let tiny = Grid { rows: 2, cols: 2 };
        assert!(Random { ratio: [0.5, 0.9] }.check(tiny)[0].message.contains("no context patch"));
        assert!(Random { ratio: [1e-12, 0.5] }.check(tiny)[0].message.contains("no target patch"));
        assert_eq!(Random { ratio: [0.6, 0.4] }.check(tiny)[0].path, "ratio");
        assert!(Random::default().check(tiny).is_empty());
    }
}
