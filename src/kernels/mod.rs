//! The model's operators on dfdx tensors, each one node of the gradient tape.
//!
//! [`Backend`] is implemented for dfdx's devices. On [`Cpu`] the operators are hand-written and fused,
//! forward and backward; [`mod@reference`] holds the slow obvious composition of each from plain dfdx
//! operations, for any device, against which tests judge them. dfdx alone is several times too slow on
//! a CPU: its element-wise operations are scalar and single-threaded, and every one allocates.
//!
//! Activations are packed [`Rows`]; parameters arrive as [`Flat`] tensors in PyTorch's layout, and
//! their gradients are found in [`Gradients`] under the same tensors.
//!
//! All results are the same, to the last bit, for any number of threads (see `split`).
//! This module and its children are the only place for `unsafe` code.

mod attention;
mod block;
mod block_backward;
mod cpu;
mod elementwise;
mod gather;
mod gemm;
mod layer_norm;
mod linear;
mod loss;
mod math;
mod memory;
mod optimizer;
mod pool;
pub mod reference;
mod simd;
mod split;
mod stack;
mod tile;

use dfdx::prelude::HasShape;
use ijepa_registry::tensor::{
    Device, Flat, Gradients, ModelError, Rows, Segments, Tape, TapedRows, TapedScalar,
};

pub use memory::keep_memory;

/// What every operator returns.
pub type Result<T> = std::result::Result<T, ModelError>;

/// An index of [`Backend::gather_sum`] that contributes nothing.
pub const NONE: u32 = u32::MAX;

/// Parameters of a pre-norm transformer block. Building one clones tensors, not their values, so
/// gradients reach the originals.
#[derive(Clone, Debug)]
pub struct BlockParams<D: Device<f32>> {
    /// Attention heads; they divide the columns.
    pub heads: usize,
    /// Added to the variance in both norms.
    pub eps: f32,
    /// `norm1.weight` (d).
    pub norm1_weight: Flat<D>,
    /// `norm1.bias` (d).
    pub norm1_bias: Flat<D>,
    /// `attn.qkv.weight` [3d, d]: queries, keys, values, each split into heads in order.
    pub qkv_weight: Flat<D>,
    /// `attn.qkv.bias` (3d).
    pub qkv_bias: Flat<D>,
    /// `attn.proj.weight` [d, d].
    pub proj_weight: Flat<D>,
    /// `attn.proj.bias` (d).
    pub proj_bias: Flat<D>,
    /// `norm2.weight` (d).
    pub norm2_weight: Flat<D>,
    /// `norm2.bias` (d).
    pub norm2_bias: Flat<D>,
    /// `mlp.fc1.weight` [hidden, d].
    pub fc1_weight: Flat<D>,
    /// `mlp.fc1.bias` (hidden).
    pub fc1_bias: Flat<D>,
    /// `mlp.fc2.weight` [d, hidden].
    pub fc2_weight: Flat<D>,
    /// `mlp.fc2.bias` (d).
    pub fc2_bias: Flat<D>,
}

impl<D: Device<f32>> BlockParams<D> {
    /// All tensors in the order of the fields.
    pub fn tensors(&self) -> [&Flat<D>; 12] {
        [
            &self.norm1_weight,
            &self.norm1_bias,
            &self.qkv_weight,
            &self.qkv_bias,
            &self.proj_weight,
            &self.proj_bias,
            &self.norm2_weight,
            &self.norm2_bias,
            &self.fc1_weight,
            &self.fc1_bias,
            &self.fc2_weight,
            &self.fc2_bias,
        ]
    }
    /// Columns of the activations.
    pub fn dim(&self) -> usize {
        self.norm1_weight.shape().0
    }
    /// Columns between the two layers of the MLP.
    pub fn hidden(&self) -> usize {
        self.fc1_bias.shape().0
    }
    /// Refuses tensors whose sizes do not fit together.
    pub fn check(&self) -> Result<()> {
        let (d, f) = (self.dim(), self.hidden());
        ensure(
            self.heads > 0 && d.is_multiple_of(self.heads) && f > 0,
            || format!("{} heads on {d} columns, {f} hidden", self.heads),
        )?;
        let expected = [d, d, 3 * d * d, 3 * d, d * d, d, d, d, f * d, f, d * f, d];
        let found = self.tensors().map(|t| t.shape().0);
        ensure(found == expected, || {
            format!("block parameters of sizes {found:?}, not {expected:?}")
        })
    }
}

