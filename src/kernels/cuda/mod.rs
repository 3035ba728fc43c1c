//! [`Backend`] for dfdx's CUDA device: kernels of our own and cuBLAS, no kernel of dfdx.
//!
//! dfdx supplies the device, its stream, tensors, the tape and gradients. Every operator is one node of
//! the tape, whose work is a few launches on the device's stream: a launch returns at once, and the
//! stream keeps the order. The kernels are in `device/`; `kernels.ptx` is compiled from them by
//! `scripts/ptx.sh` and runs on every driver from CUDA 11.8 and every GPU from capability 8.0 on. `machine/` has the
//! same as machine code for the common ones.
//!
//! The mathematics is that of the fused CPU operators. All sums are in an order that sizes alone
//! decide, so that a run on one GPU repeats to the last bit.

mod address;
mod attention;
mod block;
mod block_backward;
mod compose;
mod explained_variance;
mod gather;
mod gpu;
mod images;
mod launch;
mod module;
mod muon;
mod nodes;
mod open;
mod product;
mod read;
mod scatter;
mod stack;
mod staging;
mod sums;
mod update;
mod values;

use dfdx::prelude::Cuda;
use ijepa_registry::{
    device::transform::TransformProgram,
    image::ImageShape,
    tensor::{Flat, Gradients, ModelError, Rows, Scalar, Segments, Tape, TapedRows, TapedScalar},
};

use super::{
    AdamWUpdate, Backend, BlockParams, Clip, LossValue, MatmulPrecision, Memory, MuonStep, MuonUpdate,
    PredictionStats, Result, RowLoss, TableTerm,
};
pub use open::{Drivers, GpuInfo, Unusable, drivers, open};

impl Backend for Cuda {
    const READING_WAITS: bool = true;

    type Images = images::Images;

    fn memory(&self) -> Result<Option<Memory>> {
        gpu::memory(self).map(Some).map_err(ModelError::from_debug)
    }

    fn upload(&self, values: &[f32], shape: (usize, usize)) -> Result<Rows<Self>> {
        nodes::upload(self, values, shape).map_err(ModelError::from_debug)
    }

    fn keep_images(&self, pixels: &[u8], shape: ImageShape) -> Result<Option<Self::Images>> {
        images::Images::keep(self, pixels, shape)
    }

    fn patches(images: &Self::Images, programs: &[TransformProgram], patch: usize) -> Result<Rows<Self>> {
        images.patches(programs, patch)
    }

    fn linear<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        weight: &Flat<Self>,
        bias: &Flat<Self>,
        precision: MatmulPrecision,
    ) -> Result<Rows<Self, T>> {
        let (x, tape) = nodes::split(x)?;
        nodes::linear(x, weight, bias, precision, tape, true)
    }

    fn linear_of_input<T: Tape<f32, Self>>(
        x: &Rows<Self>,
        weight: &Flat<Self>,
        bias: &Flat<Self>,
        precision: MatmulPrecision,
        tape: T,
    ) -> Result<Rows<Self, T>> {
        nodes::linear(nodes::split(x.clone())?.0, weight, bias, precision, tape, false)
    }

    fn layer_norm<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        gain: &Flat<Self>,
        bias: &Flat<Self>,
        eps: f32,
    ) -> Result<Rows<Self, T>> {
        nodes::layer_norm(x, gain, bias, eps)
    }

    fn standardize(x: &Rows<Self>, eps: f32) -> Result<Rows<Self>> {
        nodes::standardize(x, eps)
    }

    fn blocks<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        blocks: &[BlockParams<Self>],
        segments: &Segments,
        keep: Option<&[u32]>,
    ) -> Result<Rows<Self, T>> {
        stack::blocks(x, blocks, segments, keep)
    }

    fn gather_sum<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        index: &[u32],
        tables: &[TableTerm<'_, Self>],
    ) -> Result<Rows<Self, T>> {
        nodes::gather_sum(x, index, tables)
    }

    fn mean_rows(x: &Rows<Self>, count: usize) -> Result<Rows<Self>> {
        nodes::mean_rows(x, count)
    }

    fn loss(loss: RowLoss, prediction: TapedRows<Self>, target: &Rows<Self>) -> Result<TapedScalar<Self>> {
        nodes::loss(loss, prediction, target)
    }

    fn prediction_stats(
        prediction: &[Rows<Self>],
        targets: &[Rows<Self>],
        index: &[u32],
        positions: &[u32],
    ) -> Result<PredictionStats> {
        explained_variance::prediction_stats(prediction, targets, index, positions)
    }

    fn scale(loss: TapedScalar<Self>, factor: f32) -> Result<TapedScalar<Self>> {
        nodes::scale(loss, factor).map_err(ModelError::from_debug)
    }

    fn gradient_norm(params: &[&Flat<Self>], gradients: &mut Gradients<f32, Self>) -> Result<Scalar<Self>> {
        update::gradient_norm(params, gradients)
    }

    fn clear(params: &[&Flat<Self>], gradients: &mut Gradients<f32, Self>) -> Result<()> {
        update::clear(params, gradients)
    }

    fn adamw(
        updates: &mut [AdamWUpdate<'_, Self>],
        gradients: &mut Gradients<f32, Self>,
        clip: Option<&Clip<'_, Self>>,
        momentum: f64,
    ) -> Result<()> {
        update::adamw(updates, gradients, clip, momentum)
    }

    fn muon(
        updates: &mut [MuonUpdate<'_, Self>],
        gradients: &mut Gradients<f32, Self>,
        step: &MuonStep,
    ) -> Result<()> {
        muon::muon(updates, gradients, step)
    }

    fn ema(pairs: &mut [(&mut Flat<Self>, &Flat<Self>)], momentum: f64) -> Result<()> {
        update::ema(pairs, momentum)
    }

    fn read(losses: &[&LossValue<Self>], norms: &[&Scalar<Self>]) -> Result<Vec<f64>> {
        read::numbers(losses, norms)
    }
}
