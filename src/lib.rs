//! Declarative experiment runner for I-JEPA ablations.
pub mod kernels;
