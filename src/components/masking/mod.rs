//! Masking strategies.

mod block;
mod blocks;
mod drafts;
mod equalize;
mod multiblock;
mod multiblock_seed;
mod random;
mod rasterized;
