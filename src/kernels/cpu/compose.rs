//! [`Compose`] for dfdx's CPU device: copies in, a pass over slices, one node of the tape.

use std::ops::Range;
use std::sync::Arc;

use dfdx::prelude::{Cpu, HasShape, Merge, PutTape, Shape, SplitTape};
use ijepa_registry::tensor::{Flat, Rows, Segments, Tape, Tensor};

use super::attend::{self, add_half};
use super::attention::Heads;
use super::buffer::Buffer;
use super::matmul::{Operand, add_product};
use super::split::paired_groups;
use super::tape::{binary, put, read, split, take, tensor, unary};
use super::{columns, gather, map, rms_norm};
use crate::kernels::check::{
    check_attention, check_columns, check_concat_columns, check_concat_rows, check_factors, check_groups,
    check_matmul, check_moment, check_range, check_same, check_segment_means, check_turns, check_wide,
};
use crate::kernels::{Compose, Function, MatmulPrecision, Result};

/// The factors of a product, each transposed if asked to.
fn operands(factors: &[Buffer; 2], turn: [bool; 2]) -> [Operand<'_>; 2] {
    [Operand::new(&factors[0], turn[0]), Operand::new(&factors[1], turn[1])]
}

impl Compose for Cpu {
    fn attention<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        q: Rows<Self, T>,
        k: Rows<Self, R>,
        v: Rows<Self, R>,
        heads: usize,
        q_segments: &Segments,
        kv_segments: &Segments,
    ) -> Result<Rows<Self, T>> {
        check_attention(&q, &k, &v, heads, q_segments, kv_segments)?;
        let ((q, tape), (k, k_tape), (v, v_tape)) = (split(q)?, split(k)?, split(v)?);
        let mut tape = tape.merge(k_tape).merge(v_tape);
        let d = q.shape().1;
        let (heads, groups) =
            (Heads { count: heads, size: d / heads }, paired_groups(q_segments, kv_segments));
        let (o, saved) = attend::forward(heads, groups, read(&q), &read(&k), &read(&v));
        let y = tensor(q.device(), o, *q.shape())?;
        if T::OWNS_TAPE {
            let (q, k, v, y) = (q.ghost(), k.ghost(), v.ghost(), y.ghost());
            tape.add_backward_op(move |g| {
                let (d_queries, d_keys_values) = attend::backward(&saved, &take!(g, &y));
                let mut dq = take!(g, &q);
                map::add(&mut dq, &d_queries);
                put!(g, &q, dq);
                let mut dk = take!(g, &k);
                add_half(&mut dk, &d_keys_values, 0, d);
                put!(g, &k, dk);
                let mut dv = take!(g, &v);
                add_half(&mut dv, &d_keys_values, d, d);
                put!(g, &v, dv);
                Ok(())
            });
        }
        Ok(y.put_tape(tape))
    }

    fn map<T: Tape<f32, Self>>(x: Rows<Self, T>, function: Function) -> Result<Rows<Self, T>> {
        let (x, tape) = split(x)?;
        let xv = read(&x);
        let y = tensor(x.device(), map::forward(function, &xv), *x.shape())?;
        Ok(unary(&x, y, tape, move |dy, dx| map::backward(function, &xv, dy, dx)))
    }

    fn add<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        x: Rows<Self, T>,
        y: Rows<Self, R>,
    ) -> Result<Rows<Self, T>> {
        check_same(&x, &y)?;
        let ((x, tape), (y, y_tape)) = (split(x)?, split(y)?);
        let mut sum = vec![0.0; x.shape().num_elements()];
        x.copy_into(&mut sum);
        map::add(&mut sum, &read(&y));
        let sum = tensor(x.device(), sum, *x.shape())?;
        let pass = |dy: &[f32], dx: &mut [f32]| map::add(dx, dy);
        Ok(binary((&x, &y), sum, tape.merge(y_tape), (pass, pass)))
    }

    fn multiply<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        x: Rows<Self, T>,
        y: Rows<Self, R>,
    ) -> Result<Rows<Self, T>> {
        check_same(&x, &y)?;
        let ((x, tape), (y, y_tape)) = (split(x)?, split(y)?);
        let (xv, yv) = (read(&x), read(&y));
        let mut product = vec![0.0; xv.len()];
        map::add_products(&mut product, &xv, &yv);
        let product = tensor(x.device(), product, *x.shape())?;
        let to_x = move |dy: &[f32], dx: &mut [f32]| map::add_products(dx, dy, &yv);
        let to_y = move |d: &[f32], dy: &mut [f32]| map::add_products(dy, d, &xv);
        Ok(binary((&x, &y), product, tape.merge(y_tape), (to_x, to_y)))
    }

    fn scale_columns<T: Tape<f32, Self>>(x: Rows<Self, T>, gain: &Flat<Self>) -> Result<Rows<Self, T>> {
        check_columns(&x, gain)?;
        let (x, tape) = split(x)?;
        let (xv, gv) = (read(&x), read(gain));
        let mut y = vec![0.0; xv.len()];
        columns::add_scaled_columns(&mut y, &xv, &gv);
        let y = tensor(x.device(), y, *x.shape())?;
        let to_x = move |dy: &[f32], dx: &mut [f32]| columns::add_scaled_columns(dx, dy, &gv);
        let to_gain = move |dy: &[f32], dg: &mut [f32]| columns::add_column_products(dg, dy, &xv);
        Ok(binary((&x, gain), y, tape, (to_x, to_gain)))
    }

    fn scale_rows<T: Tape<f32, Self>>(x: Rows<Self, T>, factors: &[f32]) -> Result<Rows<Self, T>> {
        check_factors(&x, factors)?;
        let (x, tape) = split(x)?;
        let (d, factors) = (x.shape().1, factors.to_vec());
        let mut y = vec![0.0; x.shape().0 * d];
        columns::add_scaled_rows(&mut y, &read(&x), &factors, d);
        let y = tensor(x.device(), y, *x.shape())?;
        Ok(unary(&x, y, tape, move |dy, dx| columns::add_scaled_rows(dx, dy, &factors, d)))
    }

    fn rms_norm<T: Tape<f32, Self>>(x: Rows<Self, T>, gain: &Flat<Self>, eps: f32) -> Result<Rows<Self, T>> {
        check_groups(&x, gain)?;
        let (x, tape) = split(x)?;
        let (xv, gv) = (read(&x), read(gain));
        let (y, scales) = rms_norm::forward(&xv, &gv, eps);
        let y = tensor(x.device(), y, *x.shape())?;
        let saved = Arc::new((xv, scales));
        let again = saved.clone();
        let to_x = move |dy: &[f32], dx: &mut [f32]| {
            rms_norm::add_input_gradient(&saved.0, &saved.1, &gv, dy, dx);
        };
        let to_gain = move |dy: &[f32], dg: &mut [f32]| {
            rms_norm::add_gain_gradient(&again.0, &again.1, dy, dg);
        };
        Ok(binary((&x, gain), y, tape, (to_x, to_gain)))
    }

    fn rotate<T: Tape<f32, Self>>(x: Rows<Self, T>, turns: &Rows<Self>) -> Result<Rows<Self, T>> {
        check_turns(&x, turns)?;
        let (x, tape) = split(x)?;
        let (shape, width, turns) = (*x.shape(), turns.shape().1, read(turns));
        let mut y = vec![0.0; shape.0 * shape.1];
        columns::add_rotated(&mut y, &read(&x), shape.1, &turns, width, 1.0);
        let y = tensor(x.device(), y, shape)?;
        // A rotation is undone by its transpose.
        Ok(unary(&x, y, tape, move |dy, dx| columns::add_rotated(dx, dy, shape.1, &turns, width, -1.0)))
    }

    fn concat_rows<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        a: Rows<Self, T>,
        b: Rows<Self, R>,
    ) -> Result<Rows<Self, T>> {
        let shape = check_concat_rows(&a, &b)?;
        let ((a, tape), (b, b_tape)) = (split(a)?, split(b)?);
        let (mut y, first) = (vec![0.0; shape.0 * shape.1], a.shape().num_elements());
        let (above, below) = y.split_at_mut(first);
        a.copy_into(above);
        b.copy_into(below);
        let y = tensor(a.device(), y, shape)?;
        let to_a = move |dy: &[f32], da: &mut [f32]| map::add(da, &dy[..first]);
        let to_b = move |dy: &[f32], db: &mut [f32]| map::add(db, &dy[first..]);
        Ok(binary((&a, &b), y, tape.merge(b_tape), (to_a, to_b)))
    }

    fn concat_columns<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        a: Rows<Self, T>,
        b: Rows<Self, R>,
    ) -> Result<Rows<Self, T>> {
        let shape @ (n, width) = check_concat_columns(&a, &b)?;
        let ((a, tape), (b, b_tape)) = (split(a)?, split(b)?);
        let (d, e) = (a.shape().1, b.shape().1);
        let mut y = vec![0.0; n * width];
        columns::add_columns(&read(&a), d, 0..d, &mut y, width, 0);
        columns::add_columns(&read(&b), e, 0..e, &mut y, width, d);
        let y = tensor(a.device(), y, shape)?;
        let to_a = move |dy: &[f32], da: &mut [f32]| columns::add_columns(dy, width, 0..d, da, d, 0);
        let to_b = move |dy: &[f32], db: &mut [f32]| columns::add_columns(dy, width, d..width, db, e, 0);
        Ok(binary((&a, &b), y, tape.merge(b_tape), (to_a, to_b)))
    }

    fn columns<T: Tape<f32, Self>>(x: Rows<Self, T>, range: Range<usize>) -> Result<Rows<Self, T>> {
        check_range(&x, &range)?;
        let (x, tape) = split(x)?;
        let ((n, d), width) = (*x.shape(), range.len());
        let mut y = vec![0.0; n * width];
        columns::add_columns(&read(&x), d, range.clone(), &mut y, width, 0);
        let y = tensor(x.device(), y, (n, width))?;
        let to_x = move |dy: &[f32], dx: &mut [f32]| {
            columns::add_columns(dy, width, 0..width, dx, d, range.start);
        };
        Ok(unary(&x, y, tape, to_x))
    }

    fn gather_rows_wide<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        index: &[u32],
        count: usize,
    ) -> Result<Rows<Self, T>> {
        let shape = check_wide(&x, index, count)?;
        let (x, tape) = split(x)?;
        let (d, index) = (x.shape().1, index.to_vec());
        // Rows side by side lie in memory as they do one above another.
        let y = gather::forward(&[(&read(&x), &index)], index.len(), d);
        let y = tensor(x.device(), y, shape)?;
        Ok(unary(&x, y, tape, move |dy, dx| gather::scatter_add(dy, &index, dx, d)))
    }

    fn segment_means<T: Tape<f32, Self>>(x: Rows<Self, T>, segments: &Segments) -> Result<Rows<Self, T>> {
        check_segment_means(&x, segments)?;
        let (x, tape) = split(x)?;
        let (d, segments) = (x.shape().1, segments.clone());
        let y = columns::segment_means(&read(&x), &segments, d);
        let y = tensor(x.device(), y, (segments.len(), d))?;
        Ok(unary(&x, y, tape, move |dy, dx| columns::add_segment_shares(dy, &segments, dx, d)))
    }

    fn center_columns<T: Tape<f32, Self>>(x: Rows<Self, T>) -> Result<Rows<Self, T>> {
        check_moment(&x, 1)?;
        let (x, tape) = split(x)?;
        let (n, d) = *x.shape();
        let mut y = vec![0.0; n * d];
        columns::add_centered(&mut y, &read(&x), d);
        let y = tensor(x.device(), y, (n, d))?;
        Ok(unary(&x, y, tape, move |dy, dx| columns::add_centered(dx, dy, d)))
    }

    fn column_variances<T: Tape<f32, Self>>(x: Rows<Self, T>) -> Result<Rows<Self, T>> {
        check_moment(&x, 2)?;
        let (x, tape) = split(x)?;
        let (xv, d) = (read(&x), x.shape().1);
        let means = columns::means(&xv, d);
        let y = tensor(x.device(), columns::variances(&xv, &means), (1usize, d))?;
        Ok(unary(&x, y, tape, move |dv, dx| columns::add_variance_gradient(&xv, &means, dv, dx)))
    }

    fn matmul<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        a: Rows<Self, T>,
        b: Rows<Self, R>,
        transpose_a: bool,
        transpose_b: bool,
        precision: MatmulPrecision,
    ) -> Result<Rows<Self, T>> {
        let turn = [transpose_a, transpose_b];
        let [n, k, m] = check_matmul(&a, &b, turn)?;
        let ((a, tape), (b, b_tape)) = (split(a)?, split(b)?);
        let factors = Arc::new([read(&a), read(&b)]);
        let mut c = vec![0.0; n * m];
        let [left, right] = operands(&factors, turn);
        add_product(&mut c, left, right, [n, k, m], precision);
        let c = tensor(a.device(), c, (n, m))?;
        let again = factors.clone();
        // With A = op(a), B = op(b), D the gradient of A B: that of A is D B', that of B is A' D, and that of a
        // transpose is the transpose of the gradient.
        let to_a = move |dc: &[f32], da: &mut [f32]| {
            let (d, [_, right]) = (Operand::new(dc, false), operands(&factors, turn));
            if transpose_a {
                add_product(da, right, d.turned(), [k, m, n], precision);
            } else {
                add_product(da, d, right.turned(), [n, m, k], precision);
            }
        };
        let to_b = move |dc: &[f32], db: &mut [f32]| {
            let (d, [left, _]) = (Operand::new(dc, false), operands(&again, turn));
            if transpose_b {
                add_product(db, d.turned(), left, [m, n, k], precision);
            } else {
                add_product(db, left.turned(), d, [k, n, m], precision);
            }
        };
        Ok(binary((&a, &b), c, tape.merge(b_tape), (to_a, to_b)))
    }

    fn sum<T: Tape<f32, Self>>(x: Rows<Self, T>) -> Result<Tensor<(), f32, Self, T>> {
        let (x, tape) = split(x)?;
        let y = tensor(x.device(), vec![map::sum(&read(&x)) as f32], ())?;
        Ok(unary(&x, y, tape, |dy, dx| dx.iter_mut().for_each(|dx| *dx += dy[0])))
    }

    fn add_scalars<T: Tape<f32, Self> + Merge<R>, R: Tape<f32, Self>>(
        a: Tensor<(), f32, Self, T>,
        b: Tensor<(), f32, Self, R>,
    ) -> Result<Tensor<(), f32, Self, T>> {
        let ((a, tape), (b, b_tape)) = (a.split_tape(), b.split_tape());
        let y = tensor(a.device(), vec![a.as_vec()[0] + b.as_vec()[0]], ())?;
        let pass = |dy: &[f32], dx: &mut [f32]| dx[0] += dy[0];
        Ok(binary((&a, &b), y, tape.merge(b_tape), (pass, pass)))
    }
}
