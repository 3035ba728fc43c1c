//! Element by element: functions, sums, products, factors of columns and rows, turns of pairs; and the sum of all.

use dfdx::prelude::{Cuda, HasShape, Shape, Tensor};
use ijepa_registry::tensor::{Flat, Rows, Tape};

use super::super::super::Function;
use super::super::address::{of, unfilled};
use super::super::gpu::{Done, Gpu};
use super::super::launch::{Arg, Grid, args};
use super::super::sums::Sums;
use super::super::values::{At, at};
use super::{binary, elements, unary};

/// The kernels' number of a function, and its constants.
fn numbers(function: Function) -> (usize, f32, f32) {
    match function {
        Function::Affine { scale, shift } => (0, scale, shift),
        Function::Gelu => (1, 0.0, 0.0),
        Function::Silu => (2, 0.0, 0.0),
        Function::Relu => (3, 0.0, 0.0),
        Function::Tanh => (4, 0.0, 0.0),
        Function::Square => (5, 0.0, 0.0),
        Function::Sin => (6, 0.0, 0.0),
        Function::Cos => (7, 0.0, 0.0),
        Function::StdHinge { floor, eps } => (8, floor, eps),
    }
}

pub fn map<T: Tape<f32, Cuda>>(x: Rows<Cuda>, function: Function, tape: T) -> Done<Rows<Cuda, T>> {
    let (gpu, y): (_, Rows<Cuda>) = (Gpu::of(x.device())?, unfilled(x.device(), *x.shape())?);
    let ((n, count), (kind, a, b)) = (elements(&x), numbers(function));
    gpu.launch("map_forward", Grid::elements(n), &args![of(&x)?, of(&y)?, count, kind, a, b])?;
    let values = x.clone();
    Ok(unary(&x, y, tape, move |dy, dx| {
        gpu.launch("map_backward", Grid::elements(n), &args![of(&values)?, dy, dx, count, kind, a, b])
    }))
}

impl Gpu {
    /// `to += from`, n values each.
    pub fn add_to(&self, from: At, to: At, n: usize) -> Done<()> {
        self.launch("add_elements", Grid::elements(n), &args![to, from, to, Arg::Long(n as i64)])
    }
}

pub fn add<S: Shape, T: Tape<f32, Cuda>>(
    x: Tensor<S, f32, Cuda>,
    y: Tensor<S, f32, Cuda>,
    tape: T,
) -> Done<Tensor<S, f32, Cuda, T>>
where
    Tensor<S, f32, Cuda>: std::fmt::Debug,
{
    let (gpu, sum) = (Gpu::of(x.device())?, unfilled(x.device(), *x.shape())?);
    let (n, count) = elements(&x);
    gpu.launch("add_elements", Grid::elements(n), &args![of(&x)?, of(&y)?, of(&sum)?, count])?;
    Ok(binary((&x, &y), sum, tape, move |d, dx, dy| {
        gpu.add_to(d, dx, n)?;
        gpu.add_to(d, dy, n)
    }))
}

pub fn multiply<T: Tape<f32, Cuda>>(x: Rows<Cuda>, y: Rows<Cuda>, tape: T) -> Done<Rows<Cuda, T>> {
    let (gpu, product): (_, Rows<Cuda>) = (Gpu::of(x.device())?, unfilled(x.device(), *x.shape())?);
    let (n, count) = elements(&x);
    let of_both = args![of(&x)?, of(&y)?, of(&product)?, count, false];
    gpu.launch("multiply_elements", Grid::elements(n), &of_both)?;
    let values = (x.clone(), y.clone());
    Ok(binary((&x, &y), product, tape, move |d, dx, dy| {
        let add = |by: &Rows<Cuda>, to: At| {
            gpu.launch("multiply_elements", Grid::elements(n), &args![d, of(by)?, to, count, true])
        };
        add(&values.1, dx)?;
        add(&values.0, dy)
    }))
}

pub fn scale_columns<T: Tape<f32, Cuda>>(x: Rows<Cuda>, gain: Flat<Cuda>, tape: T) -> Done<Rows<Cuda, T>> {
    let (gpu, (rows, d)) = (Gpu::of(x.device())?, *x.shape());
    let y: Rows<Cuda> = unfilled(x.device(), (rows, d))?;
    let grid = Grid::warps(rows);
    gpu.launch("scale_matrix", grid, &args![of(&x)?, of(&gain)?, 0u64, of(&y)?, rows, d, false])?;
    let values = (x.clone(), gain.clone());
    Ok(binary((&x, &gain), y, tape, move |dy, dx, dgain| {
        let (x, gain) = values;
        gpu.launch("scale_matrix", grid, &args![dy, of(&gain)?, 0u64, dx, rows, d, true])?;
        let (products, (n, count)) = (gpu.floats(rows * d)?, elements(&x));
        let of_both = args![dy, of(&x)?, &products, count, false];
        gpu.launch("multiply_elements", Grid::elements(n), &of_both)?;
        let mut sums = Sums::default();
        sums.columns(&gpu, at(&products), rows, d, dgain)?;
        sums.finish(&gpu)
    }))
}

pub fn scale_rows<T: Tape<f32, Cuda>>(x: Rows<Cuda>, factors: &[f32], tape: T) -> Done<Rows<Cuda, T>> {
    let (gpu, (rows, d)) = (Gpu::of(x.device())?, *x.shape());
    let (y, factors): (Rows<Cuda>, _) = (unfilled(x.device(), (rows, d))?, gpu.upload(factors)?);
    let grid = Grid::warps(rows);
    gpu.launch("scale_matrix", grid, &args![of(&x)?, 0u64, &factors, of(&y)?, rows, d, false])?;
    Ok(unary(&x, y, tape, move |dy, dx| {
        gpu.launch("scale_matrix", grid, &args![dy, 0u64, &factors, dx, rows, d, true])
    }))
}

pub fn rotate<T: Tape<f32, Cuda>>(x: Rows<Cuda>, turns: Rows<Cuda>, tape: T) -> Done<Rows<Cuda, T>> {
    let (gpu, (rows, d), w) = (Gpu::of(x.device())?, *x.shape(), turns.shape().1);
    let y: Rows<Cuda> = unfilled(x.device(), (rows, d))?;
    let grid = Grid::warps(rows);
    gpu.launch("rotate_pairs", grid, &args![of(&x)?, of(&turns)?, of(&y)?, rows, d, w, 1.0f32, false])?;
    Ok(unary(&x, y, tape, move |dy, dx| {
        gpu.launch("rotate_pairs", grid, &args![dy, of(&turns)?, dx, rows, d, w, -1.0f32, true])
    }))
}

pub fn sum<T: Tape<f32, Cuda>>(x: Rows<Cuda>, tape: T) -> Done<Tensor<(), f32, Cuda, T>> {
    let (gpu, (rows, d)) = (Gpu::of(x.device())?, *x.shape());
    let (of_rows, y) = (gpu.floats(rows)?, unfilled(x.device(), ())?);
    gpu.launch("row_totals", Grid::warps(rows), &args![of(&x)?, &of_rows, rows, d])?;
    gpu.launch("weighted_sum", Grid::blocks(1, 1, 256), &args![&of_rows, of(&y)?, rows, 1.0f32])?;
    let (n, count) = elements(&x);
    Ok(unary(&x, y, tape, move |dy, dx| gpu.launch("add_number", Grid::elements(n), &args![dy, dx, count])))
}
