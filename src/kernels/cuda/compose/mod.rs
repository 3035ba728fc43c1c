//! [`Compose`] for dfdx's CUDA device: sizes checked, tapes merged, then a node of `elements`, `rearrange`,
//! `moments` or `products`.

mod elements;
mod moments;
mod products;
mod rearrange;

use std::ops::Range;

use dfdx::prelude::{Cuda, HasShape, Merge, PutTape, Shape, SplitTape, Tensor};
use ijepa_registry::tensor::{Flat, ModelError, Rows, Segments, Tape};

use super::super::check::{
    check_attention, check_columns, check_concat_columns, check_concat_rows, check_factors, check_groups,
    check_matmul, check_moment, check_range, check_same, check_segment_means, check_turns, check_wide,
    ensure,
};
use super::super::{Compose, Function, MatmulPrecision, Result};
use super::address::slope;
use super::attention::{Heads, LARGEST_HEAD};
use super::gpu::Done;
use super::launch::Arg;
use super::nodes::split;
use super::product::Product;
use super::values::At;

/// The result `y` of one operand `x`; `backward(dy, dx)` adds to the gradient of `x`.
fn unary<S: Shape, U: Shape, T: Tape<f32, Cuda>>(
    x: &Tensor<S, f32, Cuda>,
    y: Tensor<U, f32, Cuda>,
    mut tape: T,
    backward: impl FnOnce(At, At) -> Done<()> + 'static,
) -> Tensor<U, f32, Cuda, T> {
    if T::OWNS_TAPE {
        let (x, ghost) = (x.ghost(), y.ghost());
        tape.add_backward_op(move |g| backward(slope!(g, &ghost), slope!(g, &x)));
    }
    y.put_tape(tape)
}

/// The same of two operands, whose gradients are one where they are one tensor: `backward(dy, da, db)`.
fn binary<R: Shape, S: Shape, U: Shape, T: Tape<f32, Cuda>>(
    (a, b): (&Tensor<R, f32, Cuda>, &Tensor<S, f32, Cuda>),
    y: Tensor<U, f32, Cuda>,
    mut tape: T,
    backward: impl FnOnce(At, At, At) -> Done<()> + 'static,
) -> Tensor<U, f32, Cuda, T> {
    if T::OWNS_TAPE {
        let (a, b, ghost) = (a.ghost(), b.ghost(), y.ghost());
        tape.add_backward_op(move |g| backward(slope!(g, &ghost), slope!(g, &a), slope!(g, &b)));
    }
    y.put_tape(tape)
}

/// Number of elements, and as the argument of a kernel.
fn elements<S: Shape>(x: &Tensor<S, f32, Cuda>) -> (usize, Arg) {
    let n = x.shape().num_elements();
    (n, Arg::Long(n as i64))
}

/// The error of the device as the model's.
fn done<V>(result: Done<V>) -> Result<V> {
    result.map_err(ModelError::from_debug)
}

