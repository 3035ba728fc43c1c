//! The joint-embedding predictive architecture: context encoder, target encoder, predictor.

mod build;
pub mod flops;
mod jepa;
mod parts;
mod pass;
mod rows;

pub use build::{BuildDevice, Builder};
pub use jepa::{Geometry, Jepa};
pub use parts::{PART_TOKENS, part_tokens};
pub use pass::{Mark, Outputs, Pass, Phase};
pub use rows::TargetRows;
