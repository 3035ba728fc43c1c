//! The most similar rows of a bank, exactly, with most of them ruled out by a bound.

use rayon::prelude::*;

use super::sketch::{Sketch, rounding};
use super::unit::UnitRows;
use crate::kernels::{Factor, MatmulPrecision, Packed, Start, fastest_precision, positions_above, product};

/// Rows of the bank compared at once: they stay in cache with their bounds for a block of queries.
const BANK: usize = 256;
/// Rows compared in full before their cosines are looked at.
const TOGETHER: usize = 8;
/// Most directions of a sketch.
const MOST: usize = 128;
/// Queries and rows that the sketch is chosen on.
const TRIED: (usize, usize) = (8, 8192);
/// Cost of one exact comparison relative to one inside a matrix product: about 25 by time, times 3 because early
/// thresholds let more candidates through.
const ALONE: f64 = 75.0;
/// Time of a product of bf16 in units of that of `f32`, where [`fastest_precision`] names them.
const BF16: f64 = 0.5;

/// A neighbour: cosine and row of the bank.
pub(crate) type Neighbour = (f64, u32);

/// A bank of rows, ready to be searched.
pub(crate) struct Bank<'a> {
    rows: UnitRows<'a>,
    k: usize,
    /// What bounds are computed from; without it from the rows themselves.
    sketch: Option<Sketch>,
    /// Of what bounds are computed from.
    rounding: MatmulPrecision,
    /// The bank's side of the bounds, [`BANK`] rows each.
    packed: Vec<Packed>,
}

impl<'a> Bank<'a> {
    /// To find the `k` nearest of `rows`. What is best to bound with is tried out on some of the queries.
    pub fn new(rows: &'a [f32], queries: &[f32], dim: usize, k: usize) -> Self {
        let rows = UnitRows::new(rows, dim);
        let (sketch, rounding) = choose(&rows, queries, k).unzip();
        let rounding = rounding.unwrap_or(MatmulPrecision::F32);
        let packed = pack(&rows, sketch.as_ref(), rounding);
        Bank { rows, k, sketch, rounding, packed }
    }

    /// The `k` nearest for every query of a block, most similar first. Cosines that differ by no more than
    /// the rounding of f64 are equal, and of equals the first of the bank is taken.
    pub fn nearest(&self, queries: &[f32]) -> Vec<Vec<Neighbour>> {
        let dim = self.rows.dim();
        let unit = UnitRows::new(queries, dim).all();
        let candidates = self.candidates(&unit);
        let exact = |(query, found): (&[f32], Vec<(f32, u32)>)| self.exact(query, &found);
        queries.chunks_exact(dim).zip(candidates).map(exact).collect()
    }

    /// The first `k` of the candidates of a query, by their cosines in f64.
    fn exact(&self, query: &[f32], candidates: &[(f32, u32)]) -> Vec<Neighbour> {
        let rows: Vec<u32> = candidates.iter().map(|c| c.1).collect();
        let mut all: Vec<Neighbour> =
            self.rows.exact_cosines(query, &rows).zip(rows.iter().copied()).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        let equal = self.rows.dim() as f64 * f64::EPSILON;
        for group in all.chunk_by_mut(|a, b| a.0 - b.0 <= equal) {
            let cosine = group[0].0;
            group.sort_by_key(|n| n.1);
            group.iter_mut().for_each(|n| n.0 = cosine);
        }
        all.truncate(self.k);
        all
    }

