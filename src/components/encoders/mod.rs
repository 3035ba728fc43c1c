//! Encoders.

mod vit;

pub(in crate::components) use vit::{check_attention, table};
