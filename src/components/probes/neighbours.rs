//! The most similar rows of a bank, exactly, with most of them ruled out by a bound.

use rayon::prelude::*;

use super::sketch::{Sketch, rounding, spaced};
use crate::kernels::{
    Factor, Packed, Rounding, Start, dot, dots, fastest_rounding, positions_above, product,
};

/// Rows of the bank compared at once: they stay in cache with their bounds for a block of queries.
const BANK: usize = 256;
/// Rows compared in full before their cosines are looked at.
const TOGETHER: usize = 8;
/// Most directions of a sketch.
const MOST: usize = 128;
/// Queries and rows that the sketch is chosen on.
const TRIED: (usize, usize) = (8, 8192);
/// Time of comparing two rows by themselves, in units of that inside a large product (about 25), times
/// how much more often that happens than the last bar asks for, because the bar is low at first (3).
const ALONE: f64 = 75.0;
/// Time of a product of bf16 in units of that of `f32`, where [`fastest_rounding`] names them.
const BF16: f64 = 0.5;

/// A neighbour: cosine and row of the bank.
pub(super) type Neighbour = (f32, u32);

/// A bank of unit rows, ready to be searched.
pub(super) struct Bank<'a> {
    rows: &'a [f32],
    dim: usize,
    k: usize,
    /// What bounds are computed from; without it from the rows themselves.
    sketch: Option<Sketch>,
    /// Of what bounds are computed from.
    rounding: Rounding,
    /// The bank's side of the bounds, [`BANK`] rows each.
    packed: Vec<Packed>,
}

impl<'a> Bank<'a> {
    /// To find the `k` nearest of `rows`. What is best to bound with is tried out on some of the queries.
    pub fn new(rows: &'a [f32], queries: &[f32], dim: usize, k: usize) -> Self {
        let (sketch, rounding) = choose(rows, queries, dim, k).unzip();
        Bank::with(rows, dim, k, sketch, rounding.unwrap_or(Rounding::F32))
    }

    /// To find them with these bounds.
    fn with(rows: &'a [f32], dim: usize, k: usize, sketch: Option<Sketch>, rounding: Rounding) -> Self {
        let short = sketch.as_ref().map(|s| s.project(rows));
        let width = sketch.as_ref().map_or(dim, |s| s.size() + 1);
        let packed = pack(short.as_deref().unwrap_or(rows), width, rounding);
        Bank { rows, dim, k, sketch, rounding, packed }
    }

    /// The `k` nearest for every query of a block, most similar first; of equals the first of the bank.
    pub fn nearest(&self, queries: &[f32]) -> Vec<Vec<Neighbour>> {
        let count = queries.len() / self.dim;
        let short = self.sketch.as_ref().map(|s| s.project(queries));
        let short = short.as_deref().unwrap_or(queries);
        let short = Factor::rows(short, short.len() / count, self.rounding);
        let mut near = vec![Vec::with_capacity(self.k + 1); count];
        let (mut space, mut found) = (vec![0.0; count * BANK], Vec::new());
        for (block, packed) in self.packed.iter().enumerate() {
            let rows = packed.columns();
            let bounds = &mut space[..count * rows];
            short.product(bounds, Start::Zero, packed);
            for ((bounds, query), near) in
                bounds.chunks_exact(rows).zip(queries.chunks_exact(self.dim)).zip(&mut near)
            {
                found.clear();
                positions_above(bounds, self.least_bound(near), &mut found);
                for some in found.chunks(TOGETHER) {
                    // The bar may have risen since.
                    let least = self.least_bound(near);
                    let left = some.iter().filter(|i| bounds[**i as usize] > least);
                    self.consider(near, query, left.map(|i| (block * BANK) as u32 + i));
                }
            }
        }
        near
    }

