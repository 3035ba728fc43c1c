//! The CUDA path: its kernels against the CPU's, its launches, whole runs.
//!
//! Without a GPU the kernels are emulated (see `emulator`), so that mathematics, host code and counts
//! are checked on every machine; `scripts/gpu-check.sh` runs the same tests on a GPU.

mod bench;
#[path = "../common/mod.rs"]
mod common;
mod compose;
mod emulator;
mod gradients;
mod images;
mod launches;
mod middle;
mod operators;
mod parts;
mod reading;
mod training;
