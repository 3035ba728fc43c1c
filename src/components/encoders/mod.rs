//! Encoders.

mod vit;
