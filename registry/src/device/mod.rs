//! What lets a device do a component's work itself. A component works without any of it.

pub mod fused_ema;
pub mod image_op;
pub mod transform;