    /// Takes those of at most [`TOGETHER`] rows, in the bank's order, that are more similar than the last of
    /// the nearest so far.
    fn consider(&self, near: &mut Vec<Neighbour>, query: &[f32], rows: impl Iterator<Item = u32>) {
        let (mut index, mut cosines, mut count) = ([0; TOGETHER], [0.0; TOGETHER], 0);
        for row in rows {
            index[count] = row;
            count += 1;
        }
        dots(query, self.rows, &index[..count], &mut cosines);
        for (row, cosine) in index[..count].iter().zip(cosines) {
            self.take(near, (cosine, *row));
        }
    }

    /// Takes the row if it is more similar than the last of the nearest so far.
    fn take(&self, near: &mut Vec<Neighbour>, (cosine, row): Neighbour) {
        if cosine > self.bar(near) {
            let place = near.partition_point(|n| n.0 >= cosine);
            near.insert(place, (cosine, row));
            near.truncate(self.k);
        }
    }

    /// What a row must exceed to be among the nearest.
    fn bar(&self, near: &[Neighbour]) -> f32 {
        if near.len() < self.k { f32::NEG_INFINITY } else { near[self.k - 1].0 }
    }

    /// What a row's bound must exceed for that.
    fn least_bound(&self, near: &[Neighbour]) -> f32 {
        self.bar(near) - slack(self.dim, self.rounding)
    }
}

/// How much less than the cosine a bound may be.
fn slack(dim: usize, of: Rounding) -> f32 {
    rounding(dim)
        + match of {
            // Eight bits: a value changes by 1/257 of its size at most, a product of two by 2/257 + 1/257^2,
            // which is less than 1/128, and the sum by that share of the product of the two lengths, 1.
            Rounding::Bf16 => 1.0 / 128.0,
            Rounding::F32 | Rounding::Tf32 => 0.0,
        }
}

fn pack(x: &[f32], width: usize, rounding: Rounding) -> Vec<Packed> {
    let pack = |rows: &[f32]| Packed::rounded_transposed(rows, width, rows.len() / width, rounding);
    x.par_chunks(BANK * width).map(pack).collect()
}

/// The sketch whose bounds, and the rows that they leave over, take the least time, and of what those bounds
/// are computed; none if that is no less than of all rows in full.
fn choose(rows: &[f32], queries: &[f32], dim: usize, k: usize) -> Option<(Sketch, Rounding)> {
    let most = (dim / 2).min(MOST);
    if most < 8 || queries.is_empty() {
        return None;
    }
    let queries = spaced(queries, dim, TRIED.0);
    let least: Vec<f32> = queries.par_chunks(dim).map(|q| kth_cosine(rows, q, k)).collect();
    let (widest, rows) = (Sketch::new(rows, dim, most), spaced(rows, dim, TRIED.1));
    let tried = [most / 4, most / 3, most / 2, 2 * most / 3, most].into_iter().flat_map(|size| {
        let sketch = widest.truncated(size.min(widest.size()));
        let bounds = bounds(&sketch, &rows, &queries);
        let time = |of| {
            let per_value = if of == Rounding::Bf16 { BF16 } else { 1.0 };
            let share = share_above(&bounds, &least, slack(dim, of));
            per_value * sketch.size() as f64 + ALONE * dim as f64 * share
        };
        [Rounding::F32, fastest_rounding()].map(|of| (time(of), sketch.clone(), of))
    });
    let best = tried.min_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 < dim as f64).then_some((best.1, best.2))
}

/// Cosine of the `k`-th nearest row.
fn kth_cosine(rows: &[f32], query: &[f32], k: usize) -> f32 {
    let mut all: Vec<f32> = rows.chunks_exact(query.len()).map(|row| dot(query, row)).collect();
    *all.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1
}

/// (queries, rows).
fn bounds(sketch: &Sketch, rows: &[f32], queries: &[f32]) -> Vec<f32> {
    let (rows, queries, width) = (sketch.project(rows), sketch.project(queries), sketch.size() + 1);
    let count = rows.len() / width;
    let mut bounds = vec![0.0; queries.len() / width * count];
    product(&mut bounds, Start::Zero, &queries, &Packed::transposed(&rows, width, count));
    bounds
}

