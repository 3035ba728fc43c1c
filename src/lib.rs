//! Declarative experiment runner for I-JEPA ablations.
//!
//! Layers, bottom-up; a layer imports only what stands above it here (see ARCHITECTURE.md). Empty lines keep
//! the formatter from sorting them; `tests/tidy.rs` checks the order.

pub mod kernels;

pub mod nn;

pub mod data;

mod components;

pub mod config;

pub mod sweep;

pub mod events;

pub mod results;

pub mod sinks;

pub mod model;

pub mod train;

pub mod analysis;

pub mod numerics;

pub mod report;

pub mod run;

pub mod explore;

pub mod export;

pub mod bench;

pub mod doctor;

pub mod scaffold;

pub mod cli;

pub use cli::main;
pub use ijepa_registry as registry;
