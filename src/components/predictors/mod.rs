//! Predictors.

mod cross_attention;
mod joint;
mod mlp;
mod position_only;
mod shared;
mod vit;
