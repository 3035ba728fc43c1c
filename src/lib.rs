//! Declarative experiment runner for I-JEPA ablations.
//!
//! Layers, bottom-up; a layer imports only what stands above it here (see ARCHITECTURE.md). Empty lines keep
//! the formatter from sorting them; `tests/tidy.rs` checks the order.
//!
//! Crates of one's own rest on [`registry`], [`kernels`], [`nn`] and [`main`]. The other layers are reachable for the
//! project's own tests and benchmarks: they are hidden from the documentation and change without notice.

pub mod kernels;

pub mod nn;

#[doc(hidden)]
pub mod data;

mod components;

#[doc(hidden)]
pub mod config;

#[doc(hidden)]
pub mod sweep;

#[doc(hidden)]
pub mod events;

#[doc(hidden)]
pub mod results;

#[doc(hidden)]
pub mod sinks;

#[doc(hidden)]
pub mod numerics;

#[doc(hidden)]
pub mod model;

#[doc(hidden)]
pub mod train;

#[doc(hidden)]
pub mod analysis;

#[doc(hidden)]
pub mod report;

#[doc(hidden)]
pub mod run;

#[doc(hidden)]
pub mod explore;

#[doc(hidden)]
pub mod export;

#[doc(hidden)]
pub mod bench;

#[doc(hidden)]
pub mod doctor;

#[doc(hidden)]
pub mod scaffold;

#[doc(hidden)]
pub mod cli;

pub use cli::main;
pub use ijepa_registry as registry;
