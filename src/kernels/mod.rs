//! The model's operators on dfdx tensors, each one node of the gradient tape.
//!
//! [`Backend`] is implemented for dfdx's devices. On `Cpu` the operators are hand-written and fused,
//! forward and backward; [`mod@reference`] holds the slow obvious composition of each from plain dfdx
//! operations, for any device, against which tests judge them. dfdx alone is several times too slow on
//! a CPU: its element-wise operations are scalar and single-threaded, and every one allocates.
//!
//! Activations are packed [`Rows`]; parameters arrive as [`Flat`] tensors in PyTorch's layout, and
//! their gradients are found in [`Gradients`] under the same tensors.
//!
//! All results are the same, to the last bit, for any number of threads (see `cpu::split`).
//! This module and its children are the only place for `unsafe` code.

mod check;
mod compose;
mod cpu;
#[cfg(feature = "cuda-base")]
mod cuda;
mod explained_variance;
pub mod reference;
mod types;

use dfdx::prelude::{HasShape, TensorFromVec};
pub use ijepa_registry::params::MatmulPrecision;
use ijepa_registry::{
    device::transform::TransformProgram,
    image::ImageShape,
    tensor::{
        Device, Flat, Gradients, ModelError, Rows, Scalar, Segments, Storage, Tape, TapedRows, TapedScalar,
        Tensor,
    },
};

use check::ensure;
pub use compose::{Compose, Function};
pub use cpu::{
    Factor, Packed, Start, add_wide_columns, dot, dots, fastest_precision, has_matrix_units, keep_memory,
    positions_above, product, product_of_columns, wide_dot, wide_product,
};
#[doc(hidden)]
pub use cpu::{Level, limit_level, widest_level};
#[cfg(feature = "cuda-base")]
pub use cuda::{Drivers, GpuInfo, Unusable, drivers, open};
pub use explained_variance::PredictionStats;
pub use types::{
    AdamWStep, AdamWUpdate, BlockParams, Clip, Memory, MuonStep, MuonUpdate, RowLoss, TableTerm,
};

/// What every operator returns.
pub type Result<T> = std::result::Result<T, ModelError>;

/// An index of [`Backend::gather_sum`] that contributes nothing.
pub const NONE: u32 = u32::MAX;

/// A loss without its tape.
pub type LossValue<D> = Tensor<(), f32, D>;

/// A device with the model's operators; those of [`Compose`] are part of them.
///
/// No operator waits for the device; [`Backend::prediction_stats`], [`Backend::read`] and copies to the host do.
pub trait Backend: Compose + Storage<f64> + TensorFromVec<f64> {
    /// Whether reading waits for work under way, so that it is better done seldom.
    const READING_WAITS: bool;

    /// Images that stay on the device.
    type Images;

    /// The memory that is the device's own; none for a processor.
    fn memory(&self) -> Result<Option<Memory>>;

    /// See [`from_host`], which checks the size.
    fn upload(&self, values: &[f32], shape: (usize, usize)) -> Result<Rows<Self>>;

    /// The images of a split, bytes `(image, channel, row, column)`, to stay on the device; none where
    /// patches come from the host: on a CPU, and where they would take more than a quarter of what is free.
    /// Waits for the device.
    fn keep_images(&self, pixels: &[u8], shape: ImageShape) -> Result<Option<Self::Images>>;

    /// The patches of images that become what their programs say, `(program and patch, channel * patch *
    /// patch)` in raster order: the bits of the host's edits.
    fn patches(images: &Self::Images, programs: &[TransformProgram], patch: usize) -> Result<Rows<Self>>;

