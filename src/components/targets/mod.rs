//! Targets: what is predicted.

mod ema;
mod pixels;
mod stop_gradient;
