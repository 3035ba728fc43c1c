//! Rotary positions in two dimensions: queries and keys are turned by where their tokens are.

use ijepa_registry::prelude::*;

use super::PositionKind;
use crate::kernels::{Backend, NONE};

/// Base of the frequencies: grids are a hundred times shorter than the texts for which 10,000 was chosen.
const BASE: f64 = 100.0;

/// Cosines and sines of every place of a grid, for heads of one width.
pub struct Rotary<D: Device<f32>> {
    /// `(patch + 1, head)`: half cosines, half sines; the last row turns nothing.
    table: Rows<D>,
}

impl<D: Backend> Rotary<D> {
    /// For heads of `dim / heads` columns, a multiple of 4, where positions are rotary.
    pub fn new(
        device: &D,
        kind: PositionKind,
        grid: Grid,
        dim: usize,
        heads: usize,
    ) -> Result<Option<Self>, ModelError> {
        if kind != PositionKind::Rope {
            return Ok(None);
        }
        let width = dim / heads;
        let values: Vec<f32> = turns(grid, width).into_iter().map(|v| v as f32).collect();
        let table = device.try_tensor_from_vec(values, (grid.len() + 1, width));
        Ok(Some(Rotary { table: table.map_err(ModelError::from_debug)? }))
    }

    /// The turns of tokens at these patch numbers, `(token, head)`; [`NONE`] for a token that has no place.
    pub fn at(&self, places: &[u32]) -> Result<Rows<D>, ModelError> {
        let nowhere = self.table.shape().0 as u32 - 1;
        let rows: Vec<u32> = places.iter().map(|&p| if p == NONE { nowhere } else { p }).collect();
        D::gather_sum(self.table.clone(), &rows, &[])
    }
}

/// The table of [`Rotary`] for heads of `width` columns: pair `2 t` of a head turns by `w_t` times the column of its
/// patch, pair `2 t + 1` by `w_t` times the row, `w_t = 100^(-t / (width / 4))`.
fn turns(grid: Grid, width: usize) -> Vec<f64> {
    let quarter = width / 4;
    let omega = |pair: usize| BASE.powf(-((pair / 2) as f64) / quarter as f64);
    let angle = |row: usize, col: usize, pair: usize| {
        omega(pair) * if pair.is_multiple_of(2) { col as f64 } else { row as f64 }
    };
    let mut table = Vec::with_capacity((grid.len() + 1) * width);
    for patch in 0..grid.len() {
        let angles = (0..2 * quarter).map(|pair| angle(patch / grid.cols, patch % grid.cols, pair));
        table.extend(angles.clone().map(f64::cos));
        table.extend(angles.map(f64::sin));
    }
    table.extend((0..width).map(|i| if i < 2 * quarter { 1.0 } else { 0.0 }));
    table
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::TensorFromVec;

    use super::*;

    const GRID: Grid = Grid { rows: 5, cols: 7 };
    const WIDTH: usize = 8;

    /// The score of one head between a query at `a` and a key at `b`, patch numbers.
    fn score(query: &[f32], key: &[f32], a: u32, b: u32) -> f64 {
        let device = Cpu::default();
        let rotary = Rotary::new(&device, PositionKind::Rope, GRID, WIDTH, 1).unwrap().unwrap();
        let turned = |values: &[f32], place: u32| {
            let row: Rows<Cpu> = device.tensor_from_vec(values.to_vec(), (1, WIDTH));
            <Cpu as crate::kernels::Compose>::rotate(row, &rotary.at(&[place]).unwrap()).unwrap().as_vec()
        };
        turned(query, a).iter().zip(turned(key, b)).map(|(q, k)| f64::from(q * k)).sum()
    }

    #[test]
    fn a_score_depends_on_where_tokens_are_relative_to_one_another() {
        let mut stream = Stream::new(1, "test/rotary", 0, 0);
        let mut values = || (0..WIDTH).map(|_| stream.normal() as f32).collect::<Vec<f32>>();
        let (q, k) = (values(), values());
        let plain: f64 = q.iter().zip(&k).map(|(q, k)| f64::from(q * k)).sum();
        let at = |a: (u32, u32), b: (u32, u32)| score(&q, &k, a.0 * 7 + a.1, b.0 * 7 + b.1);
        assert!((at((0, 0), (1, 2)) - at((3, 4), (4, 6))).abs() < 1e-5);
        assert!((at((2, 3), (2, 3)) - plain).abs() < 1e-5);
        assert!((at((0, 0), (1, 2)) - at((0, 0), (2, 1))).abs() > 1e-2, "rows and columns are one thing");
        assert!((score(&q, &k, NONE, NONE) - plain).abs() < 1e-6);
    }

    /// The two dimensions in f64 by the formula with complex numbers, pair by pair.
    #[test]
    fn pairs_turn_by_column_and_row_at_their_frequencies() {
        let table = turns(GRID, WIDTH);
        let (row, col) = (3, 6);
        let of =
            |pair: usize| (table[(row * 7 + col) * WIDTH + pair], table[(row * 7 + col) * WIDTH + 4 + pair]);
        for (pair, angle) in [(0, 6.0), (1, 3.0), (2, 0.6), (3, 0.3)] {
            let (cosine, sine) = of(pair);
            assert!((cosine - f64::cos(angle)).abs() < 1e-12 && (sine - f64::sin(angle)).abs() < 1e-12);
        }
    }
}
