//! Statistics of a handful of numbers: one number per seed. Pure functions; every formula names
//! its source, every golden value in the tests the SciPy call that gave it.

mod describe;
mod difference;
mod distribution;
mod effect;
mod grid;
mod holm;
mod interval;
mod permutation;
mod ranks;

pub use describe::{iqm, mean, median, standard_error, std_dev, variance};
pub use difference::{Difference, has_spread, paired, welch};
pub use effect::{cohen_dz, hedges_g, probability_of_improvement, share_of_pairs_improved, variance_saved};
pub use grid::{common_step, grid_variance};
pub use holm::holm;
pub use interval::{Interval, mean_interval};
pub use permutation::{
    LARGEST_EXACT, exact_floor_paired, exact_floor_unpaired, pairs_for_exact, runs_for_exact, sign_flip,
};
pub use ranks::{RankTest, rank_sum, signed_rank};

/// The level of every test, and one minus the coverage of every interval.
pub const ALPHA: f64 = 0.05;
