//! Operations and activations of layers: arithmetic on sizes, nothing is computed.

use ijepa_registry::kinds::Cost;

/// A linear map of `rows` rows.
pub fn linear(rows: usize, inputs: usize, outputs: usize) -> f64 {
    2.0 * rows as f64 * inputs as f64 * outputs as f64
}

/// A linear map of data, `(row, inputs)` to `(row, outputs)`.
pub fn embedding(rows: usize, inputs: usize, outputs: usize) -> Cost {
    let flop = linear(rows, inputs, outputs);
    Cost { flop, input: flop, activations: 0.0 }
}

/// A linear map of activations, `(row, inputs)` to `(row, outputs)`.
pub fn projection(rows: usize, inputs: usize, outputs: usize) -> Cost {
    Cost { flop: linear(rows, inputs, outputs), ..Cost::default() }
}
