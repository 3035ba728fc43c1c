//! The joint-embedding predictive architecture: context encoder, target encoder, predictor.

mod build;
pub mod cost;
mod forward;
mod indexing;
mod jepa;
mod micro_batch;
mod terms;

pub use build::{BuildDevice, Builder};
pub use forward::{BatchOutputs, ForwardPass, Phase, PhaseTimer};
pub use indexing::TargetRows;
pub use jepa::{Geometry, Jepa, StepInput};
pub use micro_batch::{MICRO_BATCH_TOKENS, micro_batch_tokens};
pub use terms::Term;
