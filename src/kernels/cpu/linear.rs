//! The affine map `y = x W' + b`, with `W` (out, in) as PyTorch stores it.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::elementwise::{add, add_column_sums};
use super::factor::Factor;
use super::gemm::Packed;
use super::split;
use super::tile::Start;
use crate::kernels::MatmulPrecision;

/// A map's parameters, ready for forward.
pub struct Forward {
    weight: Packed,
    bias: Buffer,
}

impl Forward {
    /// From `weight` (out, in) and `bias` (out).
    pub fn new(weight: &[f32], bias: &[f32], precision: MatmulPrecision) -> Self {
        let inputs = weight.len() / bias.len();
        let weight = Packed::rounded_transposed(weight, inputs, bias.len(), precision);
        Forward { weight, bias: Buffer::copy_of(bias) }
    }
    /// `y = x W' + b` for (n, in) rows.
    pub fn apply(&self, x: &Factor, y: &mut [f32]) {
        x.product(y, Start::Row(&self.bias), &self.weight);
    }
    /// `y = residual + x W' + b`.
    pub fn apply_residual(&self, x: &Factor, residual: &[f32], y: &mut [f32]) {
        assert_eq!(residual.len(), y.len(), "residual");
        x.product(y, Start::RowAndMatrix(&self.bias, residual), &self.weight);
    }
}

/// A map's weight (out, in), ready for the gradient of its input: `dx = start + dy W`.
pub fn pack_for_backward(weight: &[f32], outputs: usize, precision: MatmulPrecision) -> Packed {
    Packed::rounded(weight, outputs, weight.len() / outputs, precision)
}

/// `dW = start + dy' x` (out, in) for packed rows `x`, and `db += ` column sums of `dy`.
pub fn weight_gradient(dw: &mut [f32], db: &mut [f32], start: Start, dy: &[f32], x: &Packed) {
    Factor::transposed(dy, db.len(), x.precision()).product(dw, start, x);
    add_column_sums(db, dy);
}

/// Packs rows of `d` values as the right factor of a weight gradient.
pub fn pack_rows(x: &[f32], d: usize, precision: MatmulPrecision) -> Packed {
    Packed::rounded(x, x.len() / d, d, precision)
}

/// The whole map, rows shared between threads.
pub fn forward(x: &[f32], weight: &[f32], bias: &[f32], precision: MatmulPrecision) -> Vec<f32> {
    let (inputs, outputs) = (weight.len() / bias.len(), bias.len());
    let map = Forward::new(weight, bias, precision);
    let mut y = vec![0.0; x.len() / inputs * outputs];
    y.par_chunks_mut(split::GROUP_TOKENS * outputs)
        .zip(x.par_chunks(split::GROUP_TOKENS * inputs))
        .for_each(|(y, x)| map.apply(&Factor::rows(x, inputs, precision), y));
    y
}

/// Adds the gradient of the input to `dx` (if wanted), of weight and bias to `dw` and `db`.
pub fn backward(
    x: &[f32],
    weight: &[f32],
    dy: &[f32],
    dx: Option<&mut [f32]>,
    (dw, db): (&mut [f32], &mut [f32]),
    precision: MatmulPrecision,
) {
    let outputs = db.len();
    let inputs = dw.len() / outputs;
    if let Some(dx) = dx {
        let weight = pack_for_backward(weight, outputs, precision);
        dx.par_chunks_mut(split::GROUP_TOKENS * inputs)
            .zip(dy.par_chunks(split::GROUP_TOKENS * outputs))
            .for_each(|(dx, dy)| Factor::rows(dy, outputs, precision).product(dx, Start::Output, &weight));
    }
    let chunks: Vec<_> =
        dy.chunks(split::GROUP_TOKENS * outputs).zip(x.chunks(split::GROUP_TOKENS * inputs)).collect();
    let lanes = split::lanes(x.len() / inputs, chunks.len());
    let sums: Vec<_> = split::runs(chunks, lanes)
        .into_par_iter()
        .map(|run| {
            let (mut dw, mut db) = (Buffer::zeros(dw.len()), Buffer::zeros(db.len()));
            for (dy, x) in run {
                weight_gradient(&mut dw, &mut db, Start::Output, dy, &pack_rows(x, inputs, precision));
            }
            (dw, db)
        })
        .collect();
    for (lane_dw, lane_db) in &sums {
        add(dw, lane_dw);
        add(db, lane_db);
    }
}
