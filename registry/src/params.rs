//! Named parameters: what an optimizer updates, a teacher averages and a checkpoint stores.

use crate::tensor::{Device, Flat};

/// One parameter tensor of a model, stored flat in row-major order.
#[derive(Clone, Debug)]
pub struct Param<D: Device<f32>> {
    /// PyTorch-style name relative to its module, such as `blocks.0.attn.qkv.weight`.
    pub name: String,
    /// Shape as PyTorch stores it: a linear weight is `[out, in]`.
    pub dims: Vec<usize>,
    /// The values, row-major.
    pub data: Flat<D>,
    /// False for fixed tables (sin-cos positions): never updated, decayed or averaged.
    pub trainable: bool,
}

impl<D: Device<f32>> Param<D> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }
    /// Whether the parameter holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Biases and the affine part of norms: what most recipes exclude from weight decay.
    pub fn is_bias_or_norm(&self) -> bool {
        self.dims.len() <= 1
    }
}

/// A module whose parameters can be walked in a fixed order.
pub trait Parameters<D: Device<f32>> {
    /// Every parameter, fixed tables included, in a fixed order.
    fn params(&self) -> Vec<&Param<D>>;
    /// The same parameters in the same order, to be replaced or updated.
    fn params_mut(&mut self) -> Vec<&mut Param<D>>;
}
