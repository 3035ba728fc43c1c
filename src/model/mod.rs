//! The joint-embedding predictive architecture: context encoder, target encoder, predictor.

mod build;
pub mod flops;
mod jepa;
mod rows;
mod skill;

pub use build::{BuildDevice, Builder};
pub use jepa::{Geometry, Jepa, Pass};
pub use rows::TargetRows;
pub use skill::{Skill, measure as measure_skill};
