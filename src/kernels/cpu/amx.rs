//! Products of bf16 in the order of Intel's matrix units (AMX): on them, or slowly by vectors on any other processor.
//!
//! `MatmulPrecision::Bf16Amx` multiplies what [`super::bf16`] rounds, and differs from `Bf16` in the order of its sums
//! alone. The unit's instruction adds [`TILE`] pairs to a sum: the products of their first values one after the other,
//! those of their second values likewise, both together, and that to what was there (Intel's manual, volume 2, TDPBF16PS).
//!
//! Factors have zero pairs at the end of the inner index, up to whole tiles, so that no product has a tail there.

use super::simd::{Block, LANES, MatrixUnits, Simd, TILE, vectorised};
use super::tile::{Left, PANEL, Start, Strided};

/// Rows of a block.
const ROWS: usize = 2 * TILE;

vectorised! {
    /// `out = start + a b` of pairs, `b` of `n` columns in panels; the rows of `a` one after the other, as long as `b` is
    /// high.
    pub fn multiply<S>(
        out: Strided<&mut [f32]>,
        start: Start,
        a: Left,
        b: &[f32],
        height: usize,
        n: usize,
    ) {
        let Strided { values: out, stride } = out;
        assert!(height.is_multiple_of(TILE) && (a.row, a.col) == (height, 1), "whole tiles");
        let m = (out.len() + stride - n) / stride;
        let mut units = MatrixUnits::take();
        let mut sums = Block([0.0; ROWS * PANEL]);
        for row in (0..m).step_by(ROWS) {
            let rows = ROWS.min(m - row);
            let left = &a.values[row * height..(row + rows) * height];
            for col in (0..n).step_by(PANEL) {
                let panel = &b[col * height..(col + PANEL) * height];
                let width = PANEL.min(n - col);
                let to = Strided { values: &mut out[row * stride + col..], stride };
                match &mut units {
                    // Nothing to add up.
                    _ if height == 0 => (),
                    Some(units) => {
                        units.expect(to.values, stride, rows);
                        units.add_up(left, panel, height, &mut sums);
                    }
                    None => add_up::<S>(left, panel, height, &mut sums),
                }
                let start = start.at_column(col);
                if width == PANEL {
                    finish::<S>(to, start, row * stride, (rows, &sums));
                } else {
                    for (r, sums) in sums.0.chunks_exact(PANEL).take(rows).enumerate() {
                        finish_narrow::<S>(&mut to.values[r * stride..][..width], start, (row + r) * stride, sums);
                    }
                }
            }
        }
    }
}

/// `out = sums + start` for the rows of a block, which begins at `at` of a matrix.
#[inline(always)]
fn finish<S: Simd>(out: Strided<&mut [f32]>, start: Start, at: usize, (rows, sums): (usize, &Block)) {
    let Strided { values: out, stride } = out;
    for (r, sums) in sums.0.chunks_exact(PANEL).take(rows).enumerate() {
        let out = &mut out[r * stride..][..PANEL];
        // SAFETY: a `vectorised!` body; `PANEL` values each.
        unsafe {
            let load = |x: &[f32], c: usize| S::load(x[..PANEL].as_ptr().add(c));
            for c in [0, LANES] {
                let sum = load(sums, c);
                let sum = match start {
                    Start::Zero => sum,
                    Start::Output => S::add(sum, load(out, c)),
                    Start::Row(row) => S::add(sum, load(row, c)),
                    Start::RowAndMatrix(row, x) => {
                        S::add(S::add(sum, load(row, c)), load(&x[at + r * stride..], c))
                    }
                };
                S::store(sum, out.as_mut_ptr().add(c));
            }
        }
    }
}

/// [`finish`] for one row of a block whose last columns are missing.
#[inline(always)]
fn finish_narrow<S: Simd>(out: &mut [f32], start: Start, at: usize, sums: &[f32]) {
    let n = out.len();
    for (c, (out, sums)) in out.chunks_mut(LANES).zip(sums.chunks_exact(LANES)).enumerate() {
        let width = out.len();
        // The last values of a row, fewer than a vector, through a copy.
        let some = |x: &[f32]| {
            let mut values = [0.0; LANES];
            values[..width].copy_from_slice(&x[..width]);
            values
        };
        let c = c * LANES;
        // SAFETY: a `vectorised!` body; `LANES` values each.
        unsafe {
            let load = |x: &[f32]| match x.get(..LANES) {
                Some(x) if width == LANES => S::load(x.as_ptr()),
                _ => S::load(some(x).as_ptr()),
            };
            let sum = S::load(sums.as_ptr());
            let sum = match start {
                Start::Zero => sum,
                Start::Output => S::add(sum, load(out)),
                Start::Row(row) => S::add(sum, load(&row[c..n])),
                Start::RowAndMatrix(row, x) => S::add(S::add(sum, load(&row[c..n])), load(&x[at + c..])),
            };
            if width == LANES {
                S::store(sum, out.as_mut_ptr());
            } else {
                let mut values = [0.0; LANES];
                S::store(sum, values.as_mut_ptr());
                out.copy_from_slice(&values[..width]);
            }
        }
    }
}

