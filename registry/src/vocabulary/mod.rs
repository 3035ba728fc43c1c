//! The words in which components and program talk to each other: images, masks, tensors and parameters, random
//! streams, metrics, problems. Each is reached as `ijepa_registry::NAME` too.

pub mod image;
pub mod mask;
pub mod metric;
pub mod params;
pub mod problem;
pub mod rng;
pub mod tensor;
