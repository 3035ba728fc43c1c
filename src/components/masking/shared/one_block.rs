//! One block of an image on one side, all other patches on the other.

use ijepa_registry::prelude::*;

use super::blocks::{ASPECTS, SHARES, SideRounding, Size, SizeDistribution, check_range, describe};

/// Sizes of a block anywhere on the grid, drawn as those of `multiblock`.
pub(crate) fn sizes(scale: [f64; 2], aspect: [f64; 2], grid: Grid) -> SizeDistribution {
    SizeDistribution { rounding: SideRounding::Sides, scale, aspect, correlated: false, grid, room: grid }
}

/// What is wrong with the settings of a block that may not cover the grid: `rest` would be left without a patch.
pub(crate) fn check(scale: [f64; 2], aspect: [f64; 2], grid: Grid, rest: &str) -> Vec<Problem> {
    let wrong = [check_range("scale", scale, SHARES), check_range("aspect", aspect, ASPECTS)];
    let wrong: Vec<Problem> = wrong.into_iter().flatten().collect();
    if !wrong.is_empty() {
        return wrong;
    }
    let sizes = sizes(scale, aspect, grid).reachable();
    let whole = Size { height: grid.rows, width: grid.cols };
    let sentence = || {
        let message =
            format!("a block can cover all {}x{} patches and leave no {rest}", grid.rows, grid.cols);
        Problem::new("scale", message)
            .help(format!("reachable blocks (height x width) are: {}", describe(&sizes)))
    };
    sizes.contains_key(&whole).then(sentence).into_iter().collect()
}

/// All patches of the grid but these, which are sorted.
pub(crate) fn others(patches: &[u32], grid: Grid) -> Vec<u32> {
    (0..grid.len() as u32).filter(|p| patches.binary_search(p).is_err()).collect()
}
