//! Schedules.

mod constant;
mod cosine;
mod growing;
mod half_life;
mod inverse_sqrt;
mod linear;
mod one_cycle;
mod piecewise;
mod shared;
mod step;
mod warmup_cosine;
mod wsd;
