//! The contract of `ijepa-run`: everything a component author imports.
//!
//! A component is a settings struct plus the trait of its kind, declared with [`component!`].
//! The declaration brings it into `ijepa-run components`, the editor schema, configuration
//! checks and the laws of its kind ([`laws`]). See `CONTRIBUTING.md` for a walk-through and
//! `tests/plugin` for a crate of one's own.

#![warn(missing_docs)]

pub mod catalogue;
#[doc(hidden)]
pub mod device;
pub mod entry;
pub mod kinds;
pub mod laws;
mod macros;
pub mod vocabulary;

pub use vocabulary::{image, mask, metric, params, problem, rng, tensor};

#[doc(hidden)]
pub use inventory;

/// What a component file imports: `use ijepa_registry::prelude::*;`.
pub mod prelude {
    pub use crate::{
        component,
        device::image_op::{ChannelMap, Crop, ImageOp},
        image::{Image, ImageSet, ImageShape, Labels, Split},
        kinds::*,
        mask::{BatchDraw, Grid, MaskBatch, MaskPlan, View},
        metric::{Direction, MetricDecl},
        params::{MatmulPrecision, Param, Parameters},
        problem::Problem,
        rng::Stream,
        tensor::*,
    };
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}
