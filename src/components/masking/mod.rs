//! Masking strategies.

mod block;
mod inverse_block;
mod multiblock;
mod multiblock_batch;
mod random;
mod rasterized;
mod shared;
