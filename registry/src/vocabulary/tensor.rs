//! The tensor vocabulary: the only file of the contract that spells out dfdx types.
//!
//! Activations are *packed*: the tokens of every sequence of a batch follow one another in one
//! `(token, dim)` matrix, and a [`Segments`] value says where each sequence starts. Images whose
//! masks differ in length therefore need neither padding nor truncation.

use std::sync::Arc;

pub use dfdx::prelude::{
    Backward, Cpu, Device, Gradients, HasShape, NoneTape, OwnedTape, Storage, Tape, Tensor, TensorFromVec,
    Trace, ZerosTensor,
};

/// An NVIDIA GPU.
#[cfg(feature = "cuda")]
pub type Gpu = dfdx::prelude::Cuda;

/// `(token, dim)` activations of a packed batch.
pub type Rows<D, T = NoneTape> = Tensor<(usize, usize), f32, D, T>;
/// [`Rows`] that carry the gradient tape.
pub type TapedRows<D> = Rows<D, OwnedTape<f32, D>>;
/// A flat `(element,)` tensor: a parameter or a vector.
pub type Flat<D, T = NoneTape> = Tensor<(usize,), f32, D, T>;
/// A scalar that carries the gradient tape: a loss.
pub type TapedScalar<D> = Tensor<(), f32, D, OwnedTape<f32, D>>;

/// A number on the device, such as a norm. Reading it waits for all that the device has to do before.
pub type Scalar<D> = Tensor<(), f64, D>;

/// What a person can do about it.
const OUT_OF_MEMORY: &str = "the GPU has no memory left: fewer programs on it (`slots` of a sweep), a smaller batch or model need less";

/// Any failure while building or running a model.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ModelError(pub String);

impl ModelError {
    /// Wraps a device error (out of memory, a failed launch) or any other cause.
    pub fn from_debug(cause: impl std::fmt::Debug) -> Self {
        let cause = format!("{cause:?}");
        // The devices' error types have nothing in common but their text.
        if cause.contains("CUDA_ERROR_OUT_OF_MEMORY") {
            return ModelError(format!("{OUT_OF_MEMORY} ({cause})"));
        }
        ModelError(cause)
    }
}

/// Where the sequences of a packed batch start: sequence `i` owns the rows `start(i)..start(i + 1)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments(Arc<[usize]>);

impl Segments {
    /// From the length of each sequence.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut starts = vec![0];
        for n in lengths {
            starts.push(starts[starts.len() - 1] + n);
        }
        Segments(starts.into())
    }
    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.0.len() - 1
    }
    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Rows of all sequences together.
    pub fn rows(&self) -> usize {
        self.0[self.len()]
    }
    /// Rows of sequence `i`.
    pub fn range(&self, i: usize) -> std::ops::Range<usize> {
        self.0[i]..self.0[i + 1]
    }
    /// Ranges of all sequences in order.
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        (0..self.len()).map(|i| self.range(i))
    }
    /// Start of every sequence, and the total as the last entry.
    pub fn starts(&self) -> &[usize] {
        &self.0
    }
}
