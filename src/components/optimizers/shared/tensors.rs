//! Parameters and their gradients as matrices, and buffers beside them.

use dfdx::prelude::ReshapeTo;
use ijepa_registry::prelude::*;

use crate::kernels::{Backend, Function};

/// A parameter's values as (first dimension, all others); what has one dimension is one row.
pub(in super::super) fn rows<D: Backend>(values: &Flat<D>, dims: &[usize]) -> Result<Rows<D>, ModelError> {
    let shape = match dims {
        [first, rest @ ..] if !rest.is_empty() => (*first, rest.iter().product()),
        _ => (1, dims.iter().product()),
    };
    values.clone().try_reshape_like(&shape).map_err(ModelError::from_debug)
}

/// The gradient of a parameter in the shape of [`rows`]; zeros if it has none.
pub(in super::super) fn gradient_rows<D: Backend>(
    param: &Param<D>,
    gradients: &mut Gradients<f32, D>,
) -> Result<Rows<D>, ModelError> {
    gradients.try_alloc_for(&param.data).map_err(ModelError::from_debug)?;
    rows(&gradients.get(&param.data), &param.dims)
}

/// `scale x`.
pub(in super::super) fn times<D: Backend>(x: Rows<D>, scale: f64) -> Result<Rows<D>, ModelError> {
    D::map(x, Function::Affine { scale: scale as f32, shift: 0.0 })
}

/// `values = new`, in the memory of `values`.
pub(in super::super) fn assign<D: Backend>(values: &mut Flat<D>, new: Rows<D>) -> Result<(), ModelError> {
    let length = *values.shape();
    let new = new.try_reshape_like(&length).map_err(ModelError::from_debug)?;
    // An average that keeps nothing of itself is a copy, on any device.
    D::ema(&mut [(values, &new)], 0.0)
}

/// A tensor beside every parameter, zero at the start: the momentum of an optimizer.
pub(in super::super) struct Buffers<D: Device<f32>> {
    /// What they are called in a checkpoint.
    kind: &'static str,
    named: Vec<(String, Flat<D>)>,
}

impl<D: Backend> Buffers<D> {
    pub fn none(kind: &'static str) -> Self {
        Buffers { kind, named: Vec::new() }
    }

    /// Makes them at the first step.
    pub fn ensure<'a>(&mut self, params: impl Iterator<Item = (&'a str, &'a Param<D>)>)
    where
        D: 'a,
    {
        if self.named.is_empty() {
            let zero =
                |(name, p): (&str, &Param<D>)| (name.to_owned(), p.data.device().zeros_like(&(p.len(),)));
            self.named = params.map(zero).collect();
        }
    }

    pub fn kind(&self) -> &'static str {
        self.kind
    }

    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Flat<D>> {
        self.named.iter_mut().map(|(_, tensor)| tensor)
    }

    pub fn get(&mut self, i: usize) -> &mut Flat<D> {
        &mut self.named[i].1
    }

    pub fn state(&self) -> Vec<(String, Vec<f32>)> {
        self.named.iter().map(|(name, t)| (format!("{}/{name}", self.kind), t.as_vec())).collect()
    }

    /// Fills them from a checkpoint, which must hold every one.
    pub fn restore(&mut self, tensors: &[(String, Vec<f32>)]) -> Result<(), ModelError> {
        for (name, tensor) in &mut self.named {
            let name = format!("{}/{name}", self.kind);
            let stored = tensors.iter().find(|(n, _)| *n == name).map(|(_, values)| values);
            let values = stored.ok_or_else(|| ModelError(format!("{name} is missing")))?;
            if values.len() != tensor.shape().0 {
                let (a, b) = (values.len(), tensor.shape().0);
                return Err(ModelError(format!("{name} holds {a} values, the model {b}")));
            }
            tensor.copy_from(values);
        }
        Ok(())
    }
}