/// The sums of a block by vectors: [`MatrixUnits::add_up`] to the bit.
#[inline(always)]
fn add_up<S: Simd>(a: &[f32], panel: &[f32], height: usize, sums: &mut Block) {
    /// Rows whose sums are in registers at the same time.
    const TOGETHER: usize = 4;
    for (a, sums) in a.chunks(TOGETHER * height).zip(sums.0.chunks_exact_mut(TOGETHER * PANEL)) {
        // Beyond the last row the first one again.
        let rows: [&[f32]; TOGETHER] =
            std::array::from_fn(|r| a.get(r * height..(r + 1) * height).unwrap_or(&a[..height]));
        for col in (0..PANEL).step_by(LANES) {
            // SAFETY: a `vectorised!` body; all slices have `LANES` values.
            unsafe {
                let mut total = [S::splat(0.0); TOGETHER];
                for first in (0..height).step_by(TILE) {
                    let mut halves = [[S::splat(0.0); 2]; TOGETHER];
                    for p in first..first + TILE {
                        let right = S::halves(S::load(panel[p * PANEL + col..][..LANES].as_ptr()));
                        for r in 0..TOGETHER {
                            let left = S::halves(S::splat(rows[r][p]));
                            halves[r][0] = S::mul_add(left[0], right[0], halves[r][0]);
                            halves[r][1] = S::mul_add(left[1], right[1], halves[r][1]);
                        }
                    }
                    for (total, [low, high]) in total.iter_mut().zip(halves) {
                        *total = S::add(*total, S::add(low, high));
                    }
                }
                for (r, total) in total.into_iter().enumerate() {
                    S::store(total, sums[r * PANEL + col..][..LANES].as_mut_ptr());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::bf16::{pair, pairs};
    use crate::kernels::{Level, MatmulPrecision, limit_level, widest_level};

    /// The definition, value by value.
    fn sum(pairs: impl Iterator<Item = (f32, f32)>) -> f32 {
        let halves = |v: f32| [f32::from_bits(v.to_bits() << 16), f32::from_bits(v.to_bits() & 0xffff_0000)];
        let pairs: Vec<_> = pairs.collect();
        pairs.chunks(TILE).fold(0.0, |total, pairs| {
            let [low, high] = [0, 1].map(|h| {
                pairs.iter().fold(0.0, |sum: f32, (a, b)| halves(*a)[h].mul_add(halves(*b)[h], sum))
            });
            total + (low + high)
        })
    }

    #[test]
    fn units_and_vectors_add_up_as_the_manual_says() {
        let numbers = |n: usize, step: f32| (0..n).map(|i| (i as f32 * step).sin()).collect::<Vec<_>>();
        for (m, k, n) in [(1, 1, 1), (3, 0, 5), (16, 32, 32), (17, 33, 40), (49, 200, 31), (70, 770, 96)] {
            let (a, b) = (numbers(m * k, 0.7), numbers(k * n, 1.3));
            let (bias, x) = (numbers(n, 0.3), numbers(m * n, 0.9));
            let height = pairs(k, MatmulPrecision::Bf16Amx);
            // Pair `p` of values that are neighbours along the inner index, zero beyond it.
            let paired = |value: &dyn Fn(usize) -> f32, p: usize| {
                let [low, high] = [2 * p, 2 * p + 1].map(|p| if p < k { value(p) } else { 0.0 });
                pair(low, high)
            };
            let row = |i: usize, p: usize| paired(&|p| a[i * k + p], p);
            let column = |j: usize, p: usize| if j < n { paired(&|p| b[p * n + j], p) } else { 0.0 };
            let left: Vec<f32> = (0..m * height).map(|i| row(i / height, i % height)).collect();
            let panel = |at: usize| column(at / (PANEL * height) * PANEL + at % PANEL, at / PANEL % height);
            let panels: Vec<f32> = (0..n.div_ceil(PANEL) * PANEL * height).map(panel).collect();
            for level in Level::ALL {
                limit_level(level);
                for start in [Start::Zero, Start::Output, Start::Row(&bias), Start::RowAndMatrix(&bias, &x)] {
                    let mut out = x.clone();
                    let to = Strided { values: &mut out[..], stride: n };
                    multiply(to, start, Left { values: &left, row: height, col: 1 }, &panels, height, n);
                    for (c, out) in out.iter().enumerate() {
                        let (i, j) = (c / n, c % n);
                        let sum = sum((0..height).map(|p| (row(i, p), column(j, p))));
                        let expected = match start {
                            Start::Zero => sum,
                            Start::Output => x[c] + sum,
                            Start::Row(row) => sum + row[j],
                            Start::RowAndMatrix(row, x) => sum + row[j] + x[c],
                        };
                        assert_eq!(out.to_bits(), expected.to_bits(), "{level}, {m} x {k} x {n} at {i}, {j}");
                    }
                }
            }
        }
        limit_level(widest_level());
    }
}
