use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::masking::Masking;
use crate::{
    mask::{BatchDraw, Grid, MaskBatch, View},
    problem::Problem,
    rng::Stream,
};

/// What can be asked of every masking strategy: how often it draws, on which grid, and what is kept of a draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ViewOptions {
    /// Independent draws per image and step. Each is a view of its own; all share one pass of the teacher, so
    /// that more is predicted of every image that the teacher has seen.
    #[schemars(range(min = 1, max = 64))]
    pub draws: u64,
    /// Side of a square of patches that is seen or hidden together: masks are drawn on a grid so much coarser.
    /// With 2, a patch at the border of the context no longer tells its neighbours of the same square. Counts of
    /// patches in the settings of the strategy are then counts of squares. Divides both sides of the grid.
    #[schemars(range(min = 1, max = 64))]
    pub unit: usize,
    /// Share of the patches of every target block that is predicted, at random and at least one; the others stay
    /// hidden. A predictor then has fewer rows to compute (CrossMAE, arXiv 2401.14391).
    #[schemars(range(min = 0.001, max = 1.0))]
    pub predict_fraction: f64,
    /// Exactly so many patches in every context: of a larger one a random part is kept, a smaller one is filled up with
    /// random patches that are not predicted. All arms of a comparison then cost the same per context.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub context_count: Option<usize>,
}

impl Default for ViewOptions {
    fn default() -> Self {
        ViewOptions { draws: 1, unit: 1, predict_fraction: 1.0, context_count: None }
    }
}

/// Images of a trial batch that [`ViewOptions::context_count`] is checked on.
const TRIALS: u64 = 256;

impl ViewOptions {
    /// The grid of units.
    fn units(&self, grid: Grid) -> Grid {
        Grid { rows: grid.rows / self.unit, cols: grid.cols / self.unit }
    }

    fn check_unit(&self, grid: Grid) -> Option<Problem> {
        let fits = |unit: usize| grid.rows.is_multiple_of(unit) && grid.cols.is_multiple_of(unit);
        let possible: Vec<String> =
            (1..=grid.rows.min(grid.cols)).filter(|&unit| fits(unit)).map(|unit| unit.to_string()).collect();
        let sentence = format!(
            "squares of {0} x {0} do not divide a grid of {1}x{2} patches",
            self.unit, grid.rows, grid.cols
        );
        let wrong = self.unit == 0 || !fits(self.unit);
        wrong.then(|| Problem::new("unit", sentence).help(format!("possible: {}", possible.join(", "))))
    }

    /// Patches of units, sorted.
    fn patches(&self, grid: Grid, units: &[u32]) -> Vec<u32> {
        let cols = self.units(grid).cols;
        let square = |&u: &u32| {
            grid.block(u as usize / cols * self.unit, u as usize % cols * self.unit, self.unit, self.unit)
        };
        let mut all: Vec<u32> = units.iter().flat_map(square).collect();
        all.sort_unstable();
        all
    }

    /// A view of units as one of patches, with what the options take away and add.
    fn apply(&self, view: &mut View, grid: Grid, stream: &mut Stream) {
        if self.unit > 1 {
            let lists = std::iter::once(&mut view.context).chain(&mut view.targets);
            lists.for_each(|list| *list = self.patches(grid, list));
        }
        let hidden: Vec<u32> = if self.context_count.is_some() { view.targets.concat() } else { Vec::new() };
        if self.predict_fraction < 1.0 {
            for block in &mut view.targets {
                let kept = ((block.len() as f64 * self.predict_fraction).round() as usize).max(1);
                keep_some(block, kept, stream);
            }
        }
        if let Some(count) = self.context_count {
            fill(view, count, &hidden, grid, stream);
            keep_some(&mut view.context, count, stream);
        }
    }
}

/// A random part of a sorted list.
fn keep_some(list: &mut Vec<u32>, count: usize, stream: &mut Stream) {
    if list.len() > count {
        stream.shuffle(list);
        list.truncate(count);
        list.sort_unstable();
    }
}

/// Adds patches to a context of fewer than `count`: of those that are not `hidden`; where they run out, of hidden ones
/// that are not predicted, and in the end of predicted ones, which are then no longer predicted as long as their
/// block has another.
fn fill(view: &mut View, count: usize, hidden: &[u32], grid: Grid, stream: &mut Stream) {
    let mut order: Vec<u32> =
        (0..grid.len() as u32).filter(|p| view.context.binary_search(p).is_err()).collect();
    stream.shuffle(&mut order);
    order.sort_by_key(|p| {
        let predicted = view.targets.iter().any(|t| t.binary_search(p).is_ok());
        (predicted, hidden.contains(p))
    });
    for patch in order {
        if view.context.len() >= count {
            break;
        }
        if view.targets.iter().all(|t| t.len() > 1 || t[0] != patch) {
            view.targets.iter_mut().for_each(|t| t.retain(|&p| p != patch));
            view.context.push(patch);
        }
    }
    view.context.sort_unstable();
}

