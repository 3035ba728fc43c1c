//! Predictors.

mod cross_attention;
mod vit;