impl Compose for Cuda {
    fn attention<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        q: Rows<Self, T>,
        k: Rows<Self, R>,
        v: Rows<Self, R>,
        heads: usize,
        q_segments: &Segments,
        kv_segments: &Segments,
    ) -> Result<Rows<Self, T>> {
        check_attention(&q, &k, &v, heads, q_segments, kv_segments)?;
        let heads = Heads { count: heads, size: q.shape().1 / heads, precision: MatmulPrecision::F32 };
        ensure(heads.size <= LARGEST_HEAD, || {
            format!("heads of {} columns; the GPU takes up to {LARGEST_HEAD}", heads.size)
        })?;
        let ((q, tape), (k, k_tape), (v, v_tape)) = (split(q)?, split(k)?, split(v)?);
        let tape = tape.merge(k_tape).merge(v_tape);
        done(products::attention(q, k, v, heads, (q_segments, kv_segments), tape))
    }

    fn map<T: Tape<f32, Self>>(x: Rows<Self, T>, function: Function) -> Result<Rows<Self, T>> {
        let (x, tape) = split(x)?;
        done(elements::map(x, function, tape))
    }

    fn add<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        x: Rows<Self, T>,
        y: Rows<Self, R>,
    ) -> Result<Rows<Self, T>> {
        check_same(&x, &y)?;
        let ((x, tape), (y, y_tape)) = (split(x)?, split(y)?);
        done(elements::add(x, y, tape.merge(y_tape)))
    }

    fn multiply<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        x: Rows<Self, T>,
        y: Rows<Self, R>,
    ) -> Result<Rows<Self, T>> {
        check_same(&x, &y)?;
        let ((x, tape), (y, y_tape)) = (split(x)?, split(y)?);
        done(elements::multiply(x, y, tape.merge(y_tape)))
    }

    fn scale_columns<T: Tape<f32, Self>>(x: Rows<Self, T>, gain: &Flat<Self>) -> Result<Rows<Self, T>> {
        check_columns(&x, gain)?;
        let (x, tape) = split(x)?;
        done(elements::scale_columns(x, gain.clone(), tape))
    }

    fn scale_rows<T: Tape<f32, Self>>(x: Rows<Self, T>, factors: &[f32]) -> Result<Rows<Self, T>> {
        check_factors(&x, factors)?;
        let (x, tape) = split(x)?;
        done(elements::scale_rows(x, factors, tape))
    }

    fn rms_norm<T: Tape<f32, Self>>(x: Rows<Self, T>, gain: &Flat<Self>, eps: f32) -> Result<Rows<Self, T>> {
        check_groups(&x, gain)?;
        let (x, tape) = split(x)?;
        done(moments::rms_norm(x, gain.clone(), eps, tape))
    }

    fn rotate<T: Tape<f32, Self>>(x: Rows<Self, T>, turns: &Rows<Self>) -> Result<Rows<Self, T>> {
        check_turns(&x, turns)?;
        let ((x, tape), (turns, _)) = (split(x)?, split(turns.clone())?);
        done(elements::rotate(x, turns, tape))
    }

    fn concat_rows<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        a: Rows<Self, T>,
        b: Rows<Self, R>,
    ) -> Result<Rows<Self, T>> {
        let shape = check_concat_rows(&a, &b)?;
        let ((a, tape), (b, b_tape)) = (split(a)?, split(b)?);
        done(rearrange::concat_rows(a, b, shape, tape.merge(b_tape)))
    }

    fn concat_columns<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        a: Rows<Self, T>,
        b: Rows<Self, R>,
    ) -> Result<Rows<Self, T>> {
        let shape = check_concat_columns(&a, &b)?;
        let ((a, tape), (b, b_tape)) = (split(a)?, split(b)?);
        done(rearrange::concat_columns(a, b, shape, tape.merge(b_tape)))
    }

    fn columns<T: Tape<f32, Self>>(x: Rows<Self, T>, range: Range<usize>) -> Result<Rows<Self, T>> {
        check_range(&x, &range)?;
        let (x, tape) = split(x)?;
        done(rearrange::columns(x, range, tape))
    }

    fn gather_rows_wide<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        index: &[u32],
        count: usize,
    ) -> Result<Rows<Self, T>> {
        let shape = check_wide(&x, index, count)?;
        let (x, tape) = split(x)?;
        done(rearrange::gather_rows_wide(x, index, shape, tape))
    }

    fn segment_means<T: Tape<f32, Self>>(x: Rows<Self, T>, segments: &Segments) -> Result<Rows<Self, T>> {
        check_segment_means(&x, segments)?;
        let (x, tape) = split(x)?;
        done(moments::segment_means(x, segments, tape))
    }

    fn center_columns<T: Tape<f32, Self>>(x: Rows<Self, T>) -> Result<Rows<Self, T>> {
        check_moment(&x, 1)?;
        let (x, tape) = split(x)?;
        done(moments::center_columns(x, tape))
    }

    fn column_variances<T: Tape<f32, Self>>(x: Rows<Self, T>) -> Result<Rows<Self, T>> {
        check_moment(&x, 2)?;
        let (x, tape) = split(x)?;
        done(moments::column_variances(x, tape))
    }

    fn matmul<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        a: Rows<Self, T>,
        b: Rows<Self, R>,
        transpose_a: bool,
        transpose_b: bool,
        precision: MatmulPrecision,
    ) -> Result<Rows<Self, T>> {
        let transposed = [transpose_a, transpose_b];
        let sizes = check_matmul(&a, &b, transposed)?;
        let ((a, tape), (b, b_tape)) = (split(a)?, split(b)?);
        done(products::matmul(a, b, Product { sizes, transposed, precision }, tape.merge(b_tape)))
    }

    fn sum<T: Tape<f32, Self>>(x: Rows<Self, T>) -> Result<Tensor<(), f32, Self, T>> {
        let (x, tape) = split(x)?;
        done(elements::sum(x, tape))
    }

    fn add_scalars<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        a: Tensor<(), f32, Self, T>,
        b: Tensor<(), f32, Self, R>,
    ) -> Result<Tensor<(), f32, Self, T>> {
        let ((a, tape), (b, b_tape)) = (a.split_tape(), b.split_tape());
        done(elements::add(a, b, tape.merge(b_tape)))
    }
}
