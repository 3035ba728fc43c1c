//! Operators from which a component composes what the fused blocks do not offer.
//!
//! Each is one node of the gradient tape with the same mathematics on every device. [`Compose`] is part of
//! [`super::Backend`]: code that is generic over a backend `D` calls `D::attention`, `D::map` and so on.
//!
//! An operator of several tensors merges their tapes. A tensor that is used more than once is given as
//! `x.retaped::<T>()`, the same tensor with an empty tape of the same kind, each time but the last: all its
//! gradients add up. Two operands may be one tensor. Every operand receives its gradient, also one without a
//! tape, which is how parameters come in; where the first operand has no tape (the target encoder), an operator
//! only computes its value.

use std::ops::Range;

use dfdx::prelude::Merge;
use ijepa_registry::tensor::{Device, Flat, Rows, Segments, Tape, Tensor};

use super::{MatmulPrecision, Result};

/// A function of one number, for [`Compose::map`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// `scale x + shift`.
    Affine {
        /// The slope.
        scale: f32,
        /// The value at zero.
        shift: f32,
    },
    /// `x Phi(x)` with the normal distribution function itself, not an approximation by `tanh`.
    Gelu,
    /// `x / (1 + e^-x)`.
    Silu,
    /// `max(x, 0)`; the slope at 0 is 0.
    Relu,
    /// The hyperbolic tangent.
    Tanh,
    /// `x^2`.
    Square,
    /// The sine; beyond 10^6 on either side that of 10^6.
    Sin,
    /// The cosine, in the same range.
    Cos,
    /// `max(floor - sqrt(x + eps), 0)`: by how much a standard deviation falls below `floor`, of a variance `x`
    /// (the variance term of VICReg, Bardes et al. 2022, equation 1).
    StdHinge {
        /// The standard deviation that is asked for.
        floor: f32,
        /// Added to the variance; above 0 where variances may be 0.
        eps: f32,
    },
}

/// See the module. Shapes are (rows, columns); sizes that do not fit together are errors.
pub trait Compose: Device<f32> {
    /// `softmax(q k' / sqrt(d / heads)) v` for each of `heads` equal groups of the `d` columns, within paired
    /// segments: rows of segment `i` of `q` attend to those of segment `i` of `k` and `v`. q (n, d), k and v
    /// (m, d) to (n, d). With `k` and `v` of the same rows as `q` this is self-attention. Segments may be empty,
    /// but not the keys of one that has queries. Products are f32. A GPU takes heads of up to 96 columns.
    fn attention<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        q: Rows<Self, T>,
        k: Rows<Self, R>,
        v: Rows<Self, R>,
        heads: usize,
        q_segments: &Segments,
        kv_segments: &Segments,
    ) -> Result<Rows<Self, T>>;

    /// `f(x)` of every element.
    fn map<T: Tape<f32, Self>>(x: Rows<Self, T>, function: Function) -> Result<Rows<Self, T>>;

    /// `x + y` of the same shape.
    fn add<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        x: Rows<Self, T>,
        y: Rows<Self, R>,
    ) -> Result<Rows<Self, T>>;

    /// `x y` of the same shape, element by element.
    fn multiply<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        x: Rows<Self, T>,
        y: Rows<Self, R>,
    ) -> Result<Rows<Self, T>>;

    /// `y[i, j] = x[i, j] gain[j]` (layer-scale): x (n, d), `gain` (d).
    fn scale_columns<T: Tape<f32, Self>>(x: Rows<Self, T>, gain: &Flat<Self>) -> Result<Rows<Self, T>>;

    /// `y[i, j] = factors[i] x[i, j]` (drop-path): x (n, d), constants `factors` (n).
    fn scale_rows<T: Tape<f32, Self>>(x: Rows<Self, T>, factors: &[f32]) -> Result<Rows<Self, T>>;

    /// `x / sqrt(mean(x^2) + eps) * gain` over each group of as many columns as `gain` has: a whole row where it
    /// is as wide, each head alone where it has the columns of one (QK-norm). x (n, d), `gain` (w), w divides d.
    fn rms_norm<T: Tape<f32, Self>>(x: Rows<Self, T>, gain: &Flat<Self>, eps: f32) -> Result<Rows<Self, T>>;

    /// Turns every pair of columns by an angle of its row (rotary positions): of each group of `w` columns, pair `k`
    /// becomes `(c x[2k] - s x[2k + 1], s x[2k] + c x[2k + 1])` with `c = turns[i, k]` and `s = turns[i, w / 2 + k]`.
    /// x (n, d), constant `turns` (n, w) of cosines and sines, w even, divides d.
    fn rotate<T: Tape<f32, Self>>(x: Rows<Self, T>, turns: &Rows<Self>) -> Result<Rows<Self, T>>;

    /// The rows of `a`, then those of `b`: (n, d) and (m, d) to (n + m, d).
    fn concat_rows<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        a: Rows<Self, T>,
        b: Rows<Self, R>,
    ) -> Result<Rows<Self, T>>;

    /// The columns of `a`, then those of `b`: (n, d) and (n, e) to (n, d + e).
    fn concat_columns<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        a: Rows<Self, T>,
        b: Rows<Self, R>,
    ) -> Result<Rows<Self, T>>;

    /// Some columns: (n, d) to (n, range.len()).
    fn columns<T: Tape<f32, Self>>(x: Rows<Self, T>, range: Range<usize>) -> Result<Rows<Self, T>>;

    /// Output row `i` is the rows `index[i * count..(i + 1) * count]` of `x` side by side, zeros where the index is
    /// [`super::NONE`]: x (n, d) to (index.len() / count, count d). With the neighbours of every patch as index,
    /// what comes out times a matrix is a convolution (im2col).
    fn gather_rows_wide<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        index: &[u32],
        count: usize,
    ) -> Result<Rows<Self, T>>;

    /// The mean of the rows of each segment, added in f64 in their order: (n, d) to (segments.len(), d). An empty
    /// segment is an error.
    fn segment_means<T: Tape<f32, Self>>(x: Rows<Self, T>, segments: &Segments) -> Result<Rows<Self, T>>;

    /// `x` minus the mean of each column, over all rows.
    fn center_columns<T: Tape<f32, Self>>(x: Rows<Self, T>) -> Result<Rows<Self, T>>;

    /// `v[j] = sum over i of (x[i, j] - mean[j])^2 / (n - 1)`, unbiased: (n, d) to (1, d), n at least 2.
    fn column_variances<T: Tape<f32, Self>>(x: Rows<Self, T>) -> Result<Rows<Self, T>>;

    /// `op(a) op(b)`, where `op` transposes if asked to: (n, k) and (k, m), after `op`, to (n, m). `precision`
    /// applies to both factors, and to those of the products of the gradients.
    fn matmul<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        a: Rows<Self, T>,
        b: Rows<Self, R>,
        transpose_a: bool,
        transpose_b: bool,
        precision: MatmulPrecision,
    ) -> Result<Rows<Self, T>>;

    /// The sum of all elements.
    fn sum<T: Tape<f32, Self>>(x: Rows<Self, T>) -> Result<Tensor<(), f32, Self, T>>;

    /// The sum of two numbers, such as terms of a loss.
    fn add_scalars<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        a: Tensor<(), f32, Self, T>,
        b: Tensor<(), f32, Self, R>,
    ) -> Result<Tensor<(), f32, Self, T>>;
}
