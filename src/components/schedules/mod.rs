//! Schedules.

mod constant;
mod cosine;
mod linear;
mod steps;
mod warmup_cosine;