/// Share of the bounds (queries, rows) that exceed what the queries ask for (`least`) less `slack`.
fn share_above(bounds: &[f32], least: &[f32], slack: f32) -> f64 {
    let rows = bounds.chunks_exact(bounds.len() / least.len());
    let above: usize =
        rows.zip(least).map(|(row, least)| row.iter().filter(|b| **b > least - slack).count()).sum();
    above as f64 / bounds.len() as f64
}

#[cfg(test)]
mod tests {
    use super::super::features::{tests::blobs, unit_rows};
    use super::*;
    use ijepa_registry::prelude::Features;

    /// Unit rows around a few centres, most of the variation along `along` directions.
    fn unit_blobs(n: usize, dim: usize, along: usize, part: u64) -> Vec<f32> {
        let (mut values, labels) = blobs(n, dim, 5, 1.0, part);
        values.chunks_exact_mut(dim).for_each(|row| row[along..].iter_mut().for_each(|v| *v *= 0.05));
        unit_rows(&Features { dim, values: &values, labels: &labels })
    }

    /// Whether the nearest are those of a full sort; returns whether a sketch was used.
    fn check(dim: usize, along: usize) -> bool {
        let (rows, queries) = (unit_blobs(3000, dim, along, 0), unit_blobs(9, dim, along, 1));
        let bank = Bank::new(&rows, &queries, dim, 4);
        let sorted = queries.chunks_exact(dim).map(|query| {
            let cosines = rows.chunks_exact(dim).map(|row| dot(query, row));
            let mut all: Vec<Neighbour> = cosines.zip(0..).collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            all[..4].to_vec()
        });
        let sorted: Vec<_> = sorted.collect();
        assert_eq!(bank.nearest(&queries), sorted);
        for rounding in [Rounding::F32, Rounding::Bf16] {
            for sketch in [bank.sketch.clone(), Some(Sketch::new(&rows, dim, dim / 3)), None] {
                let bank = Bank::with(&rows, dim, 4, sketch, rounding);
                assert_eq!(bank.nearest(&queries), sorted, "{rounding:?}");
            }
        }
        bank.sketch.is_some()
    }

    #[test]
    fn bounds_less_their_slack_hold() {
        let (dim, rows) = (192, unit_blobs(600, 192, 20, 0));
        let sketch = Sketch::new(&rows, dim, 31);
        let (short, columns) = (sketch.project(&rows), rows.len() / dim);
        for rounding in [Rounding::F32, Rounding::Bf16] {
            let mut bounds = vec![0.0; columns * columns];
            let packed = Packed::rounded_transposed(&short, 32, columns, rounding);
            Factor::rows(&short, 32, rounding).product(&mut bounds, Start::Zero, &packed);
            for (i, bound) in bounds.iter().enumerate() {
                let row = |i: usize| &rows[i * dim..][..dim];
                let cosine = dot(row(i / columns), row(i % columns));
                assert!(cosine <= bound + slack(dim, rounding), "{cosine} {bound} {rounding:?}");
            }
        }
    }

    #[test]
    fn neighbours_equal_a_full_sort_with_and_without_a_sketch() {
        assert!(check(128, 12), "few directions");
        assert!(!check(64, 64), "all directions alike");
        assert!(!check(7, 7), "too few values");
    }

    #[test]
    fn equally_similar_rows_are_taken_in_order() {
        // 2,500 copies of one row across several blocks.
        let rows: Vec<f32> = (0..2500).flat_map(|_| [0.6, 0.8, 0.0]).collect();
        let near = Bank::new(&rows, &rows[..3], 3, 6).nearest(&rows[..3]);
        assert!(near[0].iter().map(|n| n.1).eq(0..6));
    }
}
