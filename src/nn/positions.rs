//! Positions: a table that is learned or of fixed 2-D sines and cosines, rotations, or none.

use ijepa_registry::prelude::*;

use super::Init;
use crate::kernels::TableTerm;

/// How tokens learn where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PositionKind {
    /// A learned table, normal with standard deviation 0.02.
    Learned,
    /// A fixed table of sines and cosines (Vaswani et al. 2017, in two dimensions).
    Sincos2d,
    /// Rotary in two dimensions: in every attention, half of the pairs of columns of a head's queries and keys turn
    /// by the column of their patch, half by its row, at frequencies of base 100 (axial, Heo et al. 2024,
    /// arXiv 2403.13298, section 3.2; Su et al. 2021, arXiv 2104.09864). Scores then depend on distances, on any
    /// grid; heads are a multiple of 4 wide. Blocks are composed of single operators, and slower for it.
    Rope,
    /// No position: tokens are a set.
    None,
}

impl PositionKind {
    /// Rows of its table for `grid`: one per patch, learned or not.
    pub fn rows(self, grid: Grid) -> usize {
        if matches!(self, PositionKind::None | PositionKind::Rope) { 0 } else { grid.len() }
    }
}

/// The table `pos_embed` of `kind` for `grid` at width `dim`, shape `[1, patch, dim]`.
pub fn position_table<D: Device<f32>>(
    init: &Init<D>,
    kind: PositionKind,
    name: &str,
    grid: Grid,
    dim: usize,
) -> Option<Param<D>> {
    let dims = [1, grid.len(), dim];
    match kind {
        PositionKind::Learned => Some(init.tokens(name, &dims)),
        PositionKind::Sincos2d => {
            let values = sincos2d(grid, dim).into_iter().map(|v| v as f32).collect();
            Some(init.fixed(name, &dims, values))
        }
        PositionKind::None | PositionKind::Rope => None,
    }
}

/// A parameter as a table whose rows are added.
pub fn table<'a, D: Device<f32>>(param: &'a Param<D>, index: &'a [u32]) -> TableTerm<'a, D> {
    TableTerm { table: &param.data, index, trained: param.trainable }
}

/// Constraints that encoder and predictor share: heads divide the width, sin-cos tables and rotations need
/// multiples of four.
pub fn check_attention(dim: usize, heads: usize, positions: PositionKind) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !dim.is_multiple_of(heads) {
        let fits: Vec<String> =
            (1..=dim.min(64)).filter(|h| dim.is_multiple_of(*h)).map(|h| h.to_string()).collect();
        problems.push(
            Problem::new("heads", format!("{heads} heads do not divide dim {dim}"))
                .help(format!("heads that divide {dim}: {}", fits.join(", "))),
        );
    }
    if positions == PositionKind::Sincos2d && !dim.is_multiple_of(4) {
        problems
            .push(Problem::new("dim", format!("{dim} is not a multiple of 4, as sincos2d positions need")));
    }
    if positions == PositionKind::Rope && !(dim / heads.max(1)).is_multiple_of(4) {
        let message = format!("heads are {} wide, not a multiple of 4, as rope needs", dim / heads.max(1));
        problems.push(Problem::new("heads", message));
    }
    problems
}

/// A table `(patch, dim)` of the grid `from` on the grid `to`: bicubic, each row a point in the middle of its patch and
/// the border repeated beyond it, as `torch.nn.functional.interpolate(mode="bicubic")` does (Keys 1981, a = -0.75). So are
/// positions carried over to another resolution (Dosovitskiy et al. 2021, arXiv 2010.11929, section 3.2).
pub fn interpolated(table: &[f32], from: Grid, to: Grid) -> Vec<f32> {
    let dim = table.len() / from.len();
    let [rows, cols] = [(from.rows, to.rows), (from.cols, to.cols)].map(|(from, to)| weights(from, to));
    let mut out = Vec::with_capacity(to.len() * dim);
    for row in &rows {
        for col in &cols {
            let value = |d: usize| -> f64 {
                let at = |y: usize, x: usize| f64::from(table[(y * from.cols + x) * dim + d]);
                let along = |y: usize| col.iter().map(|&(x, w)| w * at(y, x)).sum::<f64>();
                row.iter().map(|&(y, w)| w * along(y)).sum()
            };
            out.extend((0..dim).map(|d| value(d) as f32));
        }
    }
    out
}

/// For every one of `to` places the four of `from` places that it is made of, with their weights.
fn weights(from: usize, to: usize) -> Vec<[(usize, f64); 4]> {
    const A: f64 = -0.75;
    let near = |d: f64| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
    let far = |d: f64| ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
    let place = |i: usize| {
        let at = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let t = at - at.floor();
        let row = |k: isize| (at.floor() as isize + k).clamp(0, from as isize - 1) as usize;
        [(row(-1), far(t + 1.0)), (row(0), near(t)), (row(1), near(1.0 - t)), (row(2), far(2.0 - t))]
    };
    (0..to).map(place).collect()
}

/// Two-dimensional sin-cos table `(patch, dim)`; `dim` is a multiple of 4.
///
/// The first half of a row encodes the column, the second half the row; each half is
/// `sin(c w_0), sin(c w_1), ..., cos(c w_0), ...` with `w_k = 10000^(-k / (dim / 4))`.
pub fn sincos2d(grid: Grid, dim: usize) -> Vec<f64> {
    let quarter = dim / 4;
    let omega: Vec<f64> = (0..quarter).map(|k| 10000f64.powf(-(k as f64) / quarter as f64)).collect();
    let mut table = Vec::with_capacity(grid.len() * dim);
    for row in 0..grid.rows {
        for col in 0..grid.cols {
            for coordinate in [col as f64, row as f64] {
                table.extend(omega.iter().map(|w| (coordinate * w).sin()));
                table.extend(omega.iter().map(|w| (coordinate * w).cos()));
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of OpenCV 4 (`INTER_CUBIC`), whose coordinates, border and coefficient are the same.
    #[test]
    fn tables_are_carried_over_to_other_grids() {
        let table = [0.0, 1.0, 0.0, 2.0, 3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        let from = Grid { rows: 3, cols: 4 };
        let wide = [
            0.59988065, 0.63989258, 0.75446235, 0.88754569, 1.3112793, 1.65157051, //
            4.43227819, 6.35058594, 6.70941854, 3.10275587, 3.28222656, 5.02632602,
        ];
        let tall = [
            -0.0791211, 0.19624931, 1.71604646, //
            0.91237974, 1.04575012, 1.33780571, //
            2.66087955, 2.59375, 1.48263884, //
            4.69813121, 4.52987641, 3.80622318, //
            5.98693522, 5.77899987, 5.67128678,
        ];
        for (to, expected) in [((2, 6), &wide[..]), ((5, 3), &tall)] {
            let found = interpolated(&table, from, Grid { rows: to.0, cols: to.1 });
            let off = found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
            assert!(off < 1e-5 && found.len() == expected.len(), "{to:?}: {found:?}");
        }
        assert_eq!(interpolated(&table, from, from), table);
        // Every column of the table by itself.
        let both: Vec<f32> = table.iter().flat_map(|v| [*v, 7.0]).collect();
        let found = interpolated(&both, from, Grid { rows: 2, cols: 6 });
        assert!(
            found
                .chunks(2)
                .zip(wide)
                .all(|(f, w)| (f64::from(f[0]) - w).abs() < 1e-5 && (f[1] - 7.0).abs() < 1e-5)
        );
    }
}
