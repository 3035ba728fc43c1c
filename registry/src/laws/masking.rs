//! Laws of masking strategies.

use super::{Broken, KindLaws};
use crate::prelude::*;

const GRIDS: [(usize, usize); 4] = [(4, 4), (8, 8), (14, 14), (6, 9)];
const KEYS: u64 = 64;
const IMAGES: u64 = 3;

impl KindLaws for dyn Masking {
    fn check(masking: &Self, broken: &mut Broken) {
        let grids = GRIDS.map(|(rows, cols)| Grid { rows, cols });
        let feasible: Vec<Grid> = grids.into_iter().filter(|&g| masking.check(g).is_empty()).collect();
        broken.unless(!feasible.is_empty(), || {
            format!("its example is refused on every grid: {:?}", masking.check(grids[1]))
        });
        for grid in feasible {
            // One sentence per grid is enough.
            let problem = (0..KEYS).find_map(|key| problem_of_key(masking, grid, key));
            broken.0.extend(problem.map(|p| format!("{}x{} patches: {p}", grid.rows, grid.cols)));
        }
        for grid in grids {
            let problem = (0..KEYS).find_map(|key| problem_of_options(masking, grid, key));
            broken
                .0
                .extend(problem.map(|p| format!("{}x{} patches, with options: {p}", grid.rows, grid.cols)));
        }
    }
}

fn draw_of(key: u64) -> BatchDraw {
    let images = (0..IMAGES).map(|i| key * IMAGES + i).collect();
    let progress = key as f64 / KEYS as f64;
    BatchDraw { seed: key / 16, epoch: key % 4, step: key, images, progress, ..BatchDraw::default() }
}

fn problem_of_key(masking: &dyn Masking, grid: Grid, key: u64) -> Option<String> {
    let draw = draw_of(key);
    let draw = if masking.sees_images() { draw.with_noise(grid) } else { draw };
    let batch = masking.sample(grid, &draw);
    if batch != masking.sample(grid, &draw) {
        return Some("the same key gives another mask".into());
    }
    if batch.plans.len() != draw.images.len() {
        return Some(format!("{} plans for {} images", batch.plans.len(), draw.images.len()));
    }
    batch.plans.iter().find_map(|plan| problem_of_plan(masking, grid, plan))
}

/// What the options of the section make of a mask keeps the same promises.
fn problem_of_options(masking: &dyn Masking, grid: Grid, key: u64) -> Option<String> {
    let options = ViewOptions { draws: 2, unit: 2, predict_fraction: 0.5, ..ViewOptions::default() };
    if !masking.check_views(grid, &options).is_empty() {
        return None;
    }
    let batch = masking.views(grid, draw_of(key), &options);
    batch.plans.iter().find_map(|plan| problem_of_plan(masking, grid, plan))
}

fn problem_of_plan(masking: &dyn Masking, grid: Grid, plan: &MaskPlan) -> Option<String> {
    if plan.views.is_empty() || plan.views.iter().any(|view| view.targets.is_empty()) {
        return Some("a plan without a view, or a view without targets".into());
    }
    plan.views.iter().find_map(|view| problem_of_view(masking, grid, view))
}

fn problem_of_view(masking: &dyn Masking, grid: Grid, view: &View) -> Option<String> {
    let lists = || std::iter::once(&view.context).chain(&view.targets);
    if let Some(list) = lists().find(|l| l.is_empty() || !l.is_sorted_by(|a, b| a < b)) {
        return Some(format!("{list:?} is empty, unsorted or not unique"));
    }
    if let Some(patch) = lists().flatten().find(|&&p| p as usize >= grid.len()) {
        return Some(format!("patch {patch} is not on the grid"));
    }
    let (context, least) = (&view.context, masking.min_context());
    if context.len() < least {
        return Some(format!("a context of {} patches, promised are {least}", context.len()));
    }
    let shared = view.targets.iter().flatten().find(|p| context.contains(p));
    shared.filter(|_| !masking.allows_overlap()).map(|p| format!("context patch {p} is a target too"))
}
