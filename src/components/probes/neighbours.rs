//! The most similar rows of a bank, exactly, with most of them ruled out by a bound.

use rayon::prelude::*;

use super::sketch::{Sketch, rounding, spaced};
use crate::kernels::{Packed, Start, dot, positions_above, product};

/// Rows of the bank compared at once: their bounds for a block of queries stay in cache.
const BANK: usize = 1024;
/// Most directions of a sketch.
const MOST: usize = 128;
/// Queries and rows that the sketch is chosen on.
const TRIED: (usize, usize) = (8, 8192);
/// Time of comparing two rows by themselves, in units of that inside a large product (about 25), times
/// how much more often that happens than the last bar asks for, because the bar is low at first (3).
const ALONE: f64 = 75.0;

/// A neighbour: cosine and row of the bank.
pub(super) type Neighbour = (f32, u32);

/// A bank of unit rows, ready to be searched.
pub(super) struct Bank<'a> {
    rows: &'a [f32],
    dim: usize,
    k: usize,
    /// What bounds are computed from; without it from the rows themselves.
    sketch: Option<Sketch>,
    /// The bank's side of the bounds, [`BANK`] rows each.
    packed: Vec<Packed>,
}

impl<'a> Bank<'a> {
    /// To find the `k` nearest of `rows`. What is best to bound with is tried out on some of the queries.
    pub fn new(rows: &'a [f32], queries: &[f32], dim: usize, k: usize) -> Self {
        let sketch = choose(rows, queries, dim, k);
        let short = sketch.as_ref().map(|s| s.project(rows));
        let packed = pack(short.as_deref().unwrap_or(rows), sketch.as_ref().map_or(dim, |s| s.size() + 1));
        Bank { rows, dim, k, sketch, packed }
    }

    /// The `k` nearest for every query of a block, most similar first; of equals the first of the bank.
    pub fn nearest(&self, queries: &[f32]) -> Vec<Vec<Neighbour>> {
        let count = queries.len() / self.dim;
        let short = self.sketch.as_ref().map(|s| s.project(queries));
        let short = short.as_deref().unwrap_or(queries);
        let mut near = vec![Vec::with_capacity(self.k + 1); count];
        let (mut space, mut found) = (vec![0.0; count * BANK], Vec::new());
        for (block, packed) in self.packed.iter().enumerate() {
            let rows = packed.columns();
            let bounds = &mut space[..count * rows];
            product(bounds, Start::Zero, short, packed);
            for ((bounds, query), near) in
                bounds.chunks_exact(rows).zip(queries.chunks_exact(self.dim)).zip(&mut near)
            {
                found.clear();
                positions_above(bounds, self.bar(near) - rounding(self.dim), &mut found);
                for i in &found {
                    // The bar may have risen since.
                    if bounds[*i as usize] > self.bar(near) - rounding(self.dim) {
                        self.consider(near, query, (block * BANK) as u32 + i);
                    }
                }
            }
        }
        near
    }

    /// Takes the row if it is more similar than the last of the nearest so far.
    fn consider(&self, near: &mut Vec<Neighbour>, query: &[f32], row: u32) {
        let cosine = dot(query, &self.rows[row as usize * self.dim..][..self.dim]);
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
}

fn pack(x: &[f32], width: usize) -> Vec<Packed> {
    x.par_chunks(BANK * width).map(|rows| Packed::transposed(rows, width, rows.len() / width)).collect()
}

/// The sketch whose bounds, and the rows that they leave over, take the least time; none if that is no
/// less than of all rows in full.
fn choose(rows: &[f32], queries: &[f32], dim: usize, k: usize) -> Option<Sketch> {
    let most = (dim / 2).min(MOST);
    if most < 8 || queries.is_empty() {
        return None;
    }
    let queries = spaced(queries, dim, TRIED.0);
    let least: Vec<f32> = queries.par_chunks(dim).map(|q| kth_cosine(rows, q, k)).collect();
    let (widest, rows) = (Sketch::new(rows, dim, most), spaced(rows, dim, TRIED.1));
    let tried = [most / 4, most / 3, most / 2, 2 * most / 3, most].map(|size| {
        let sketch = widest.truncated(size.min(widest.size()));
        let share = share_left(&sketch, &rows, &queries, &least);
        (sketch.size() as f64 + ALONE * dim as f64 * share, sketch)
    });
    let best = tried.into_iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 < dim as f64).then_some(best.1)
}

/// Cosine of the `k`-th nearest row.
fn kth_cosine(rows: &[f32], query: &[f32], k: usize) -> f32 {
    let mut all: Vec<f32> = rows.chunks_exact(query.len()).map(|row| dot(query, row)).collect();
    *all.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1
}

/// Share of the rows whose bound exceeds what the queries ask for (`least`).
fn share_left(sketch: &Sketch, rows: &[f32], queries: &[f32], least: &[f32]) -> f64 {
    let width = sketch.size() + 1;
    let (short, queries) = (sketch.project(rows), sketch.project(queries));
    let above =
        |row: &[f32]| queries.chunks_exact(width).zip(least).filter(|(q, bar)| dot(q, row) > **bar).count();
    let left: usize = short.par_chunks_exact(width).map(above).sum();
    left as f64 / (short.len() / width * least.len()) as f64
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
        for (query, near) in queries.chunks_exact(dim).zip(bank.nearest(&queries)) {
            let cosines = rows.chunks_exact(dim).map(|row| dot(query, row));
            let mut all: Vec<Neighbour> = cosines.zip(0..).collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            assert_eq!(near, all[..4]);
        }
        bank.sketch.is_some()
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
