//! Masks that are written down.

use ijepa_registry::prelude::*;

/// Settings of `kind: replay`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Replay {
    /// The masks, each with one view.
    masks: Vec<Written>,
    /// Which image gets which mask.
    #[serde(default)]
    order: Order,
}

/// A mask as it is written: patch numbers, row by row from the top left, from 0.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Patches that are seen.
    #[schemars(inner(range(min = 0, max = 65_535)))]
    context: Vec<u32>,
    /// Patches that are predicted, block by block.
    #[schemars(inner(inner(range(min = 0, max = 65_535))))]
    targets: Vec<Vec<u32>>,
}

/// Which image gets which mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// One at random, anew in every epoch.
    #[default]
    Random,
    /// Always the same: image number modulo the number of masks.
    Image,
    /// One after the other: image number plus epoch, modulo the number of masks.
    Epoch,
}

component! {
    /// Masks from a list: those of another program, or hand-made ones.
    ///
    /// `masks` is part of the experiment, and so of what names a run; a long list is best kept in a file of its
    /// own, `masks.yaml` with the section `masking`, which the experiment `extends`. `ijepa-run masks FILE --write
    /// masks.yaml` writes such a file with masks that any other strategy draws.
    masking "replay" => Replay,
    example = "{ masks: [{ context: [0, 1, 4, 5], targets: [[10, 11, 14, 15]] }], order: image }",
    aliases = [
        "file" => "{ kind: replay, masks: [{ context: [0, 1, 4, 5], targets: [[10, 11, 14, 15]] }] }",
        "recorded" => "{ kind: replay, masks: [{ context: [0, 1, 4, 5], targets: [[10, 11, 14, 15]] }] }"
    ]
}

impl Written {
    /// Sorted, each patch once.
    fn plan(&self) -> MaskPlan {
        let sorted = |patches: &Vec<u32>| {
            let mut patches = patches.clone();
            patches.sort_unstable();
            patches.dedup();
            patches
        };
        MaskPlan::new(sorted(&self.context), self.targets.iter().map(sorted).collect())
    }

    fn problem(&self, grid: Grid) -> Option<String> {
        let lists = || std::iter::once(&self.context).chain(&self.targets);
        if self.targets.is_empty() || lists().any(Vec::is_empty) {
            return Some("has an empty context or target, or no target".into());
        }
        let outside = lists().flatten().find(|&&patch| patch as usize >= grid.len());
        let Grid { rows, cols } = grid;
        let outside = outside
            .map(|p| format!("names patch {p}; {rows}x{cols} patches are numbered 0 to {}", grid.len() - 1));
        let shared = || self.targets.iter().flatten().find(|patch| self.context.contains(patch));
        outside.or_else(|| shared().map(|p| format!("has patch {p} both in the context and in a target")))
    }
}

impl Replay {
    fn choice(&self, draw: &BatchDraw, i: usize) -> usize {
        let count = self.masks.len();
        match self.order {
            Order::Random => draw.image_stream(i).below(count),
            Order::Image => (draw.images[i] % count as u64) as usize,
            Order::Epoch => ((draw.images[i] + draw.epoch + draw.repeat) % count as u64) as usize,
        }
    }
}

impl Masking for Replay {
    fn check(&self, grid: Grid) -> Vec<Problem> {
        if self.masks.is_empty() {
            return vec![Problem::new("masks", "holds no mask")];
        }
        let wrong = self.masks.iter().enumerate();
        let wrong = wrong.filter_map(|(i, m)| Some(Problem::new(format!("masks.{i}"), m.problem(grid)?)));
        wrong.take(8).collect()
    }
    fn sample(&self, _: Grid, draw: &BatchDraw) -> MaskBatch {
        let plans = (0..draw.images.len()).map(|i| self.masks[self.choice(draw, i)].plan()).collect();
        MaskBatch { plans, redraws: 0 }
    }
    fn min_context(&self) -> usize {
        self.masks.iter().map(|m| m.plan().views[0].context.len()).min().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { rows: 2, cols: 3 };

    fn replay(order: Order, masks: &[(&[u32], &[u32])]) -> Replay {
        let written = |(c, t): &(&[u32], &[u32])| Written { context: c.to_vec(), targets: vec![t.to_vec()] };
        Replay { masks: masks.iter().map(written).collect(), order }
    }

    #[test]
    fn every_order_takes_the_masks_as_written() {
        let firsts = |order, epoch| {
            let draw = BatchDraw { epoch, images: (0..6).collect(), ..BatchDraw::default() };
            let all = replay(order, &[(&[1, 0], &[5]), (&[2], &[3, 4])]).sample(GRID, &draw);
            all.plans.into_iter().map(|p| p.views[0].context.clone()).collect::<Vec<_>>()
        };
        let (a, b) = (vec![0, 1], vec![2]);
        assert_eq!(firsts(Order::Image, 3), [&a, &b, &a, &b, &a, &b].map(Clone::clone));
        assert_eq!(firsts(Order::Epoch, 3), [&b, &a, &b, &a, &b, &a].map(Clone::clone));
        assert!(firsts(Order::Random, 0) != firsts(Order::Random, 1));
    }

    #[test]
    fn masks_that_are_none_are_refused_by_number() {
        let wrong = replay(Order::Image, &[(&[0], &[1]), (&[0], &[6]), (&[0, 1], &[1]), (&[], &[1])]);
        let problems = wrong.check(GRID);
        let places: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(places, ["masks.1", "masks.2", "masks.3"]);
        assert!(problems[0].message.contains("patch 6; 2x3 patches are numbered 0 to 5"), "{problems:?}");
        assert_eq!(replay(Order::Image, &[]).check(GRID).len(), 1);
    }
}
