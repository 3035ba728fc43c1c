//! The operators on a processor: hand-written and fused, forward and backward, for the instruction set of the
//! machine, on all its threads.
//!
//! `backend` and `compose` make them nodes of the gradient tape, by `tape`. A transformer block (`block`, `block_backward`) is composed
//! of `layer_norm`, `attention`, `mlp` and `linear`; `stack` runs blocks one after the other. Beside them stand the operators to
//! compose from (`attend`, `map`, `columns`, `matmul`, `rms_norm`). Below lie
//! the products (`gemm`, on `tile`, `factor`, `bf16`, `amx`; `fastest` tries them) and the passes over values (`elementwise`, `math`,
//! `lanes`, on `simd`). `split` divides work by size, `pool` and `memory` keep buffers.

mod amx;
mod attend;
mod attention;
mod backend;
mod bf16;
mod block;
mod block_backward;
mod buffer;
mod columns;
mod compose;
mod elementwise;
mod factor;
mod fastest;
mod gather;
mod gemm;
mod lanes;
mod layer_norm;
mod linear;
mod loss;
mod malloc;
mod map;
pub(super) mod math;
mod matmul;
mod mean;
mod mlp;
mod muon;
mod optimizer;
mod rms_norm;
mod simd;
mod split;
mod stack;
mod tape;
mod tile;
mod wide;

pub use elementwise::{dot, dots, positions_above};
pub use factor::Factor;
pub use fastest::fastest_precision;
pub use gemm::{Packed, product, product_of_columns};
pub use malloc::keep_memory;
pub use simd::has_matrix_units;
#[doc(hidden)]
pub use simd::{Level, limit_level, widest_level};
pub use tile::Start;
pub use wide::{add_wide_columns, wide_dot, wide_product};
