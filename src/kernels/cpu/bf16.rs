//! bfloat16 in pairs: what the products of [`MatmulPrecision::Bf16`] and [`MatmulPrecision::Bf16Amx`] take.
//!
//! A pair is two values that are neighbours along the inner index of a product, the first in the lower 16
//! bits, kept as an `f32` that is moved but never computed with. A matrix of pairs then has the layout of
//! a matrix of `f32` with half as many inner indices, and the packing and tiling of the products serve both.

use super::buffer::Buffer;
use super::simd::{LANES, Simd, TILE, vectorised};
use crate::kernels::MatmulPrecision;

/// The pairs of `k` inner indices, zero pairs among them where the products ask for some.
pub fn pairs(k: usize, precision: MatmulPrecision) -> usize {
    let pairs = k.div_ceil(2);
    if precision == MatmulPrecision::Bf16Amx { pairs.next_multiple_of(TILE) } else { pairs }
}

/// The nearest bf16, ties to even, as the upper half of an `f32`. Denormal numbers become zero, as the
/// processor's own instruction makes them.
#[inline(always)]
fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    let up = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    let rounded = if x.abs() < f32::MIN_POSITIVE { bits & 0x8000_0000 } else { up };
    let rounded = if x.is_nan() { bits | 0x0040_0000 } else { rounded };
    rounded & 0xffff_0000
}

/// Both values rounded.
#[inline(always)]
pub fn pair(low: f32, high: f32) -> f32 {
    f32::from_bits(round(low) >> 16 | round(high))
}

vectorised! {
    /// Rows of `d` values to rows of `width` pairs, at least half as many; the partner of a last odd value is 0, and so are
    /// pairs beyond it.
    pub fn pair_columns<S>(x: &[f32], pairs: &mut [f32], d: usize, width: usize) {
        let whole = d / (2 * LANES);
        for (x, pairs) in x.chunks_exact(d).zip(pairs.chunks_exact_mut(width)) {
            for i in 0..whole {
                let (x, pairs) = (&x[i * 2 * LANES..][..2 * LANES], &mut pairs[i * LANES..][..LANES]);
                // SAFETY: a `vectorised!` body; both slices are long enough.
                unsafe { S::pair_neighbours(x.as_ptr(), pairs.as_mut_ptr()) }
            }
            for (x, to) in x[whole * 2 * LANES..].chunks(2).zip(&mut pairs[whole * LANES..]) {
                *to = pair(x[0], x.get(1).copied().unwrap_or(0.0));
            }
            pairs[d.div_ceil(2)..].fill(0.0);
        }
    }
}

vectorised! {
    /// Two rows of `d` values to one row of `d` pairs; the partner of a last odd row is 0, and so are rows of pairs beyond it.
    pub fn pair_rows<S>(x: &[f32], pairs: &mut [f32], d: usize) {
        let none = Buffer::zeros(d);
        for (x, pairs) in x.chunks(2 * d).zip(pairs.chunks_exact_mut(d)) {
            let (low, high) = x.split_at(d);
            pair_two::<S>(low, if high.is_empty() { &none } else { high }, pairs);
        }
        pairs[x.len().div_ceil(2 * d) * d..].fill(0.0);
    }
}

/// `pairs[i]` of `low[i]` and `high[i]`.
#[inline(always)]
pub fn pair_two<S: Simd>(low: &[f32], high: &[f32], pairs: &mut [f32]) {
    let (mut low, mut high) = (low.chunks_exact(LANES), high.chunks_exact(LANES));
    let mut pairs = pairs.chunks_exact_mut(LANES);
    for ((low, high), pairs) in (&mut low).zip(&mut high).zip(&mut pairs) {
        // SAFETY: a `vectorised!` body; all slices have `LANES` values.
        unsafe { S::pair_rows(low.as_ptr(), high.as_ptr(), pairs.as_mut_ptr()) }
    }
    let rest = low.remainder().iter().zip(high.remainder());
    for ((low, high), pairs) in rest.zip(pairs.into_remainder()) {
        *pairs = pair(*low, *high);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Level, limit_level, widest_level};

    /// The two values of a pair.
    fn parts(pair: f32) -> [f32; 2] {
        [f32::from_bits(pair.to_bits() << 16), f32::from_bits(pair.to_bits() & 0xffff_0000)]
    }

    #[test]
    fn values_go_to_the_nearest_and_ties_to_even() {
        let unit = 1.0f32 / 128.0;
        let cases = [
            (1.0, 1.0),
            (1.0 + 0.4 * unit, 1.0),
            (1.0 + 0.5 * unit, 1.0),
            (1.0 + 1.5 * unit, 1.0 + 2.0 * unit),
            (-1.0 - 0.6 * unit, -1.0 - unit),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
            (1e-40, 0.0),
        ];
        for (x, expected) in cases {
            assert_eq!(parts(pair(x, 3.0)), [expected, 3.0], "{x}");
            assert_eq!(parts(pair(3.0, x)), [3.0, expected], "{x}");
        }
        // One whose payload would carry into the sign.
        let nan = f32::from_bits(0x7fff_ffff);
        assert!(parts(pair(nan, nan)).iter().all(|v| v.is_nan()));
    }

    #[test]
    fn every_level_pairs_alike_whatever_the_shape() {
        let special = [f32::NAN, f32::INFINITY, -0.0, 1e-39, -1e-45, f32::MAX, f32::MIN_POSITIVE];
        for (rows, d) in [(1, 1), (2, 3), (5, 31), (4, 32), (3, 77)] {
            let mut x: Vec<f32> = (0..rows * d).map(|i| (i as f32 * 0.7).sin()).collect();
            x.iter_mut().step_by(5).zip(special).for_each(|(x, s)| *x = s);
            let at = |r: usize, c: usize| if r < rows && c < d { x[r * d + c] } else { 0.0 };
            let half = d.div_ceil(2);
            let columns = |i: usize| pair(at(i / half, i % half * 2), at(i / half, i % half * 2 + 1));
            let two_rows = |i: usize| pair(at(i / d * 2, i % d), at(i / d * 2 + 1, i % d));
            for level in Level::ALL {
                limit_level(level);
                let mut pairs = vec![7.0; rows * half];
                pair_columns(&x, &mut pairs, d, half);
                assert!(
                    pairs.iter().enumerate().all(|(i, p)| p.to_bits() == columns(i).to_bits()),
                    "{level}"
                );
                let mut pairs = vec![7.0; rows.div_ceil(2) * d];
                pair_rows(&x, &mut pairs, d);
                assert!(
                    pairs.iter().enumerate().all(|(i, p)| p.to_bits() == two_rows(i).to_bits()),
                    "{level}"
                );
            }
        }
        limit_level(widest_level());
    }
}