    /// `y = x W' + b`: (n, in) to (n, out); `weight` [out, in], `bias` (out). `precision` applies to the
    /// inputs of this product and of the two of its gradient, not to `b`.
    fn linear<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        weight: &Flat<Self>,
        bias: &Flat<Self>,
        precision: MatmulPrecision,
    ) -> Result<Rows<Self, T>>;

    /// [`Backend::linear`] of data that needs no gradient (pixels); `tape` goes to the output.
    fn linear_of_input<T: Tape<f32, Self>>(
        x: &Rows<Self>,
        weight: &Flat<Self>,
        bias: &Flat<Self>,
        precision: MatmulPrecision,
        tape: T,
    ) -> Result<Rows<Self, T>>;

    /// Normalisation of each row, then `gain` and `bias` (d).
    fn layer_norm<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        gain: &Flat<Self>,
        bias: &Flat<Self>,
        eps: f32,
    ) -> Result<Rows<Self, T>>;

    /// Normalisation of each row without gain, bias and gradient.
    fn standardize(x: &Rows<Self>, eps: f32) -> Result<Rows<Self>>;

    /// Transformer blocks in a row, attention within each segment only.
    ///
    /// `keep`, sorted, names the rows that come out of the last block, (keep.len(), d); of the others
    /// that block computes keys and values only. One call for a whole encoder is faster than one per
    /// block: activations between blocks never become tensors.
    fn blocks<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        blocks: &[BlockParams<Self>],
        segments: &Segments,
        keep: Option<&[u32]>,
    ) -> Result<Rows<Self, T>>;

    /// One transformer block, see [`Backend::blocks`].
    fn block<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        block: &BlockParams<Self>,
        segments: &Segments,
        keep: Option<&[u32]>,
    ) -> Result<Rows<Self, T>> {
        Self::blocks(x, std::slice::from_ref(block), segments, keep)
    }

    /// `out[i] = x[index[i]] + sum over tables of table[table.index[i]]`; [`NONE`] adds nothing.
    ///
    /// Adds positions, inserts register and mask tokens, assembles predictor sequences, picks rows.
    fn gather_sum<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        index: &[u32],
        tables: &[TableTerm<'_, Self>],
    ) -> Result<Rows<Self, T>>;

    /// Means of every `count` rows, added in f64 in their order: (n * count, d) to (n, d).
    fn mean_rows(x: &Rows<Self>, count: usize) -> Result<Rows<Self>>;

    /// The loss of predictions against targets of the same shape.
    fn loss(loss: RowLoss, prediction: TapedRows<Self>, target: &Rows<Self>) -> Result<TapedScalar<Self>>;

    /// How well a batch's predictions (n, d) tell its distinct targets (m, d), both cut into the parts of
    /// the batch: prediction `i` is of target `index[i]`, target `j` is at grid position `positions[j]`.
    /// Sums are f64. Waits for the device once.
    fn prediction_stats(
        prediction: &[Rows<Self>],
        targets: &[Rows<Self>],
        index: &[u32],
        positions: &[u32],
    ) -> Result<PredictionStats>;

    /// `factor` times a loss.
    fn scale(loss: TapedScalar<Self>, factor: f32) -> Result<TapedScalar<Self>>;

    /// Euclidean norm of the gradients of `params` together; a missing gradient counts as zero.
    fn gradient_norm(params: &[&Flat<Self>], gradients: &mut Gradients<f32, Self>) -> Result<Scalar<Self>>;

    /// Sets the gradients of `params` to zero.
    fn clear(params: &[&Flat<Self>], gradients: &mut Gradients<f32, Self>) -> Result<()>;

    /// One AdamW step on every parameter and its moments; a missing gradient counts as zero. Then each
    /// shadow moves as [`Backend::ema`] moves a teacher.
    fn adamw(
        updates: &mut [AdamWUpdate<'_, Self>],
        gradients: &mut Gradients<f32, Self>,
        clip: Option<&Clip<'_, Self>>,
        momentum: f64,
    ) -> Result<()>;

    /// One step of Muon on every matrix `p` and its buffer `b`; a missing gradient `g` counts as zero. With the
    /// momentum `m`: `b = m b + (1 - m) g`, `u = m b + (1 - m) g` where it looks ahead, else `u = b`; `u` becomes
    /// the matrix near the orthogonal one that the iteration of [`MuonStep`] makes of `u / |u|`, and
    /// `p = decay p - rate u`. A zero `u` stays zero.
    fn muon(
        updates: &mut [MuonUpdate<'_, Self>],
        gradients: &mut Gradients<f32, Self>,
        step: &MuonStep,
    ) -> Result<()>;

    /// `teacher = momentum * teacher + (1 - momentum) * student` for pairs of teacher and student.
    fn ema(pairs: &mut [(&mut Flat<Self>, &Flat<Self>)], momentum: f64) -> Result<()>;

    /// The losses, then the norms. Waits for the device once.
    fn read(losses: &[&LossValue<Self>], norms: &[&Scalar<Self>]) -> Result<Vec<f64>>;
}

/// Drops all gradients but those of `params`, whose memory the next step uses again.
pub fn keep_gradients<D: Device<f32>>(params: &[&Flat<D>], gradients: &mut Gradients<f32, D>) {
    // dfdx names a tensor's gradient by an id that only its optimizers can collect.
    let mut kept = dfdx::optim::UnusedTensors::default();
    params.iter().for_each(|p| kept.add(*p));
    gradients.retain_leafs(&kept.ids);
}

/// The values, row-major.
pub fn to_host<D: Device<f32>, T: Tape<f32, D>>(rows: &Rows<D, T>) -> Result<Vec<f32>> {
    use dfdx::prelude::ReshapeTo;
    let rows = rows.retaped::<dfdx::prelude::NoneTape>().try_contiguous().map_err(ModelError::from_debug)?;
    let mut values = vec![0.0; rows.shape().0 * rows.shape().1];
    rows.copy_into(&mut values);
    Ok(values)
}

/// A `(rows, dim)` tensor of the given values, row-major.
pub fn from_host<D: Backend>(
    device: &D,
    values: impl AsRef<[f32]>,
    rows: usize,
    dim: usize,
) -> Result<Rows<D>> {
    let values = values.as_ref();
    ensure(values.len() == rows * dim, || format!("{} values for {rows} x {dim}", values.len()))?;
    device.upload(values, (rows, dim))
}

/// Value and slope of the exact GELU as the fused block computes them (absolute error below 1e-6 for
/// |x| < 4, below 2.5e-7 |x| beyond).
pub fn gelu_and_slope(x: f32) -> (f32, f32) {
    let (cdf, density) = cpu::math::normal(x);
    (x * cdf, x.mul_add(density, cdf))
}
