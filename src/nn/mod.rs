//! Building blocks of encoders and predictors: parameters with names, sizes and initial values,
//! around the operators of [`crate::kernels`].

mod block;
pub mod cost;
mod design;
mod init;
mod layers;
mod positions;
mod rotary;
mod stack;

pub use block::Block;
pub use design::{BlockDesign, BlockVariant};
pub use init::{Init, InitScheme};
pub use layers::{Linear, Mlp, MlpKind, Norm, NormKind};
pub use positions::{PositionKind, check_attention, interpolated, position_table, sincos2d, table};
pub use rotary::Rotary;
pub use stack::{Places, Stack};
