//! What figures are drawn with: scales, axes, panels, the SVG frame. Nothing here knows what a sweep is.

pub(crate) mod chart;
pub(crate) mod figure;
pub(crate) mod layout;
pub(crate) mod levels;
pub(crate) mod numbers;
pub(crate) mod picture;
pub(crate) mod scale;
