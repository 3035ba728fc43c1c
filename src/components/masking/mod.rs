//! Masking strategies.

mod blocks;
mod drafts;
mod equalize;
mod multiblock;
mod multiblock_seed;
mod random;
