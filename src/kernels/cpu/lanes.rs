//! Sums and maxima of sixteen rows at once.
//!
//! Joining the sixteen lanes of one vector takes as long as reading a hundred values. Sixteen rows together are
//! turned round first, and then joined by four additions of whole vectors each.

use super::simd::{LANES, Simd};

/// Sixteen values for each of sixteen rows.
pub type Partials = [[f32; LANES]; LANES];

/// What joins two vectors, lane by lane.
pub type Join<S> = unsafe fn(<S as Simd>::V, <S as Simd>::V) -> <S as Simd>::V;

/// `join` over the padded row `values`, which leaves sixteen values.
#[inline(always)]
pub fn join_row<S: Simd>(values: &[f32], first: f32, join: Join<S>) -> [f32; LANES] {
    let mut joined = [0.0; LANES];
    // SAFETY: only called inside a `vectorised!` body of this level; sixteen values are read and written.
    unsafe {
        let mut all = S::splat(first);
        for v in values.chunks_exact(LANES) {
            all = join(all, S::load(v.as_ptr()));
        }
        S::store(all, joined.as_mut_ptr());
    }
    joined
}

/// `join` over the sixteen values of every row, in halves as in [`super::math::add_lanes`]; all rows at once.
#[inline(always)]
pub fn join_lanes<S: Simd>(partials: &Partials, join: Join<S>) -> [f32; LANES] {
    // SAFETY: as in `join_row`.
    unsafe {
        let mut lanes = S::transposed(partials);
        for width in [8, 4, 2, 1] {
            for i in 0..width {
                let both = join(S::load(lanes[i].as_ptr()), S::load(lanes[i + width].as_ptr()));
                S::store(both, lanes[i].as_mut_ptr());
            }
        }
        lanes[0]
    }
}

#[cfg(test)]
mod tests {
    use super::super::math::add_lanes;
    use super::super::simd::{Level, level, limit_level, vectorised};
    use super::*;

    vectorised! {
        fn sums_and_maxima<S>(partials: &Partials) -> [[f32; LANES]; 2] {
            [join_lanes::<S>(partials, S::add), join_lanes::<S>(partials, S::max)]
        }
    }

    #[test]
    fn rows_together_are_rows_alone_on_every_level() {
        let mut partials = [[0.0; LANES]; LANES];
        for (i, v) in partials.iter_mut().flatten().enumerate() {
            *v = (i as f32 * 0.77).sin() * 10f32.powi(i as i32 % 7);
        }
        let before = level();
        for limit in Level::ALL {
            limit_level(limit);
            let [sums, maxima] = sums_and_maxima(&partials);
            for (row, partial) in partials.iter().enumerate() {
                assert_eq!(sums[row].to_bits(), add_lanes(*partial).to_bits(), "{limit}, row {row}");
                let largest = partial.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
                assert_eq!(maxima[row], largest, "{limit}, row {row}");
            }
        }
        limit_level(before);
    }
}
