//! Targets: what is predicted.

mod ema;
mod frozen;
mod pixels;
mod stop_gradient;
