//! Schedules.

mod constant;
mod cosine;
mod linear;
mod shared;
mod warmup_cosine;
