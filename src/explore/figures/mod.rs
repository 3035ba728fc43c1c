//! The figures of a page about runs.

pub(super) mod bars;
pub(super) mod charts;
pub(super) mod matrix;
pub(super) mod neighbours;
pub(super) mod patches;
pub(super) mod scatter;

/// Colours of runs: the first is `s1`, the second `s2`.
pub(super) fn colour(run: usize) -> &'static str {
    ["s1", "s2"][run % 2]
}
