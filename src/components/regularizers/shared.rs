//! What regularizers share: a projector in front of the term.

use ijepa_registry::prelude::*;

use crate::{
    kernels::{Backend, Function},
    nn::{Init, InitScheme, Linear, Norm, NormKind},
};

/// Epsilon of the projector's norms.
const NORM_EPS: f64 = 1e-5;

/// Linear layers with a layer norm and a ReLU between them.
pub struct Projector<D: Device<f32>> {
    layers: Vec<Layer<D>>,
}

/// A layer of the projector. The norm of the last one is not used, nor trained.
struct Layer<D: Device<f32>> {
    linear: Linear<D>,
    norm: Norm<D>,
}

impl<D: Backend> Projector<D> {
    /// Layers of these widths; without any it is the identity. Initial values come from streams of `root`.
    pub fn new(context: &RegularizerContext<D>, root: &'static str, widths: &[usize]) -> Self {
        let init = Init::new(context.device, context.seed, root, InitScheme::Torch);
        let inputs = std::iter::once(&context.dim).chain(widths);
        let layer = |(i, (input, output)): (usize, (&usize, &usize))| Layer {
            linear: Linear::new(&init, &format!("projector.{i}"), &[*output, *input]),
            norm: Norm::new(&init, &format!("projector_norm.{i}"), *output, NORM_EPS, NormKind::LayerNorm),
        };
        Projector { layers: inputs.zip(widths).enumerate().map(layer).collect() }
    }

    /// `(row, dim)` to `(row, last width)`.
    pub fn forward(&self, rows: TapedRows<D>) -> Result<TapedRows<D>, ModelError> {
        let last = self.layers.len().saturating_sub(1);
        self.layers.iter().enumerate().try_fold(rows, |rows, (i, layer)| {
            let rows = layer.linear.forward(rows)?;
            if i == last { Ok(rows) } else { D::map(layer.norm.forward(rows)?, Function::Relu) }
        })
    }

    /// Linear layers, then the norms between them.
    pub fn params(&self) -> Vec<&Param<D>> {
        let between = self.layers.len().saturating_sub(1);
        let mut all: Vec<&Param<D>> = self.layers.iter().flat_map(|layer| &layer.linear.params).collect();
        all.extend(self.layers[..between].iter().flat_map(|layer| layer.norm.params()));
        all
    }
    /// The same, to be updated.
    pub fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let between = self.layers.len().saturating_sub(1);
        let mut all = Vec::new();
        let mut norms = Vec::new();
        for (i, Layer { linear, norm }) in self.layers.iter_mut().enumerate() {
            all.extend(&mut linear.params);
            if i < between {
                norms.extend(norm.params_mut());
            }
        }
        all.extend(norms);
        all
    }
}
