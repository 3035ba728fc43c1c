//! Which products are the fastest on this processor.

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::factor::Factor;
use super::gemm::Packed;
use super::simd::multiplies_bf16;
use super::tile::Start;
use crate::kernels::MatmulPrecision;

/// The rounding of the fastest products here: of bf16 where the processor multiplies those faster, else none.
/// Having the instruction is not enough: on Zen 4 such products take half as long, on some Xeons longer than those of
/// f32. Both are tried once.
pub fn fastest_precision() -> MatmulPrecision {
    static PAYS: LazyLock<bool> =
        LazyLock::new(|| trial(MatmulPrecision::Bf16) < trial(MatmulPrecision::F32));
    if multiplies_bf16() && *PAYS { MatmulPrecision::Bf16 } else { MatmulPrecision::F32 }
}

/// The shortest of several times of a product of a model's size, with the rounding of its left factor: 2 MFLOP each.
fn trial(precision: MatmulPrecision) -> Duration {
    const SIZES: [usize; 3] = [96, 192, 64];
    let [m, k, n] = SIZES;
    let (a, b) = (vec![0.5; m * k], Packed::rounded(&vec![0.5; k * n], k, n, precision));
    let mut out = vec![0.0; m * n];
    let mut timed = || {
        let start = Instant::now();
        for _ in 0..4 {
            Factor::rows(black_box(&a), k, precision).product(&mut out, Start::Zero, &b);
        }
        black_box(&mut out);
        start.elapsed()
    };
    (0..8).map(|_| timed()).min().expect("several times")
}
