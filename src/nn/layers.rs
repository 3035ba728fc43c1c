//! Layers: a few named parameters and the operator that uses them.

use ijepa_registry::prelude::*;

use super::Init;
use crate::kernels::{Backend, Function};

/// `y = x W^T + b` on `(token, in)` rows.
pub struct Linear<D: Device<f32>> {
    /// `[out, in]` and `[out]`.
    pub params: [Param<D>; 2],
}

impl<D: Backend> Linear<D> {
    /// A layer from `dims[1]` to `dims[0]` features; further entries of `dims` are folded into
    /// the input (`[out, channel, patch, patch]` for a patch embedding).
    pub fn new(init: &Init<D>, name: &str, dims: &[usize]) -> Self {
        Linear { params: init.linear(name, dims) }
    }
    /// `(token, in)` to `(token, out)`.
    pub fn forward<T: Tape<f32, D>>(&self, x: Rows<D, T>) -> Result<Rows<D, T>, ModelError> {
        let [weight, bias] = &self.params;
        D::linear(x, &weight.data, &bias.data, weight.precision)
    }
    /// The same for model inputs: no gradient of `x` is computed, and `tape` starts here.
    pub fn forward_input<T: Tape<f32, D>>(&self, x: &Rows<D>, tape: T) -> Result<Rows<D, T>, ModelError> {
        let [weight, bias] = &self.params;
        D::linear_of_input(x, &weight.data, &bias.data, weight.precision, tape)
    }
}

/// How rows are normalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// Mean 0 and variance 1, then a learned gain and bias (Ba et al. 2016, arXiv 1607.06450).
    #[default]
    LayerNorm,
    /// `x / sqrt(mean(x^2) + eps)` times a learned gain: no mean is taken away, and there is no bias
    /// (Zhang and Sennrich 2019, arXiv 1910.07467).
    RmsNorm,
}

impl NormKind {
    /// How many learned vectors it has: gain, and bias.
    pub fn vectors(self) -> usize {
        match self {
            NormKind::LayerNorm => 2,
            NormKind::RmsNorm => 1,
        }
    }
}

/// Normalisation of the features of each token.
pub struct Norm<D: Device<f32>> {
    /// `[dim]`
    pub gain: Param<D>,
    /// `[dim]`; an RMS norm has none.
    pub bias: Option<Param<D>>,
    eps: f32,
}

impl<D: Backend> Norm<D> {
    /// A norm of `dim` features.
    pub fn new(init: &Init<D>, name: &str, dim: usize, eps: f64, kind: NormKind) -> Self {
        let vector = |part: &str, value| init.constant(&format!("{name}.{part}"), &[dim], value);
        let bias = (kind == NormKind::LayerNorm).then(|| vector("bias", 0.0));
        Norm { gain: vector("weight", 1.0), bias, eps: eps as f32 }
    }
    /// `(token, dim)` to `(token, dim)`.
    pub fn forward<T: Tape<f32, D>>(&self, x: Rows<D, T>) -> Result<Rows<D, T>, ModelError> {
        match &self.bias {
            Some(bias) => D::layer_norm(x, &self.gain.data, &bias.data, self.eps),
            None => D::rms_norm(x, &self.gain.data, self.eps),
        }
    }
    /// Gain, then bias.
    pub fn params(&self) -> impl Iterator<Item = &Param<D>> {
        std::iter::once(&self.gain).chain(&self.bias)
    }
    /// The same, to be updated.
    pub fn params_mut(&mut self) -> impl Iterator<Item = &mut Param<D>> {
        std::iter::once(&mut self.gain).chain(&mut self.bias)
    }
}

/// What an MLP computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MlpKind {
    /// `W2 gelu(W1 x)`.
    #[default]
    Gelu,
    /// `W2 (silu(Wg x) * (Wx x))` (Shazeer 2020, arXiv 2002.05202). Three matrices: the hidden layer is two
    /// thirds of `mlp_ratio * dim` wide, so that there are about as many parameters as with `gelu`.
    Swiglu,
}

impl MlpKind {
    /// Number of its matrices.
    pub fn maps(self) -> usize {
        match self {
            MlpKind::Gelu => 2,
            MlpKind::Swiglu => 3,
        }
    }
    /// Hidden layers that backward needs.
    pub fn activations(self) -> usize {
        match self {
            MlpKind::Gelu => 1,
            MlpKind::Swiglu => 3,
        }
    }
}

/// The MLP of a block.
pub enum Mlp<D: Device<f32>> {
    /// `fc1` and `fc2`.
    Gelu([Linear<D>; 2]),
    /// `fc1_g` (gate), `fc1_x` and `fc2`.
    Swiglu([Linear<D>; 3]),
}

impl<D: Backend> Mlp<D> {
    /// That of block number `number` (from 1).
    pub fn new(init: &Init<D>, name: &str, number: usize, kind: MlpKind, [dim, hidden]: [usize; 2]) -> Self {
        let first = |part: &str| Linear::new(init, &format!("{name}.{part}"), &[hidden, dim]);
        let second = Linear { params: init.mlp_output(&format!("{name}.fc2"), &[dim, hidden], number) };
        match kind {
            MlpKind::Gelu => Mlp::Gelu([first("fc1"), second]),
            MlpKind::Swiglu => Mlp::Swiglu([first("fc1_g"), first("fc1_x"), second]),
        }
    }
    /// `(token, dim)` to `(token, dim)`.
    pub fn forward<T: Tape<f32, D>>(&self, x: Rows<D, T>) -> Result<Rows<D, T>, ModelError> {
        match self {
            Mlp::Gelu([first, second]) => second.forward(D::map(first.forward(x)?, Function::Gelu)?),
            Mlp::Swiglu([gate, value, second]) => {
                let gate = D::map(gate.forward(x.retaped::<T>())?, Function::Silu)?;
                second.forward(D::multiply(gate, value.forward(x)?)?)
            }
        }
    }
    /// Every parameter, layer by layer.
    pub fn params(&self) -> impl Iterator<Item = &Param<D>> {
        let layers: &[Linear<D>] = match self {
            Mlp::Gelu(layers) => layers,
            Mlp::Swiglu(layers) => layers,
        };
        layers.iter().flat_map(|layer| &layer.params)
    }
    /// The same, to be updated.
    pub fn params_mut(&mut self) -> impl Iterator<Item = &mut Param<D>> {
        let layers: &mut [Linear<D>] = match self {
            Mlp::Gelu(layers) => layers,
            Mlp::Swiglu(layers) => layers,
        };
        layers.iter_mut().flat_map(|layer| &mut layer.params)
    }
}