/// A table whose rows [`Backend::gather_sum`] adds.
#[derive(Clone, Copy, Debug)]
pub struct TableTerm<'a, D: Device<f32>> {
    /// Rows one after another, as wide as the activations.
    pub table: &'a Flat<D>,
    /// For each output row a row of the table, or [`NONE`].
    pub index: &'a [u32],
    /// Whether the table has a gradient (sin-cos positions have none).
    pub trained: bool,
}

/// A loss between predicted and target rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RowLoss {
    /// Squared error, summed over columns, mean over rows.
    L2,
    /// Mean over all elements of `e^2 / (2 beta)` within `beta` and `|e| - beta / 2` outside.
    SmoothL1 {
        /// Where the parabola ends; above 0.
        beta: f32,
    },
    /// Mean over rows of one minus the cosine.
    Cosine,
}

/// One step of AdamW, with decoupled weight decay as in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWStep {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Weight decay; 0 for parameters without.
    pub weight_decay: f64,
    /// Number of this step, from 1.
    pub step: u64,
    /// Factor on the gradient, for clipping.
    pub grad_scale: f64,
}

impl AdamWStep {
    /// `1 - beta1^step`.
    pub fn correction1(&self) -> f64 {
        1.0 - self.beta1.powf(self.step as f64)
    }
    /// `1 - beta2^step`.
    pub fn correction2(&self) -> f64 {
        1.0 - self.beta2.powf(self.step as f64)
    }
}

/// A device with the model's operators.
pub trait Backend: Device<f32> {
    /// `y = x W' + b`: (n, in) to (n, out); `weight` [out, in], `bias` (out).
    fn linear<T: Tape<f32, Self>>(
        x: Rows<Self, T>,
        weight: &Flat<Self>,
        bias: &Flat<Self>,
    ) -> Result<Rows<Self, T>>;

