//! The contract of `ijepa-run`: what a component author imports.
pub mod image;
pub mod mask;
pub mod params;
pub mod problem;
pub mod rng;
pub mod tensor;
