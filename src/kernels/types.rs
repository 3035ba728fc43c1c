//! What the operators take besides tensors.

use dfdx::prelude::HasShape;
use ijepa_registry::{
    params::MatmulPrecision,
    tensor::{Device, Flat, Scalar, Storage},
};

use super::Result;
use super::check::ensure;

/// Parameters of a pre-norm transformer block. Building one clones tensors, not their values, so
/// gradients reach the originals.
#[derive(Clone, Debug)]
pub struct BlockParams<D: Device<f32>> {
    /// Attention heads; they divide the columns.
    pub heads: usize,
    /// Added to the variance in both norms.
    pub eps: f32,
    /// Of the inputs of the linear maps; those of attention are not rounded.
    pub precision: MatmulPrecision,
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
    /// From the tensors in the order of the fields: the inverse of [`BlockParams::tensors`].
    pub fn from_tensors(heads: usize, eps: f32, precision: MatmulPrecision, tensors: [Flat<D>; 12]) -> Self {
        let [n1w, n1b, qkvw, qkvb, pw, pb, n2w, n2b, f1w, f1b, f2w, f2b] = tensors;
        BlockParams {
            heads,
            eps,
            precision,
            norm1_weight: n1w,
            norm1_bias: n1b,
            qkv_weight: qkvw,
            qkv_bias: qkvb,
            proj_weight: pw,
            proj_bias: pb,
            norm2_weight: n2w,
            norm2_bias: n2b,
            fc1_weight: f1w,
            fc1_bias: f1b,
            fc2_weight: f2w,
            fc2_bias: f2b,
        }
    }
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
        ensure(self.heads > 0 && d.is_multiple_of(self.heads) && f > 0, || {
            format!("{} heads on {d} columns, {f} hidden", self.heads)
        })?;
        let expected = [d, d, 3 * d * d, 3 * d, d * d, d, d, d, f * d, f, d * f, d];
        let found = self.tensors().map(|t| t.shape().0);
        ensure(found == expected, || format!("block parameters of sizes {found:?}, not {expected:?}"))
    }
}

/// A table whose rows `Backend::gather_sum` adds.
#[derive(Clone, Copy, Debug)]
pub struct TableTerm<'a, D: Device<f32>> {
    /// Rows one after another, as wide as the activations.
    pub table: &'a Flat<D>,
    /// For each output row a row of the table, or `NONE`.
    pub index: &'a [u32],
    /// Whether the table has a gradient (sin-cos positions have none).
    pub trained: bool,
}

/// A device's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: usize,
    /// What all programs use of it.
    pub in_use: usize,
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
}

/// Gradients whose common norm is above a limit are scaled down to it.
#[derive(Debug)]
pub struct Clip<'a, D: Storage<f64>> {
    /// The largest norm.
    pub limit: f64,
    /// The norm, where it was computed.
    pub norm: &'a Scalar<D>,
}

impl<D: Storage<f64>> Clip<'_, D> {
    /// The factor on gradients of this norm (as `clip_grad_norm_`).
    pub fn factor(&self, norm: f64) -> f64 {
        (self.limit / (norm + 1e-6)).min(1.0)
    }
}

/// What one AdamW step changes of one parameter.
#[derive(Debug)]
pub struct AdamWUpdate<'a, D: Device<f32>> {
    /// The parameter.
    pub param: &'a mut Flat<D>,
    /// First moment.
    pub m: &'a mut Flat<D>,
    /// Second moment.
    pub v: &'a mut Flat<D>,
    /// The step.
    pub step: AdamWStep,
    /// What follows the parameter as its average over time.
    pub shadow: Option<&'a mut Flat<D>>,
}

/// What one step of Muon changes of one matrix.
#[derive(Debug)]
pub struct MuonUpdate<'a, D: Device<f32>> {
    /// The matrix, row by row.
    pub param: &'a mut Flat<D>,
    /// Its rows and columns, `(out, in)`.
    pub shape: (usize, usize),
    /// Average of its gradients.
    pub buffer: &'a mut Flat<D>,
    /// What the matrix is multiplied by: one minus learning rate times weight decay.
    pub decay: f64,
    /// Length of the step along the orthogonal matrix.
    pub rate: f64,
    /// Of the inputs of the products.
    pub precision: MatmulPrecision,
}

/// One step of Muon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MuonStep {
    /// Share of the average gradient that is kept.
    pub momentum: f64,
    /// Whether to look ahead along it.
    pub nesterov: bool,
    /// Newton-Schulz steps.
    pub iterations: usize,
}

impl MuonStep {
    /// `a`, `b` and `c` of `x = a x + (b x x' + c (x x')^2) x`: they bring every singular value near 1 fast, at the
    /// price of leaving it between about 0.7 and 1.2 (Jordan 2024).
    pub const COEFFICIENTS: [f64; 3] = [3.4445, -4.775, 2.0315];
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
