//! The contract of `ijepa-run`: everything a component author imports.
//!
//! A component is a settings struct plus the trait of its kind, declared with [`component!`].
//! The declaration brings it into `ijepa-run components`, the editor schema, configuration
//! checks and the laws of its kind ([`laws`]). See `CONTRIBUTING.md` for a walk-through and
//! `tests/plugin` for a crate of one's own.

#![warn(missing_docs)]

pub mod catalogue;
pub mod edit;
pub mod entry;
pub mod image;
pub mod kinds;
pub mod laws;
mod macros;
pub mod mask;
pub mod metric;
pub mod params;
pub mod problem;
pub mod recipe;
pub mod rng;
pub mod tensor;

#[doc(hidden)]
pub use inventory;

/// What a component file imports: `use ijepa_registry::prelude::*;`.
pub mod prelude {
    pub use crate::{
        component,
        edit::{ChannelMap, Crop, Edit},
        image::{Image, ImageSet, ImageShape, Labels, Split},
        kinds::*,
        mask::{BatchDraw, Grid, MaskBatch, MaskPlan},
        metric::{Direction, MetricDecl},
        params::{Param, Parameters, Rounding},
        problem::Problem,
        rng::Stream,
        tensor::*,
    };
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}
