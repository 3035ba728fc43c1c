//! The affine map `y = x W' + b`, with `W` (out, in) as PyTorch stores it.

use rayon::prelude::*;

use super::elementwise::{add, add_column_sums, add_row, fill_rows};
use super::gemm::{View, Write, product, transpose};
use super::pool::Buffer;
use super::split;

/// Weights of one map, ready for forward (transposed: both factors are then read along rows).
pub struct Forward {
    transposed: Buffer,
    bias: Buffer,
    inputs: usize,
}

impl Forward {
    /// From `weight` (out, in) and `bias` (out).
    pub fn new(weight: &[f32], bias: &[f32]) -> Self {
        let inputs = weight.len() / bias.len();
        let mut transposed = Buffer::any(weight.len());
        transpose(weight, &mut transposed, bias.len(), inputs);
        Forward { transposed, bias: Buffer::copy_of(bias), inputs }
    }
    /// `y = x W' + b` for (n, in) rows.
    pub fn apply(&self, x: &[f32], y: &mut [f32]) {
        fill_rows(y, &self.bias);
        self.add_product(x, y);
    }
    /// `y = residual + x W' + b`.
    pub fn apply_residual(&self, x: &[f32], residual: &[f32], y: &mut [f32]) {
        add_row(y, residual, &self.bias);
        self.add_product(x, y);
    }
    fn add_product(&self, x: &[f32], y: &mut [f32]) {
        let outputs = self.bias.len();
        let x = View::new(x, x.len() / self.inputs, self.inputs);
        product(y, Write::Add, x, View::new(&self.transposed, self.inputs, outputs));
    }
}

/// `dx (=|+=) dy W`: the gradient of the input.
pub fn input_gradient(dx: &mut [f32], write: Write, dy: &[f32], weight: &[f32], outputs: usize) {
    let (rows, inputs) = (dy.len() / outputs, weight.len() / outputs);
    product(dx, write, View::new(dy, rows, outputs), View::new(weight, outputs, inputs));
}

/// `dW (=|+=) dy' x` (out, in) and `db += ` column sums of `dy`.
pub fn weight_gradient(dw: &mut [f32], db: &mut [f32], write: Write, dy: &[f32], x: &[f32]) {
    let (outputs, inputs) = (db.len(), dw.len() / db.len());
    let rows = dy.len() / outputs;
    product(dw, write, View::new(dy, rows, outputs).t(), View::new(x, rows, inputs));
    add_column_sums(db, dy);
}

/// The whole map, rows shared between threads.
pub fn forward(x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let (inputs, outputs) = (weight.len() / bias.len(), bias.len());
    let map = Forward::new(weight, bias);
    let mut y = vec![0.0; x.len() / inputs * outputs];
    y.par_chunks_mut(split::GROUP_TOKENS * outputs)
        .zip(x.par_chunks(split::GROUP_TOKENS * inputs))
        .for_each(|(y, x)| map.apply(x, y));
    y
}

/// Adds the gradient of the input to `dx` (if wanted), of weight and bias to `dw` and `db`.
pub fn backward(
    x: &[f32],
    weight: &[f32],
    dy: &[f32],
    dx: Option<&mut [f32]>,
    (dw, db): (&mut [f32], &mut [f32]),
) {
    let outputs = db.len();
    let inputs = dw.len() / outputs;
    if let Some(dx) = dx {
        dx.par_chunks_mut(split::GROUP_TOKENS * inputs)
            .zip(dy.par_chunks(split::GROUP_TOKENS * outputs))
            .for_each(|(dx, dy)| input_gradient(dx, Write::Add, dy, weight, outputs));
    }
    let chunks: Vec<_> = dy
        .chunks(split::GROUP_TOKENS * outputs)
        .zip(x.chunks(split::GROUP_TOKENS * inputs))
        .collect();
    let lanes = split::lanes(x.len() / inputs, chunks.len());
    let sums: Vec<_> = split::runs(chunks, lanes)
        .into_par_iter()
        .map(|run| {
            let (mut dw, mut db) = (Buffer::zeros(dw.len()), Buffer::zeros(db.len()));
            for (dy, x) in run {
                weight_gradient(&mut dw, &mut db, Write::Add, dy, x);
            }
            (dw, db)
        })
        .collect();
    for (lane_dw, lane_db) in &sums {
        add(dw, lane_dw);
        add(db, lane_db);
    }
}
