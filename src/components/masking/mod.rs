//! Masking strategies.

mod block;
mod blockwise;
mod complement;
mod detail;
mod fixed_context;
mod inverse_block;
mod multi;
mod multiblock;
mod multiblock_batch;
mod ramp;
mod random;
mod rasterized;
mod replay;
mod shared;
