use crate::{
    mask::{BatchDraw, Grid, MaskBatch},
    problem::Problem,
};

/// A masking strategy: which patches the context encoder sees and which are predicted.
///
/// Promises, checked by the laws on several grids and many keys: every list is non-empty, sorted,
/// unique and in range; no context patch is a target unless [`Masking::allows_overlap`]; every
/// context holds at least [`Masking::min_context`] patches; the result is a pure function of the
/// key; sampling always ends.
pub trait Masking: std::fmt::Debug + Send + Sync {
    /// What is wrong with the settings on this grid: ranges, unreachable or infeasible masks.
    fn check(&self, grid: Grid) -> Vec<Problem>;
    /// Masks of one batch. Called only if `check` found nothing; with images if the strategy asks for them.
    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch;
    /// Whether a context may contain target patches.
    fn allows_overlap(&self) -> bool {
        false
    }
    /// Whether masks depend on how much of the training is over ([`BatchDraw::progress`]).
    fn follows_progress(&self) -> bool {
        false
    }
    /// Whether masks depend on what the images show: [`BatchDraw::pixels`] then holds them, of any size whose sides
    /// the grid divides. Where no images are at hand (laws, estimates of cost), they are noise.
    fn sees_images(&self) -> bool {
        false
    }
    /// Fewest patches of any context.
    fn min_context(&self) -> usize {
        1
    }
}