impl dyn Masking + '_ {
    /// What is wrong with the settings and the options on this grid.
    pub fn check_views(&self, grid: Grid, options: &ViewOptions) -> Vec<Problem> {
        if let Some(problem) = options.check_unit(grid) {
            return vec![problem];
        }
        let problems = self.check(options.units(grid));
        let Some(count) = options.context_count.filter(|_| problems.is_empty()) else { return problems };
        let most = self.room_for_contexts(grid, options);
        let sentence =
            || format!("is {count}; masks as these leave at least {most} patches that are not predicted");
        let too_many = (count > most).then(|| {
            let help = format!("allowed: 1 to {most}, or other settings of the masks");
            Problem::new("context_count", sentence()).help(help)
        });
        too_many.into_iter().collect()
    }

    /// Fewest patches outside the targets in a batch of trial draws.
    fn room_for_contexts(&self, grid: Grid, options: &ViewOptions) -> usize {
        let images = (0..TRIALS).collect();
        let draw = BatchDraw { images, ..BatchDraw::default() };
        let whole = ViewOptions { draws: 1, context_count: None, predict_fraction: 1.0, ..options.clone() };
        let outside = |view: &View| {
            (0..grid.len() as u32)
                .filter(|p| view.targets.iter().all(|t| t.binary_search(p).is_err()))
                .count()
        };
        let plans = self.views(grid, draw, &whole).plans;
        plans.iter().flat_map(|plan| &plan.views).map(outside).min().unwrap_or(0)
    }

    /// The views of an image: those of `options.draws` independent draws, one after the other, each on streams of
    /// its own, with what the options make of them.
    pub fn views(&self, grid: Grid, draw: BatchDraw, options: &ViewOptions) -> MaskBatch {
        let unseen = self.sees_images() && draw.pixels.is_empty();
        let draw = if unseen { draw.with_noise(grid) } else { draw };
        let mut all = self.adjusted(grid, &draw, options);
        for repeat in 1..options.draws {
            let more = self.adjusted(grid, &BatchDraw { repeat, ..draw.clone() }, options);
            all.redraws += more.redraws;
            all.plans.iter_mut().zip(more.plans).for_each(|(plan, more)| plan.views.extend(more.views));
        }
        all
    }

    fn adjusted(&self, grid: Grid, draw: &BatchDraw, options: &ViewOptions) -> MaskBatch {
        let mut batch = self.sample(options.units(grid), draw);
        for (i, plan) in batch.plans.iter_mut().enumerate() {
            let mut stream = draw.option_stream(i);
            plan.views.iter_mut().for_each(|view| options.apply(view, grid, &mut stream));
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::MaskPlan;

    const GRID: Grid = Grid { rows: 4, cols: 6 };

    /// The first unit is the context, the second and third a target block, the third another.
    #[derive(Debug)]
    struct First;

    impl Masking for First {
        fn check(&self, _: Grid) -> Vec<Problem> {
            vec![]
        }
        fn sample(&self, _: Grid, draw: &BatchDraw) -> MaskBatch {
            let plan = MaskPlan::new(vec![0], vec![vec![1, 2], vec![2]]);
            MaskBatch { plans: vec![plan; draw.images.len()], redraws: 1 }
        }
    }

    fn views(options: &ViewOptions) -> Vec<View> {
        let draw = BatchDraw { images: vec![3, 4], ..BatchDraw::default() };
        let masking: &dyn Masking = &First;
        assert_eq!(masking.check_views(GRID, options), vec![]);
        masking.views(GRID, draw, options).plans.into_iter().flat_map(|plan| plan.views).collect()
    }

    #[test]
    fn units_are_squares_of_patches() {
        let view = views(&ViewOptions { unit: 2, ..ViewOptions::default() }).remove(0);
        assert_eq!(view.context, [0, 1, 6, 7]);
        assert_eq!(view.targets, [vec![2, 3, 4, 5, 8, 9, 10, 11], vec![4, 5, 10, 11]]);
        let masking: &dyn Masking = &First;
        let problem = &masking.check_views(GRID, &ViewOptions { unit: 4, ..ViewOptions::default() })[0];
        assert!(
            problem.message.contains("4 x 4 do not divide")
                && problem.help.as_deref() == Some("possible: 1, 2")
        );
    }

    #[test]
    fn a_fraction_of_every_block_is_predicted_and_no_more_is_seen() {
        let options = ViewOptions { unit: 2, predict_fraction: 0.25, draws: 20, ..ViewOptions::default() };
        let all = views(&options);
        assert_eq!(all.len(), 40);
        assert!(
            all.iter().all(|v| v.targets[0].len() == 2 && v.targets[1].len() == 1 && v.context.len() == 4)
        );
        let mut predicted: Vec<u32> = all.iter().flat_map(|v| v.targets[0].clone()).collect();
        predicted.sort_unstable();
        predicted.dedup();
        assert_eq!(predicted, [2, 3, 4, 5, 8, 9, 10, 11], "every patch has its turn");
    }

    #[test]
    fn contexts_hold_exactly_what_is_asked_for() {
        for count in [1, 3, 16] {
            let options =
                ViewOptions { unit: 2, context_count: Some(count), draws: 8, ..ViewOptions::default() };
            for view in views(&options) {
                assert_eq!(view.context.len(), count);
                assert!(view.context.is_sorted_by(|a, b| a < b) && view.targets[0].len() == 8);
                assert!(view.targets[0].iter().all(|p| !view.context.contains(p)));
            }
        }
        let masking: &dyn Masking = &First;
        let options = ViewOptions { unit: 2, context_count: Some(17), ..ViewOptions::default() };
        assert!(masking.check_views(GRID, &options)[0].message.contains("leave at least 16 patches"));
    }

    #[test]
    fn a_context_that_cannot_be_filled_takes_from_the_targets_but_leaves_each_block_a_patch() {
        let mut view = View { context: vec![0], targets: vec![vec![1, 2, 3], vec![4]] };
        let grid = Grid { rows: 1, cols: 5 };
        fill(&mut view, 5, &[1, 2, 3, 4], grid, &mut Stream::new(0, "test", 0, 0));
        assert_eq!((view.context.len(), view.targets[0].len(), &view.targets[1]), (3, 1, &vec![4]));
    }
}
