//! Optimizers.

mod adamw;
