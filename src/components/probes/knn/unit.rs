//! Rows of length 1, without a second copy of them where their lengths allow.

use std::{borrow::Cow, ops::Range};

use ijepa_registry::prelude::Features;
use rayon::prelude::*;

use crate::components::probes::shared::features::unit_rows;
use crate::kernels::{dots, wide_dot};

/// Lengths between which products of rows as they are stay far from the ends of `f32`.
const TAME: Range<f64> = 1e-12..1e12;
/// Rows of one task.
const ROWS: usize = 1024;

/// Rows `(count, dim)` that count as if they had length 1; a row of zeros stays.
pub(crate) struct UnitRows<'a> {
    /// As they were given.
    given: &'a [f32],
    /// What is multiplied: as given, or scaled.
    values: Cow<'a, [f32]>,
    /// 1 / length of every row of `values`.
    inverse: Vec<f32>,
    dim: usize,
}

impl<'a> UnitRows<'a> {
    /// Of rows of any length.
    pub fn new(given: &'a [f32], dim: usize) -> Self {
        let length = |row: &[f32]| row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        let lengths: Vec<f64> = given.par_chunks(dim).with_min_len(256).map(length).collect();
        if lengths.iter().all(|length| *length == 0.0 || TAME.contains(length)) {
            let inverse = |length: f64| if length == 0.0 { 0.0 } else { (1.0 / length) as f32 };
            let inverse = lengths.into_iter().map(inverse).collect();
            return UnitRows { given, values: Cow::Borrowed(given), inverse, dim };
        }
        let values = unit_rows(&Features { dim, tokens: 1, values: given, labels: &[] });
        UnitRows { given, values: Cow::Owned(values), inverse: vec![1.0; lengths.len()], dim }
    }

    /// Values of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.inverse.len()
    }

    /// A copy of some rows, scaled.
    pub fn some(&self, rows: Range<usize>) -> Vec<f32> {
        rows.flat_map(|i| self.row(i)).collect()
    }

    /// A copy of all rows, scaled.
    pub fn all(&self) -> Vec<f32> {
        self.some(0..self.count())
    }

    /// Up to `count` rows at equal distances, scaled.
    pub fn spaced(&self, count: usize) -> Vec<f32> {
        let (rows, count) = (self.count(), count.min(self.count()));
        (0..count).flat_map(|i| self.row(i * rows / count)).collect()
    }

    fn row(&self, i: usize) -> impl Iterator<Item = f32> {
        let inverse = self.inverse[i];
        self.values[i * self.dim..][..self.dim].iter().map(move |v| v * inverse)
    }

    /// Cosines of a query of length 1 with the rows that `index` names, within [`UnitRows::error`].
    pub fn cosines(&self, query: &[f32], index: &[u32], out: &mut [f32]) {
        for (index, out) in index.chunks(ROWS).zip(out.chunks_mut(ROWS)) {
            dots(query, &self.values, index, out);
            index.iter().zip(out).for_each(|(i, out)| *out *= self.inverse[*i as usize]);
        }
    }

    /// What rounding can do to one of [`UnitRows::cosines`]: half a unit in the last place for each of the
    /// additions that follow one another in a lane and across lanes, and for scaling either row.
    pub fn error(&self) -> f32 {
        (self.dim / 16 + 24) as f32 * 0.5 * f32::EPSILON
    }

    /// Cosines of a query of any length with the rows that `index` names, in f64.
    pub fn exact_cosines(&self, query: &[f32], index: &[u32]) -> impl Iterator<Item = f64> {
        let query: Vec<f64> = query.iter().map(|&v| f64::from(v)).collect();
        let square: f64 = query.iter().map(|v| v * v).sum();
        index.iter().map(move |&i| {
            let row = &self.given[i as usize * self.dim..][..self.dim];
            let own: f64 = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
            let lengths = square.sqrt() * own.sqrt();
            if lengths > 0.0 { wide_dot(row, &query) / lengths } else { 0.0 }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_length_have_the_same_cosines() {
        let rows = [3.0f32, 4.0, 0.0, 0.0, -8.0, 6.0];
        for scale in [1.0, 1e-20, 1e20] {
            let scaled = rows.map(|v| v * scale);
            let unit = UnitRows::new(&scaled, 2);
            assert_eq!(matches!(unit.values, Cow::Borrowed(_)), scale == 1.0);
            let mut found = [9.0; 3];
            unit.cosines(&[1.0, 0.0], &[0, 1, 2], &mut found);
            assert!(
                found.iter().zip([0.6, 0.0, -0.8]).all(|(f, e)| (f - e).abs() <= unit.error()),
                "{found:?}"
            );
            let exact: Vec<f64> = unit.exact_cosines(&[1e-15, 0.0], &[0, 1, 2]).collect();
            assert!(exact.iter().zip([0.6, 0.0, -0.8]).all(|(f, e)| (f - e).abs() < 1e-6), "{exact:?}");
            assert!(
                unit.all().iter().zip([0.6, 0.8, 0.0, 0.0, -0.8, 0.6]).all(|(f, e)| (f - e).abs() < 1e-6)
            );
        }
    }
}
