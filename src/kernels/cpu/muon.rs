//! Orthogonalised momentum: one matrix per task.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::elementwise::combine;
use super::matmul::{Operand, add_product};
use super::optimizer::sq_norm;
use crate::kernels::{MatmulPrecision, MuonStep};

/// A matrix with what its step needs.
pub struct Matrix {
    pub values: Buffer,
    pub buffer: Buffer,
    pub gradient: Buffer,
    pub shape: (usize, usize),
    pub decay: f64,
    pub rate: f64,
    pub precision: MatmulPrecision,
}

/// One step of all of them.
pub fn step(matrices: &mut [Matrix], step: &MuonStep) {
    matrices.par_iter_mut().for_each(|m| {
        let (keep, take) = (step.momentum as f32, (1.0 - step.momentum) as f32);
        combine(&mut m.buffer, keep, &m.gradient, take);
        let mut u = Buffer::copy_of(&m.buffer);
        if step.nesterov {
            combine(&mut u, keep, &m.gradient, take);
        }
        let u = orthogonalized(u, m.shape, step.iterations, m.precision);
        combine(&mut m.values, m.decay as f32, &u, -m.rate as f32);
    });
}

/// A factor as it is.
fn plain(values: &[f32]) -> Operand<'_> {
    Operand::new(values, false)
}

/// `a b`, of sizes (n, k) and (k, m).
fn product((a, b): (Operand, Operand), sizes: [usize; 3], precision: MatmulPrecision) -> Buffer {
    let mut out = Buffer::zeros(sizes[0] * sizes[2]);
    add_product(&mut out, a, b, sizes, precision);
    out
}

/// Newton-Schulz steps from `x / |x|`, x (rows, columns).
fn orthogonalized(
    mut x: Buffer,
    (rows, columns): (usize, usize),
    iterations: usize,
    precision: MatmulPrecision,
) -> Buffer {
    let [a, b, c] = MuonStep::COEFFICIENTS.map(|v| v as f32);
    let norm = sq_norm(&x).sqrt();
    if norm == 0.0 {
        return x;
    }
    x.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
    // The products of the smaller side: x x' (rows, rows), or x' x (columns, columns) with x on the left.
    let tall = rows > columns;
    let (side, inner) = (rows.min(columns), rows.max(columns));
    for _ in 0..iterations {
        let factors = (Operand::new(&x, tall), Operand::new(&x, !tall));
        let gram = product(factors, [side, inner, side], precision);
        let mut sum = product((plain(&gram), plain(&gram)), [side; 3], precision);
        combine(&mut sum, c, &gram, b);
        let mut next = if tall {
            product((plain(&x), plain(&sum)), [rows, side, side], precision)
        } else {
            product((plain(&sum), plain(&x)), [side, side, columns], precision)
        };
        combine(&mut next, 1.0, &x, a);
        x = next;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use ijepa_registry::prelude::Stream;
    use nalgebra::DMatrix;

    /// The same iteration in f64 with plain matrices.
    fn reference(values: &[f32], (rows, columns): (usize, usize)) -> DMatrix<f64> {
        let x = DMatrix::from_row_iterator(rows, columns, values.iter().map(|v| f64::from(*v)));
        let tall = rows > columns;
        let mut x = if tall { x.transpose() } else { x };
        x /= x.norm();
        for _ in 0..5 {
            let gram = &x * x.transpose();
            x = 3.4445 * &x + (-4.775 * &gram + 2.0315 * &gram * &gram) * &x;
        }
        if tall { x.transpose() } else { x }
    }

    #[test]
    fn the_iteration_is_that_of_the_formula_and_singular_values_are_near_one() {
        let mut stream = Stream::new(0, "test/muon", 0, 0);
        for shape in [(6, 10), (10, 6), (8, 8), (40, 130)] {
            let values: Vec<f32> = (0..shape.0 * shape.1).map(|_| stream.normal() as f32).collect();
            let got = orthogonalized(Buffer::copy_of(&values), shape, 5, MatmulPrecision::F32);
            let want = reference(&values, shape);
            for (i, got) in got.iter().enumerate() {
                let want = want[(i / shape.1, i % shape.1)];
                assert!((f64::from(*got) - want).abs() < 1e-4, "{shape:?} at {i}: {got}, not {want}");
            }
            if shape.0 != shape.1 {
                let singular = want.singular_values();
                assert!(singular.iter().all(|s| (0.6..1.3).contains(s)), "{shape:?}: {singular}");
            }
        }
    }
}
