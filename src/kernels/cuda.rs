//! [`Backend`] for dfdx's CUDA device: the reference compositions, until it has kernels of its own.

use dfdx::prelude::Cuda;
use ijepa_registry::tensor::{Flat, Gradients, Rows, Segments, Tape, TapedRows, TapedScalar};

use super::{AdamWStep, Backend, BlockParams, Result, RowLoss, TableTerm, reference};

impl Backend for Cuda {
    fn linear<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        weight: &Flat<Self>,
        bias: &Flat<Self>,
    ) -> Result<Rows<Self, T>> {
        reference::linear(x, weight, bias)
    }

    fn linear_of_input<T: Tape<f32, Self>>(
        x: &Rows<Self>,
        weight: &Flat<Self>,
        bias: &Flat<Self>,
        tape: T,
    ) -> Result<Rows<Self, T>> {
        reference::linear_of_input(x, weight, bias, tape)
    }

    fn layer_norm<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        gain: &Flat<Self>,
        bias: &Flat<Self>,
        eps: f32,
    ) -> Result<Rows<Self, T>> {
        reference::layer_norm(x, gain, bias, eps)
    }

    fn standardize(x: &Rows<Self>, eps: f32) -> Result<Rows<Self>> {
        reference::standardize(x, eps)
    }

    fn blocks<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        blocks: &[BlockParams<Self>],
        segments: &Segments,
        keep: Option<&[u32]>,
    ) -> Result<Rows<Self, T>> {
        reference::blocks(x, blocks, segments, keep)
    }

    fn gather_sum<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        index: &[u32],
        tables: &[TableTerm<'_, Self>],
    ) -> Result<Rows<Self, T>> {
        reference::gather_sum(x, index, tables)
    }

    fn loss(loss: RowLoss, prediction: TapedRows<Self>, target: &Rows<Self>) -> Result<TapedScalar<Self>> {
        reference::loss(loss, prediction, target)
    }

    fn adamw(
        param: &mut Flat<Self>,
        m: &mut Flat<Self>,
        v: &mut Flat<Self>,
        gradients: &mut Gradients<f32, Self>,
        step: &AdamWStep,
    ) -> Result<()> {
        reference::adamw(param, m, v, gradients, step)
    }

    fn grad_sq_norm(param: &Flat<Self>, gradients: &mut Gradients<f32, Self>) -> Result<f64> {
        reference::grad_sq_norm(param, gradients)
    }

    fn ema(teacher: &mut Flat<Self>, student: &Flat<Self>, momentum: f64) -> Result<()> {
        reference::ema(teacher, student, momentum)
    }
}
