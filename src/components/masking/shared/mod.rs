//! What more than one strategy is made of.

pub(crate) mod blocks;
pub(crate) mod equalize;
pub(crate) mod nested;
pub(crate) mod one_block;
pub(crate) mod rejection;

use ijepa_registry::prelude::*;

/// A plan for every image of a batch, each on the image's own stream.
pub(crate) fn plan_each(draw: &BatchDraw, plan: impl Fn(&mut Stream) -> MaskPlan) -> MaskBatch {
    let plans = (0..draw.images.len()).map(|i| plan(&mut draw.image_stream(i))).collect();
    MaskBatch { plans, redraws: 0 }
}
