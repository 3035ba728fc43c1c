//! Named parameters: what an optimizer updates, a teacher averages and a checkpoint stores.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// How products with this weight round. The program sets it once a module is built.
    pub precision: MatmulPrecision,
}

/// How a matrix product rounds its inputs. Sums, weights and everything else are f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatmulPrecision {
    /// As they are: 24 significant bits.
    #[default]
    F32,
    /// TF32 on a GPU: 11 significant bits, on tensor cores. As `f32` on a processor.
    Tf32,
    /// bfloat16: 8 significant bits, to the nearest, ties to even. On tensor cores of a GPU; as fast as
    /// it can be on a processor with AVX512-BF16.
    Bf16,
    /// bfloat16 whose products are added up in the order of Intel's matrix units (AMX): fast there alone, the same on any
    /// processor. As `bf16` on a GPU.
    Bf16Amx,
}

impl MatmulPrecision {
    /// Whether inputs are rounded to bfloat16.
    pub fn is_bf16(self) -> bool {
        matches!(self, MatmulPrecision::Bf16 | MatmulPrecision::Bf16Amx)
    }
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
