//! Position tables: learned, fixed 2-D sin-cos, or none.

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
    /// No position: tokens are a set.
    None,
}

impl PositionKind {
    /// Rows of its table for `grid`: one per patch, learned or not.
    pub fn rows(self, grid: Grid) -> usize {
        if self == PositionKind::None { 0 } else { grid.len() }
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
        PositionKind::None => None,
    }
}

/// A parameter as a table whose rows are added.
pub fn table<'a, D: Device<f32>>(param: &'a Param<D>, index: &'a [u32]) -> TableTerm<'a, D> {
    TableTerm { table: &param.data, index, trained: param.trainable }
}

/// Constraints that encoder and predictor share: heads divide the width, sin-cos tables need a
/// multiple of four.
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
    problems
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
