//! Passes over whole matrices that are not products.

use super::buffer::Buffer;
use super::math::{self, normal};
use super::simd::{LANES, vectorised};
use super::tile::copy_row;

vectorised! {
    /// `out += x`.
    pub fn add(out: &mut [f32], x: &[f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out += x;
        }
    }
}

vectorised! {
    /// `x = a x + b y`.
    pub fn combine(x: &mut [f32], a: f32, y: &[f32], b: f32) {
        for (x, y) in x.iter_mut().zip(y) {
            *x = a * *x + b * y;
        }
    }
}

vectorised! {
    /// `sum += ` the sum of the rows of `x`: the gradient of a bias.
    pub fn add_column_sums(sum: &mut [f32], x: &[f32]) {
        for x in x.chunks_exact(sum.len()) {
            for (sum, x) in sum.iter_mut().zip(x) {
                *sum += x;
            }
        }
    }
}

vectorised! {
    /// `out = h Phi(h)`, the exact GELU (`Phi` to 2.5e-7, see [`normal`]).
    pub fn gelu(h: &[f32], out: &mut [f32]) {
        for (out, h) in out.iter_mut().zip(h) {
            *out = h * normal(*h).0;
        }
    }
}

vectorised! {
    /// `out = gelu(h)` again, and the gradient `dh` of the output becomes that of `h`.
    pub fn gelu_backward(h: &[f32], out: &mut [f32], dh: &mut [f32]) {
        for ((h, out), dh) in h.iter().zip(out).zip(dh) {
            let (cdf, density) = normal(*h);
            *out = h * cdf;
            *dh *= h.mul_add(density, cdf);
        }
    }
}

vectorised! {
    /// Inner product, in sixteen partial sums.
    pub fn dot(a: &[f32], b: &[f32]) -> f32 {
        math::dot(a, b)
    }
}

vectorised! {
    /// Inner products of `a` with the rows of `b` that `index` names, each the bits of [`dot`]. Faster than
    /// one call each: nothing waits for a sum until all have begun.
    pub fn dots(a: &[f32], b: &[f32], index: &[u32], out: &mut [f32]) {
        for (out, i) in out.iter_mut().zip(index) {
            *out = math::dot(a, &b[*i as usize * a.len()..][..a.len()]);
        }
    }
}

vectorised! {
    /// Appends to `found` where `values` are above `bar`, in order. Quick where few are.
    pub fn positions_above<S>(values: &[f32], bar: f32, found: &mut Vec<u32>) {
        // SAFETY: `S` is this level's.
        let bars = unsafe { S::splat(bar) };
        let mut blocks = values.chunks_exact(4 * LANES);
        let mut start = 0;
        for block in &mut blocks {
            let mut above = 0;
            for (i, values) in block.chunks_exact(LANES).enumerate() {
                // SAFETY: as above; sixteen values.
                above |= u64::from(unsafe { S::above(S::load(values.as_ptr()), bars) }) << (i * LANES);
            }
            while above != 0 {
                found.push(start + above.trailing_zeros());
                above &= above - 1;
            }
            start += block.len() as u32;
        }
        found.extend((start..).zip(blocks.remainder()).filter(|(_, v)| **v > bar).map(|(i, _)| i));
    }
}

/// `to[i] = from[index[i]]`, rows of `d` values.
pub fn gather_rows(from: &[f32], to: &mut [f32], index: &[usize], d: usize) {
    for (to, i) in to.chunks_exact_mut(d).zip(index) {
        to.copy_from_slice(&from[i * d..(i + 1) * d]);
    }
}

/// `to[index[i]] += from[i]`, rows of `d` values.
pub fn scatter_add_rows(from: &[f32], to: &mut [f32], index: &[usize], d: usize) {
    for (from, i) in from.chunks_exact(d).zip(index) {
        add(&mut to[i * d..(i + 1) * d], from);
    }
}

vectorised! {
    /// From row-major (rows, columns) to (columns, rows), sixteen of each at a time.
    fn transpose_into<S>(x: &[f32], out: &mut [f32], rows: usize, columns: usize) {
        for row0 in (0..rows).step_by(LANES) {
            for col0 in (0..columns).step_by(LANES) {
                let (height, width) = (LANES.min(rows - row0), LANES.min(columns - col0));
                let mut square = [[0.0; LANES]; LANES];
                for (i, square) in square[..height].iter_mut().enumerate() {
                    copy_row(&x[(row0 + i) * columns + col0..][..width], &mut square[..width]);
                }
                // SAFETY: a `vectorised!` body.
                let square = unsafe { S::transposed(&square) };
                for (i, square) in square[..width].iter().enumerate() {
                    copy_row(&square[..height], &mut out[(col0 + i) * rows + row0..][..height]);
                }
            }
        }
    }
}

/// The transpose of a row-major matrix (rows, columns).
pub fn transpose(x: &[f32], rows: usize, columns: usize) -> Buffer {
    let mut out = Buffer::any(x.len());
    transpose_into(x, &mut out, rows, columns);
    out
}

#[cfg(test)]
mod tests {
    use super::super::simd::{Level, level, limit_level};
    use super::*;

    #[test]
    fn positions_are_those_above_the_bar_in_order_on_every_level() {
        let values: Vec<f32> = (0..150).map(|i| (i as f32 * 0.7).sin()).collect();
        let before = level();
        for limit in Level::ALL {
            limit_level(limit);
            for bar in [-2.0, 0.0, 0.95, values[17], 2.0] {
                let (mut found, mut expected) = (vec![7], vec![7]);
                positions_above(&values, bar, &mut found);
                expected.extend((0..150).filter(|i| values[*i as usize] > bar));
                assert_eq!(found, expected, "above {bar}, {limit}");
            }
        }
        limit_level(before);
    }

    #[test]
    fn products_of_picked_rows_are_the_bits_of_each_alone() {
        let rows: Vec<f32> = (0..50 * 37).map(|i| (i as f32 * 0.3).cos()).collect();
        let (row, index) = (|i: u32| &rows[i as usize * 37..][..37], [3, 49, 0, 3, 12]);
        let mut found = [0.0; 5];
        dots(row(7), &rows, &index, &mut found);
        assert_eq!(found, index.map(|i| dot(row(7), row(i))));
    }
}
