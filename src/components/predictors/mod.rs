//! Predictors.

mod vit;