    /// Rows that may be among the nearest of each of some unit queries, with cosines in f32.
    fn candidates(&self, queries: &[f32]) -> Vec<Vec<(f32, u32)>> {
        let dim = self.rows.dim();
        let count = queries.len() / dim;
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
                bounds.chunks_exact(rows).zip(queries.chunks_exact(dim)).zip(&mut near)
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

    /// Takes those of at most [`TOGETHER`] rows, in the bank's order, that may be among the nearest.
    fn consider(&self, near: &mut Vec<(f32, u32)>, query: &[f32], rows: impl Iterator<Item = u32>) {
        let (mut index, mut cosines, mut count) = ([0; TOGETHER], [0.0; TOGETHER], 0);
        for row in rows {
            index[count] = row;
            count += 1;
        }
        self.rows.cosines(query, &index[..count], &mut cosines);
        for (row, cosine) in index[..count].iter().zip(cosines) {
            self.take(near, (cosine, *row));
        }
    }

    /// Takes the row unless it is less similar than the last of the nearest so far, whatever rounding did
    /// to the two.
    fn take(&self, near: &mut Vec<(f32, u32)>, (cosine, row): (f32, u32)) {
        if cosine > self.bar(near) {
            let place = near.partition_point(|n| n.0 >= cosine);
            near.insert(place, (cosine, row));
            let bar = self.bar(near);
            near.truncate(near.partition_point(|n| n.0 > bar));
        }
    }

    /// What a row must exceed to be among the nearest.
    fn bar(&self, near: &[(f32, u32)]) -> f32 {
        let sure = |last: &(f32, u32)| last.0 - 2.0 * self.rows.error();
        near.get(self.k - 1).map_or(f32::NEG_INFINITY, sure)
    }

    /// What a row's bound must exceed for that.
    fn least_bound(&self, near: &[(f32, u32)]) -> f32 {
        self.bar(near) - slack(self.rows.dim(), self.rounding)
    }
}

/// How much less than the cosine a bound may be.
fn slack(dim: usize, of: MatmulPrecision) -> f32 {
    rounding(dim)
        + match of {
            // Eight bits: a value changes by 1/257 of its size at most, a product of two by 2/257 + 1/257^2,
            // which is less than 1/128, and the sum by that share of the product of the two lengths, 1.
            MatmulPrecision::Bf16 | MatmulPrecision::Bf16Amx => 1.0 / 128.0,
            MatmulPrecision::F32 | MatmulPrecision::Tf32 => 0.0,
        }
}

/// Blocks of [`BANK`] rows, made shorter by the sketch.
fn pack(rows: &UnitRows, sketch: Option<&Sketch>, rounding: MatmulPrecision) -> Vec<Packed> {
    let starts: Vec<usize> = (0..rows.count()).step_by(BANK).collect();
    let block = |&start: &usize| {
        let count = BANK.min(rows.count() - start);
        let unit = rows.some(start..start + count);
        let short = sketch.map_or(unit.clone(), |s| s.project(&unit));
        Packed::rounded_transposed(&short, short.len() / count, count, rounding)
    };
    starts.par_iter().map(block).collect()
}

/// The sketch whose bounds, and the rows that they leave over, take the least time, and of what those bounds
/// are computed; none if that is no less than of all rows in full.
fn choose(rows: &UnitRows, queries: &[f32], k: usize) -> Option<(Sketch, MatmulPrecision)> {
    let dim = rows.dim();
    let most = (dim / 2).min(MOST);
    if most < 8 || queries.is_empty() {
        return None;
    }
    let queries = UnitRows::new(queries, dim).spaced(TRIED.0);
    let least: Vec<f32> = queries.par_chunks(dim).map(|q| kth_cosine(rows, q, k)).collect();
    let (widest, rows) = (Sketch::new(rows, most), rows.spaced(TRIED.1));
    let tried = [most / 4, most / 3, most / 2, 2 * most / 3, most].into_iter().flat_map(|size| {
        let sketch = widest.truncated(size.min(widest.size()));
        let bounds = bounds(&sketch, &rows, &queries);
        let time = |of: MatmulPrecision| {
            let per_value = if of.is_bf16() { BF16 } else { 1.0 };
            let share = share_above(&bounds, &least, slack(dim, of));
            per_value * sketch.size() as f64 + ALONE * dim as f64 * share
        };
        [MatmulPrecision::F32, fastest_precision()].map(|of| (time(of), sketch.clone(), of))
    });
    let best = tried.min_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 < dim as f64).then_some((best.1, best.2))
}

