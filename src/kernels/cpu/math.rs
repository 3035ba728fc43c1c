//! Elementary functions and reductions written so that the compiler vectorises them.

use super::simd::LANES;

/// `e^x` for -87 <= x <= 88, clamped outside; relative error below 2e-7 (tested over the whole range).
///
/// `x = n ln 2 + r` with |r| <= ln 2 / 2; `e^r` is the Cephes `expf` polynomial and `2^n` is added to
/// the exponent bits. Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    // Two parts of ln 2, so that n * ln 2 is subtracted almost exactly.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let p = 1.987_569_1e-4f32
        .mul_add(r, 1.398_199_9e-3)
        .mul_add(r, 8.333_452e-3)
        .mul_add(r, 4.166_579_6e-2)
        .mul_add(r, 1.666_666_5e-1)
        .mul_add(r, 0.5);
    let power = p.mul_add(r * r, r) + 1.0;
    let exponent = (shifted.to_bits() as i32) << 23;
    f32::from_bits((power.to_bits() as i32).wrapping_add(exponent) as u32)
}

/// Standard normal distribution function and density at `x`; absolute error below 2.5e-7 each.
///
/// Abramowitz and Stegun 7.1.26 for `erfc`, whose only exponential is the density's.
/// GELU is `x * cdf`, its derivative `cdf + x * density`.
#[inline(always)]
pub fn normal(x: f32) -> (f32, f32) {
    let a = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / a.mul_add(0.327_591_1, 1.0);
    let e = exp(-(a * a));
    let p = 1.061_405_4f32
        .mul_add(t, -1.453_152)
        .mul_add(t, 1.421_413_7)
        .mul_add(t, -0.284_496_74)
        .mul_add(t, 0.254_829_6);
    let tail = 0.5 * p * t * e;
    let cdf = if x >= 0.0 { 1.0 - tail } else { tail };
    (cdf, e * 0.398_942_3)
}

/// `sin x` and `cos x` of `q` quarter turns and the rest `r`, |r| <= pi / 4: the one that `quarter` asks for, where 0
/// is the sine and 1 the cosine.
///
/// `x = q pi / 2 + r` with pi / 2 in three parts, so that the rest is exact to its last bits for 0.6 million quarter
/// turns; then the polynomials of Cephes' `sinf` and `cosf`. Adding 1.5 * 2^23 rounds to the nearest integer and leaves
/// it in the low bits. Absolute error below 2e-7 up to 10^4 (tested).
#[inline(always)]
fn circular(x: f32, quarter: u32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    const PARTS: [f32; 3] = [1.570_312_5, 4.837_513e-4, 7.549_79e-8];
    let x = x.clamp(-1e6, 1e6);
    let shifted = x.mul_add(std::f32::consts::FRAC_2_PI, ROUND);
    let q = shifted - ROUND;
    let r = q.mul_add(-PARTS[2], q.mul_add(-PARTS[1], q.mul_add(-PARTS[0], x)));
    let square = r * r;
    let p = (-1.951_529_6e-4f32).mul_add(square, 8.332_161e-3).mul_add(square, -1.666_665_5e-1);
    let sine = (p * square).mul_add(r, r);
    let p = 2.443_315_7e-5f32.mul_add(square, -1.388_731_6e-3).mul_add(square, 4.166_664_6e-2);
    let cosine = (p * square).mul_add(square, (-0.5f32).mul_add(square, 1.0));
    let turn = shifted.to_bits().wrapping_add(quarter);
    let value = if turn & 1 == 0 { sine } else { cosine };
    if turn & 2 == 0 { value } else { -value }
}

/// `sin x`; beyond 10^6 that of 10^6.
#[inline(always)]
pub fn sine(x: f32) -> f32 {
    circular(x, 0)
}

/// `cos x`; beyond 10^6 that of 10^6.
#[inline(always)]
pub fn cosine(x: f32) -> f32 {
    circular(x, 1)
}

/// Sum of sixteen values, in halves: a fixed order that vector instructions can follow.
#[inline(always)]
pub fn add_lanes(mut partial: [f32; LANES]) -> f32 {
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            partial[i] += partial[i + width];
        }
    }
    partial[0]
}

/// Sixteen partial sums of `f(x)`, and the sum of what does not fill all sixteen.
#[inline(always)]
pub fn partial_sums(x: &[f32], f: impl Fn(f32) -> f32) -> ([f32; LANES], f32) {
    let mut partial = [0.0; LANES];
    let mut blocks = x.chunks_exact(LANES);
    for block in &mut blocks {
        for i in 0..LANES {
            partial[i] += f(block[i]);
        }
    }
    (partial, blocks.remainder().iter().map(|v| f(*v)).sum())
}

/// Sixteen partial sums of an inner product, and the sum of what does not fill all sixteen.
#[inline(always)]
pub fn partial_dot(a: &[f32], b: &[f32]) -> ([f32; LANES], f32) {
    let mut partial = [0.0f32; LANES];
    let (mut a, mut b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    for (a, b) in (&mut a).zip(&mut b) {
        for i in 0..LANES {
            partial[i] = a[i].mul_add(b[i], partial[i]);
        }
    }
    (partial, a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum())
}

/// Inner product, in sixteen partial sums.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (partial, rest) = partial_dot(a, b);
    add_lanes(partial) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_its_stated_error() {
        let worst = (-870_000..880_000)
            .map(|i| i as f32 * 1e-4)
            .map(|x| ((exp(x) as f64) / (x as f64).exp() - 1.0).abs())
            .fold(0.0, f64::max);
        assert!(worst < 2e-7, "relative error {worst}");
    }

    #[test]
    fn sine_and_cosine_are_within_their_stated_error() {
        let small = (-400_000..400_000).map(|i| i as f32 * 1e-4);
        let large = (0..200_000).map(|i| i as f32 * 0.1 - 10_000.0);
        for x in small.chain(large) {
            let (s, c) = (f64::from(x).sin(), f64::from(x).cos());
            assert!((f64::from(sine(x)) - s).abs() < 2e-7, "sine of {x}: {}, not {s}", sine(x));
            assert!((f64::from(cosine(x)) - c).abs() < 2e-7, "cosine of {x}: {}, not {c}", cosine(x));
        }
        assert!(sine(f32::NAN).is_nan() && cosine(f32::NAN).is_nan());
        assert!(sine(1e30).abs() <= 1.0 && cosine(-1e30).abs() <= 1.0);
    }

    #[test]
    fn normal_matches_its_own_integral() {
        // Simpson's rule from -9 in f64; the density is known exactly.
        let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let (step, mut cdf) = (1e-3, 0.0);
        for i in 0..18_000 {
            let x = -9.0 + i as f64 * step;
            let (c, d) = normal(x as f32);
            assert!((c as f64 - cdf).abs() < 2.5e-7, "cdf({x}) = {c}, not {cdf}");
            assert!((d as f64 - density(x)).abs() < 2.5e-7, "density({x}) = {d}");
            cdf += step / 6.0 * (density(x) + 4.0 * density(x + step / 2.0) + density(x + step));
        }
    }
}
