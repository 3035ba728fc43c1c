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

/// The libraries whose derives and tensor operations component files use, in the version of the program: a crate
/// of one's own need not depend on them.
pub use {dfdx, schemars, serde};

/// What a component file imports: `use ijepa_registry::prelude::*;`.
///
/// It brings the derives `Serialize`, `Deserialize` and `JsonSchema` of a settings struct. The first two name their
/// crate: in a crate that does not depend on `serde`, write `#[serde(crate = "ijepa_registry::serde")]`.
pub mod prelude {
    pub use crate::{
        build_on_devices, component,
        device::image_op::{AsImageOps, ChannelMap, Crop, ImageOp},
        image::{Image, ImageSet, ImageShape, ImageStore, Labels, Pixels, Quantity, Split},
        kinds::*,
        mask::{BatchDraw, Grid, MaskBatch, MaskPlan, View},
        metric::{Direction, MetricDecl},
        params::{MatmulPrecision, Param, Parameters},
        problem::Problem,
        rng::Stream,
        tensor::*,
    };
    pub use dfdx;
    pub use schemars::{self, JsonSchema};
    pub use serde::{self, Deserialize, Serialize};
}