    /// [`Backend::linear`] of data that needs no gradient (pixels); `tape` goes to the output.
    fn linear_of_input<T: Tape<f32, Self>>(
        x: &Rows<Self>,
        weight: &Flat<Self>,
        bias: &Flat<Self>,
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

    /// The loss of predictions against targets of the same shape.
    fn loss(
        loss: RowLoss,
        prediction: TapedRows<Self>,
        target: &Rows<Self>,
    ) -> Result<TapedScalar<Self>>;

    /// One AdamW step on `param` and its moments; a missing gradient counts as zero.
    fn adamw(
        param: &mut Flat<Self>,
        m: &mut Flat<Self>,
        v: &mut Flat<Self>,
        gradients: &mut Gradients<f32, Self>,
        step: &AdamWStep,
    ) -> Result<()>;

    /// Sum of squares of the gradient of `param`.
    fn grad_sq_norm(param: &Flat<Self>, gradients: &mut Gradients<f32, Self>) -> Result<f64>;

    /// `teacher = momentum * teacher + (1 - momentum) * student`.
    fn ema(teacher: &mut Flat<Self>, student: &Flat<Self>, momentum: f64) -> Result<()>;
}

/// The values, row-major.
pub fn to_host<D: Device<f32>, T: Tape<f32, D>>(rows: &Rows<D, T>) -> Result<Vec<f32>> {
    use dfdx::prelude::ReshapeTo;
    let rows = rows
        .retaped::<dfdx::prelude::NoneTape>()
        .try_contiguous()
        .map_err(ModelError::from_debug)?;
    let mut values = vec![0.0; rows.shape().0 * rows.shape().1];
    rows.copy_into(&mut values);
    Ok(values)
}

/// A `(rows, dim)` tensor of the given values, row-major.
pub fn from_host<D: Device<f32>>(
    device: &D,
    values: Vec<f32>,
    rows: usize,
    dim: usize,
) -> Result<Rows<D>> {
    ensure(values.len() == rows * dim, || {
        format!("{} values for {rows} x {dim}", values.len())
    })?;
    device
        .try_tensor_from_vec(values, (rows, dim))
        .map_err(ModelError::from_debug)
}

/// Value and slope of the exact GELU as the fused block computes them (absolute error below 1e-6 for
/// |x| < 4, below 2.5e-7 |x| beyond).
pub fn gelu_and_slope(x: f32) -> (f32, f32) {
    let (cdf, density) = math::normal(x);
    (x * cdf, x.mul_add(density, cdf))
}

/// An error with the given sentence unless `condition` holds.
fn ensure(condition: bool, sentence: impl FnOnce() -> String) -> Result<()> {
    if condition {
        Ok(())
    } else {
        Err(ModelError(sentence()))
    }
}

/// Shape of rows that a map (out, in) with these tensors accepts: `(inputs, outputs)`.
fn check_linear<D: Device<f32>, T>(
    x: &Rows<D, T>,
    weight: &Flat<D>,
    bias: &Flat<D>,
) -> Result<(usize, usize)> {
    let (inputs, outputs, size) = (x.shape().1, bias.shape().0, weight.shape().0);
    ensure(
        inputs > 0 && outputs > 0 && inputs * outputs == size,
        || format!("a weight of {size} values for {inputs} inputs and {outputs} outputs"),
    )?;
    Ok((inputs, outputs))
}

/// Refuses rows, blocks, segments or kept rows that do not fit together.
fn check_blocks<D: Device<f32>, T>(
    x: &Rows<D, T>,
    blocks: &[BlockParams<D>],
    segments: &Segments,
    keep: Option<&[u32]>,
) -> Result<()> {
    let (rows, d) = *x.shape();
    ensure(!blocks.is_empty(), || "no block".into())?;
    for block in blocks {
        block.check()?;
        ensure(block.dim() == d, || {
            format!("a block of {} columns on rows of {d}", block.dim())
        })?;
    }
    ensure(segments.rows() == rows, || {
        format!("segments of {} rows on {rows} rows", segments.rows())
    })?;
    if let Some(keep) = keep {
        let sorted = keep.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = keep.last().is_none_or(|last| (*last as usize) < rows);
        ensure(sorted && inside, || {
            format!("kept rows must increase and stay below {rows}")
        })?;
    }
    Ok(())
}

/// Refuses terms that do not fit together.
fn check_gather<D: Device<f32>, T>(
    x: &Rows<D, T>,
    index: &[u32],
    tables: &[TableTerm<D>],
) -> Result<()> {
    let d = x.shape().1;
    ensure(d > 0, || "rows without columns".into())?;
    let within =
        |index: &[u32], rows: usize| index.iter().all(|i| *i == NONE || (*i as usize) < rows);
    ensure(within(index, x.shape().0), || {
        format!("an index beyond {} rows", x.shape().0)
    })?;
    for term in tables {
        let rows = term.table.shape().0 / d;
        ensure(
            term.table.shape().0 == rows * d
                && term.index.len() == index.len()
                && within(term.index, rows),
            || {
                format!(
                    "a table of {} values, {} indices for {} rows",
                    rows * d,
                    term.index.len(),
                    index.len()
                )
            },
        )?;
    }
    Ok(())
}

/// Refuses predictions and targets of different shapes, or none at all.
fn check_loss<D: Device<f32>, T>(prediction: &Rows<D, T>, target: &Rows<D>) -> Result<()> {
    let (p, t): (&(usize, usize), _) = (prediction.shape(), target.shape());
    ensure(p == t && p.0 * p.1 > 0, || {
        format!("predictions {p:?} against targets {t:?}")
    })
}