/// Cosine of the `k`-th nearest row.
fn kth_cosine(rows: &UnitRows, query: &[f32], k: usize) -> f32 {
    let index: Vec<u32> = (0..rows.count() as u32).collect();
    let mut all = vec![0.0; index.len()];
    rows.cosines(query, &index, &mut all);
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
    use super::*;
    use crate::components::probes::shared::features::tests::blobs;
    use crate::kernels::dot;

    /// Rows around a few centres, most of the variation along `along` directions.
    fn rows(n: usize, dim: usize, along: usize, part: u64) -> Vec<f32> {
        let (mut values, _) = blobs(n, dim, 5, 1.0, part);
        values.chunks_exact_mut(dim).for_each(|row| row[along..].iter_mut().for_each(|v| *v *= 0.05));
        values
    }

    fn cosine(a: &[f32], b: &[f32]) -> f64 {
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    /// Whether the nearest are those of a full sort; returns whether a sketch was used.
    fn check(dim: usize, along: usize) -> bool {
        let (rows, queries) = (rows(3000, dim, along, 0), rows(9, dim, along, 1));
        let bank = Bank::new(&rows, &queries, dim, 4);
        for (query, near) in queries.chunks_exact(dim).zip(bank.nearest(&queries)) {
            let mut all: Vec<Neighbour> = rows.chunks_exact(dim).map(|r| cosine(query, r)).zip(0..).collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            assert!(near.iter().map(|n| n.1).eq(all[..4].iter().map(|n| n.1)), "{near:?} {:?}", &all[..4]);
            assert!(near.iter().zip(&all).all(|(n, a)| (n.0 - a.0).abs() < 1e-14));
        }
        bank.sketch.is_some()
    }

    #[test]
    fn bounds_of_either_rounding_are_no_less_than_the_cosine() {
        let dim = 128;
        let values = rows(300, dim, 20, 2);
        let unit = UnitRows::new(&values, dim);
        let (sketch, all, columns) = (Sketch::new(&unit, 31), unit.all(), 300);
        let short = sketch.project(&all);
        for rounding in [MatmulPrecision::F32, MatmulPrecision::Bf16, MatmulPrecision::Bf16Amx] {
            let mut bounds = vec![0.0; columns * columns];
            let packed = Packed::rounded_transposed(&short, 32, columns, rounding);
            Factor::rows(&short, 32, rounding).product(&mut bounds, Start::Zero, &packed);
            for (i, bound) in bounds.iter().enumerate() {
                let row = |i: usize| &all[i * dim..][..dim];
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
        // 2,500 copies of one row across several blocks, of different lengths: scaling rounds each of them.
        let rows: Vec<f32> =
            (0..2500).flat_map(|i| [3.0, 4.0, 12.0].map(|v| v * (1 + i % 7) as f32)).collect();
        let near = Bank::new(&rows, &rows[..3], 3, 6).nearest(&rows[..3]);
        assert!(near[0].iter().map(|n| n.1).eq(0..6), "{near:?}");
    }

    #[test]
    fn ties_on_a_lattice_are_those_of_whole_numbers() {
        // Cosines of small whole numbers are compared exactly: dot |dot| / |b|^2 as fractions.
        let value = |i: usize| ((i * 7919 + i * i * 31) % 5) as f32 - 2.0;
        let rows: Vec<f32> =
            (0..900 * 6).map(value).enumerate().map(|(i, v)| if i % 6 == 0 { 1.0 } else { v }).collect();
        let query = [1.0, 2.0, -1.0, 0.0, 1.0, 2.0f32];
        let near = Bank::new(&rows, &query, 6, 50).nearest(&query);
        let key = |row: &[f32]| {
            let dot: i64 = row.iter().zip(&query).map(|(a, b)| (a * b) as i64).sum();
            (dot * dot.abs(), row.iter().map(|a| (a * a) as i64).sum::<i64>())
        };
        let mut all: Vec<((i64, i64), u32)> = rows.chunks_exact(6).map(key).zip(0..).collect();
        all.sort_by(|(a, i), (b, j)| (b.0 * a.1).cmp(&(a.0 * b.1)).then(i.cmp(j)));
        assert!(near[0].iter().map(|n| n.1).eq(all[..50].iter().map(|a| a.1)));
    }
}
