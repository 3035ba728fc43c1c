//! Encoders.

mod convnet;
mod vit;
