//! Optimizers.

mod adamw;
mod muon;
mod sgd;
mod shared;
