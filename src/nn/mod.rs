//! Building blocks of encoders and predictors: parameters with names, sizes and initial values,
//! around the operators of [`crate::kernels`].

mod init;
mod layers;
mod positions;

pub use init::{Init, InitScheme};
pub use layers::{BlockSize, LayerNorm, Linear, Stack};
pub use positions::{PositionKind, position_table, sincos2d};
